package reconstruct

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts/folder"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Attempt is what the process of an attempt has to know.
type Attempt struct {
	Dir         string // Options.Dir
	Work        string // folder to work in
	Task        queue.Task
	Request     pipeline.Request
	Attempt     int
	Fence       int64
	LastFailure *pipeline.Failure
}

// attemptOf a lease. Its fence is above those of earlier runs, which the queue in memory has forgotten.
func attemptOf(l queue.Assignment, fences int64) Attempt {
	return Attempt{Task: l.Task(), Request: l.Request(), Attempt: l.Attempt(), Fence: fences + l.Fence(), LastFailure: l.LastFailure()}
}

// outcome is what an attempt says to the queue: the part of a lease that acts.
type outcome interface {
	Heartbeat(ctx context.Context, p pipeline.Progress) error
	Saved(ctx context.Context) error
	Complete(ctx context.Context, manifest pipeline.Object) error
	Fail(ctx context.Context, f *pipeline.Failure) (retry bool, err error)
	GiveBack(ctx context.Context) error
}

// lease is an attempt with its outcome: what a worker needs.
type lease struct {
	attempt Attempt
	outcome
}

func (l lease) Task() queue.Task               { return l.attempt.Task }
func (l lease) Request() pipeline.Request      { return l.attempt.Request }
func (l lease) Attempt() int                   { return l.attempt.Attempt }
func (l lease) Fence() int64                   { return l.attempt.Fence }
func (l lease) LastFailure() *pipeline.Failure { return l.attempt.LastFailure }
func (l lease) ExpiresAt() time.Time           { return l.attempt.Request.CreatedAt.Add(forever) }

// CompleteAndClaim completes: there is no other task.
func (l lease) CompleteAndClaim(ctx context.Context, manifest pipeline.Object) (queue.Lease, error) {
	return nil, l.Complete(ctx, manifest)
}

// grace is how long a stage may take to save its state when it has to stop.
const grace = 9 * time.Second

// beat is how often progress is reported at least.
const beat = time.Second

// work runs the worker of a deployment on one attempt. When ctx ends the stage may save its state; the task is released.
func work(ctx context.Context, a Attempt, o outcome, define func(pipeline.Stage) (stage.Definition, error), log *slog.Logger) error {
	definition, err := define(a.Task.Stage)
	if err != nil {
		return err
	}
	working, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, abandon) })()
	w := stage.Worker{
		Definition: definition, ID: "run", Tasks: &once{lease{a, o}}, Slots: unbounded{}, Limit: 1, Store: folder.New(filepath.Join(a.Dir, storeFolder), time.Now), Buckets: buckets(),
		WorkDir: a.Work, Room: func() (stage.Space, error) { return stage.FolderSpace(a.Work, false) }, Beat: beat, Now: time.Now, Log: log,
	}
	return w.Run(working, ctx.Done())
}

// once is a queue with one task.
type once struct{ lease queue.Lease }

func (q *once) Claim(context.Context, pipeline.Stage, string, int) (leases []queue.Lease, err error) {
	if q.lease != nil {
		leases = []queue.Lease{q.lease}
	}
	q.lease = nil
	return leases, nil
}

// unbounded are slots where there is one worker.
type unbounded struct{}

func (unbounded) Reserve(context.Context, pipeline.Stage, int, time.Duration) (bool, error) {
	return true, nil
}
func (unbounded) Adopt(context.Context, pipeline.Stage, string, int) (bool, error) { return true, nil }
func (unbounded) Keep(context.Context, pipeline.Stage, string) error               { return nil }
func (unbounded) Release(context.Context, pipeline.Stage, string) error            { return nil }
