// Package stage is what every stage of the pipeline has in common, written once: the receiver that turns a finalized
// object into a task and sees that a worker is there, the worker that claims tasks under a lease and runs them, and the
// reaper's tick that puts right what died silently. A service adds only its Run function.
//
// This is the one place that decides between fail, retry and release.
package stage

import (
	"context"
	"errors"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Definition is everything in which one stage differs from another.
type Definition struct {
	Stage pipeline.Stage
	// Run turns the job's inputs into published artifacts. It returns nil when everything is published, ErrStopped when
	// it saved its state because Job.Stopping was closed, and a *pipeline.Failure (or any error) when it could not continue.
	Run func(ctx context.Context, job *Job) error
	// Budget is what a task is expected to take at most: a worker with less time left claims none.
	Budget time.Duration
	// Saves says that Run heeds Job.Stopping. Other stages have nothing to save: their work is ended at once.
	Saves bool
}

// ErrStopped is what Run returns after it saved its state when Stopping was closed: the task goes back to its place.
var ErrStopped = errors.New("stage: stopped before the end, state saved")

// Launcher starts a worker for a stage and returns at once: a Cloud Run job execution, or a child process.
type Launcher interface {
	Launch(ctx context.Context, stage pipeline.Stage) error
}

// Slots is the part of the queue that bounds workers.
type Slots interface {
	Reserve(ctx context.Context, stage pipeline.Stage, limit int, startBudget time.Duration) (bool, error)
	Adopt(ctx context.Context, stage pipeline.Stage, worker string, limit int) (bool, error)
	Keep(ctx context.Context, stage pipeline.Stage, worker string) error
	Release(ctx context.Context, stage pipeline.Stage, worker string) error
}

// Staffing sees that a stage with work has a worker, within its limit.
type Staffing struct {
	Slots       Slots
	Launcher    Launcher
	Limit       map[pipeline.Stage]int // most workers of a stage at once
	StartBudget time.Duration          // a launched worker that has not come by then is taken for lost
	// Counts, if set, is the queue's: no worker is launched for a task that one without a task will take, since that was launched already or
	// continues with this stage.
	Counts func(ctx context.Context) (map[pipeline.Stage]queue.StageCounts, error)
}

// Want launches one worker if a slot is free and a task waits that no worker on its way will take. A failed launch costs nothing but time: the reservation expires and the
// next tick of the reaper tries again.
func (s Staffing) Want(ctx context.Context, stage pipeline.Stage) error {
	if s.Counts != nil {
		counts, err := s.Counts(ctx)
		if err != nil {
			return err
		}
		if c := counts[stage]; c.Ready <= c.Slots-c.Leased {
			return nil
		}
	}
	free, err := s.Slots.Reserve(ctx, stage, s.Limit[stage], s.StartBudget)
	if err != nil || !free {
		return err
	}
	return s.Launcher.Launch(ctx, stage)
}
