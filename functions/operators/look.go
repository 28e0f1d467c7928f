package operators

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Request is what operators see of one request: all the queue knows but the hash of its token.
type Request struct {
	RequestID  string             `json:"request_id"`
	SessionID  string             `json:"session_id"`
	Caller     string             `json:"caller,omitempty"`
	Status     pipeline.Status    `json:"status"`
	Stage      pipeline.Stage     `json:"stage,omitempty"`
	Position   int                `json:"position,omitempty"` // among the stage's ready tasks, 1 is next
	Attempt    int                `json:"attempt,omitempty"`
	Priority   int                `json:"priority"`
	Options    pipeline.Options   `json:"options"`
	Progress   pipeline.Progress  `json:"progress"`
	Failure    *pipeline.Failure  `json:"failure,omitempty"`
	Warnings   []pipeline.Warning `json:"warnings,omitempty"`
	Manifest   *pipeline.Object   `json:"manifest,omitempty"` // of the newest completed stage
	CreatedAt  time.Time          `json:"created_at"`
	StartedAt  time.Time          `json:"started_at,omitzero"`
	UpdatedAt  time.Time          `json:"updated_at"`
	FinishedAt time.Time          `json:"finished_at,omitzero"`
	RetryAt    time.Time          `json:"retry_at,omitzero"`
	Deadline   time.Time          `json:"deadline,omitzero"`
}

func requestOf(s queue.State, position int) Request {
	r := Request{RequestID: s.ID, SessionID: s.SessionID, Caller: s.Caller, Status: s.Status, Stage: s.Stage, Position: position, Attempt: s.Attempt,
		Priority: s.Priority, Options: s.Options, Progress: s.Progress, Failure: s.Failure, Warnings: s.Warnings, CreatedAt: s.CreatedAt,
		StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt, FinishedAt: s.FinishedAt, RetryAt: s.RetryAt, Deadline: s.Deadline}
	if s.Manifest.Name != "" {
		r.Manifest = &s.Manifest
	}
	return r
}

// look serves GET /status/{id}.
func (s *Service) look(r *http.Request) (int, any, error) {
	state, position, err := s.find(r.Context(), r.PathValue("id"))
	return http.StatusOK, requestOf(state, position), err
}

// trace serves GET /trace/{id}: where the time of a request went, and why it waits or failed.
func (s *Service) trace(r *http.Request) (int, any, error) {
	found, err := story.Reader{Store: s.Store, Buckets: s.Buckets, Queue: s.Queue, Slots: s.Slots, Now: s.Now}.Read(r.Context(), r.PathValue("id"))
	if errors.Is(err, story.ErrUnknown) {
		err = queue.ErrNotFound
	}
	if err == nil {
		serve.About(r.Context(), slog.String("request_id", found.RequestID))
	}
	return http.StatusOK, found, err
}

func (s *Service) find(ctx context.Context, id string) (queue.State, int, error) {
	if !pipeline.ValidRequestID(id) {
		return queue.State{}, 0, queue.ErrNotFound
	}
	state, err := s.Queue.Lookup(ctx, id)
	if err != nil {
		return state, 0, err
	}
	serve.About(ctx, slog.String("request_id", id), slog.Any("stage", state.Stage))
	position, err := s.Queue.Position(ctx, id)
	return state, position, err
}

var everyStatus = []pipeline.Status{pipeline.Queued, pipeline.Processing, pipeline.Completed, pipeline.Failed, pipeline.Canceled}

// overview serves GET /queue.
func (s *Service) overview(r *http.Request) (int, any, error) {
	stages, err := s.Queue.Counts(r.Context())
	if err != nil {
		return 0, nil, err
	}
	counts, err := s.Queue.StatusCounts(r.Context())
	if err != nil {
		return 0, nil, err
	}
	type line struct {
		Ready        int     `json:"ready"`
		Leased       int     `json:"leased"` // tasks that a worker has
		Delayed      int     `json:"delayed"`
		Workers      int     `json:"workers"` // slots taken
		Slots        int     `json:"slots"`   // most workers at once
		OldestReadyS float64 `json:"oldest_ready_s,omitempty"`
	}
	answer := struct {
		Stages   map[pipeline.Stage]line `json:"stages"`
		Statuses map[pipeline.Status]int `json:"statuses"`
	}{map[pipeline.Stage]line{}, map[pipeline.Status]int{}}
	for _, name := range pipeline.Stages() {
		c := stages[name]
		l := line{Ready: c.Ready, Leased: c.Leased, Delayed: c.Delayed, Workers: c.Slots, Slots: s.Slots[name]}
		if !c.OldestReady.IsZero() {
			l.OldestReadyS = s.Now().Sub(c.OldestReady).Seconds()
		}
		answer.Stages[name] = l
	}
	for _, status := range everyStatus {
		answer.Statuses[status] = counts[status]
	}
	return http.StatusOK, answer, nil
}

// next serves GET /next?stage=train&limit=10: who is claimed next. It only looks: a task is taken by a worker's lease.
func (s *Service) next(r *http.Request) (int, any, error) {
	name, err := pipeline.ParseStage(r.URL.Query().Get("stage"))
	if err != nil {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_stage", err.Error()+".", "Say which stage's queue to look at.")
	}
	limit, err := limitOf(r)
	if err != nil {
		return 0, nil, err
	}
	ids, err := s.Queue.Next(r.Context(), name, limit)
	if err != nil {
		return 0, nil, err
	}
	waiting := []Request{}
	for i, id := range ids {
		state, err := s.Queue.Lookup(r.Context(), id)
		if err != nil && !errors.Is(err, queue.ErrNotFound) { // purged meanwhile
			return 0, nil, err
		}
		if err == nil {
			waiting = append(waiting, requestOf(state, i+1))
		}
	}
	return http.StatusOK, map[string]any{"requests": waiting}, nil
}

const maxLimit = 200

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 50, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, refuse(http.StatusBadRequest, "invalid_limit", fmt.Sprintf("limit must be between 1 and %d.", maxLimit), "Leave it out for 50.")
	}
	return n, nil
}
