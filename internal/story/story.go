// Package story is what became of one request: where its time went, stage by stage and attempt by attempt, what it has cost, and why
// it waits or failed. It is computed from manifests, reports of attempts, and the queue's state and events, each where it is known.
// The operators' API answers with a Story, and the terminal prints one.
package story

import (
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// Story of one request. Times are seconds; offsets count from when it was asked for.
type Story struct {
	RequestID  string          `json:"request_id"`
	SessionID  string          `json:"session_id"`
	Caller     string          `json:"caller,omitempty"`
	TraceID    string          `json:"trace_id,omitempty"` // of the call that asked for it, as in the log
	Status     pipeline.Status `json:"status"`
	Now        string          `json:"now,omitempty"`    // in one sentence, what it waits for or why it failed; empty once it is COMPLETED
	Advice     string          `json:"advice,omitempty"` // of a failure
	CreatedAt  time.Time       `json:"created_at"`
	FinishedAt time.Time       `json:"finished_at,omitzero"`
	Stages     []Stage         `json:"stages"` // that it has reached
	Sum        Sum             `json:"sum"`
}

// Sum is where the whole time went.
type Sum struct {
	TotalS  float64 `json:"total_s"`  // until it ended, or until now
	WaitS   float64 `json:"wait_s"`   // for the upload, in the queue, and for retries
	LaunchS float64 `json:"launch_s"` // until a worker ran that was not running yet
	WorkS   float64 `json:"work_s"`   // attempts
	OtherS  float64 `json:"other_s"`  // what is left: events on their way, and attempts that left no report
	CostUSD float64 `json:"cost_usd,omitempty"`
}

// Stage of a request.
type Stage struct {
	Stage    pipeline.Stage          `json:"stage"`
	State    State                   `json:"state"`
	Attempts []Attempt               `json:"attempts"`
	Steps    []Step                  `json:"steps,omitempty"`    // that the stage measured
	Programs []artifacts.ProgramTime `json:"programs,omitempty"` // that all attempts ran
	CostUSD  float64                 `json:"cost_usd,omitempty"`
}

// State of a stage.
type State string

const (
	Waits State = "waits"
	Works State = "works"
	Done  State = "done"
	Ended State = "ended" // without a result: its request FAILED or was CANCELED
)

// Step is a part of a stage that it measured.
type Step struct {
	Name  string  `json:"name"`
	WallS float64 `json:"wall_s"`
}

// Attempt at a stage.
type Attempt struct {
	Attempt int                  `json:"attempt"`
	Worker  string               `json:"worker,omitempty"`
	Outcome string               `json:"outcome"` // as artifacts.Outcome; "works" while it does, "lost" without a report
	FromS   float64              `json:"from_s"`  // offset of the wait before it
	WaitS   float64              `json:"wait_s"`
	LaunchS float64              `json:"launch_s"`
	WorkS   float64              `json:"work_s"`
	Kind    pipeline.FailureKind `json:"kind,omitempty"`
	Code    string               `json:"code,omitempty"`
	Message string               `json:"message,omitempty"`
	Cause   string               `json:"cause,omitempty"`
	Log     []string             `json:"log,omitempty"` // the last lines of what its programs printed, where it failed
	CostUSD float64              `json:"cost_usd,omitempty"`
}

const (
	working = "works"
	lost    = "lost"
)

// logLines is how much of the log of a failed attempt is in a story.
const logLines = 20
