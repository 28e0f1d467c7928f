package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Attempt is one worker's work on a task, as it left it.
type Attempt struct {
	Attempt    int                  `json:"attempt"` // from 1; one that was released or dropped does not count, and its number comes again
	Fence      int64                `json:"fence,string"`
	WorkerAt   time.Time            `json:"worker_at,omitzero"` // since when the worker ran
	ClaimedAt  time.Time            `json:"claimed_at"`         // when it got the task
	FinishedAt time.Time            `json:"finished_at"`
	Outcome    Outcome              `json:"outcome"`
	Kind       pipeline.FailureKind `json:"kind,omitempty"` // of the failure, as Code
	Code       string               `json:"code,omitempty"`
	CostUSD    float64              `json:"cost_usd,omitempty"` // as in StageRecord
	Programs   []ProgramTime        `json:"programs,omitempty"`
}

// Outcome of an attempt.
type Outcome string

const (
	Finished Outcome = "finished" // its manifest exists
	Failed   Outcome = "failed"
	Released Outcome = "released" // the worker had to stop, and another continues
	Dropped  Outcome = "dropped"  // the request was canceled, or the lease was lost
)

// AttemptReport is an attempt with what only operators see of it. It is beside what the attempt stored, and in no manifest.
type AttemptReport struct {
	Stage   pipeline.Stage    `json:"stage"`
	Worker  string            `json:"worker"`
	Attempt Attempt           `json:"attempt"`
	Failure *pipeline.Failure `json:"failure,omitempty"`
	Cause   string            `json:"cause,omitempty"` // behind the failure: the error's own words
	Log     string            `json:"log,omitempty"`   // the end of what the stage's programs printed, at most MaxLogBytes
}

// MaxLogBytes is how much of what the programs of an attempt printed is kept.
const MaxLogBytes = 64 << 10

// maxAttemptBytes bounds an AttemptReport: as JSON, a byte of the log takes six characters at most.
const maxAttemptBytes = 8 * MaxLogBytes

const attemptFile = "attempt.json"

// AttemptName is where the report of an attempt is in the artifacts bucket.
func AttemptName(requestID string, stage pipeline.Stage, fence int64) string {
	return fmt.Sprintf("%s%d/%s", StagePrefix(requestID, stage), fence, attemptFile)
}

// WriteAttempt stores the report of an attempt.
func WriteAttempt(ctx context.Context, s Store, b Buckets, requestID string, r AttemptReport) error {
	_, err := PutJSON(ctx, s, b.Artifacts, AttemptName(requestID, r.Stage, r.Attempt.Fence), r, PutOptions{})
	if err != nil {
		return fmt.Errorf("write report of an attempt: %w", err)
	}
	return nil
}

// ReadAttempts reads the reports of all attempts below a prefix of the artifacts bucket, such as a StagePrefix, by their fences.
func ReadAttempts(ctx context.Context, s Store, b Buckets, prefix string) ([]AttemptReport, error) {
	var found []AttemptReport
	for o, err := range s.List(ctx, b.Artifacts, prefix) {
		if err != nil {
			return nil, fmt.Errorf("look for attempts: %w", err)
		}
		if _, ok := FenceOf(o.Name); !ok || !strings.HasSuffix(o.Name, "/"+attemptFile) {
			continue
		}
		var r AttemptReport
		err := GetJSON(ctx, s, o, &r, maxAttemptBytes)
		if errors.Is(err, ErrNotFound) {
			continue // purged meanwhile
		}
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	slices.SortStableFunc(found, func(a, b AttemptReport) int { return cmp.Compare(a.Attempt.Fence, b.Attempt.Fence) })
	return found, nil
}
