package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Reaper is the scheduler's tick: whatever died silently is put right. Several may run at once.
type Reaper struct {
	Queue interface {
		Reap(ctx context.Context) (queue.Reaped, error)
		Enqueue(ctx context.Context, t queue.Task) (bool, error)
		Lookup(ctx context.Context, requestID string) (queue.State, error)
		queue.Events
	}
	Staffing Staffing
	// Ended, if set, is told of every request that the reaper ended.
	Ended func(ctx context.Context, r pipeline.Request, status pipeline.Status) error
	Log   *slog.Logger
}

// Tick does one pass.
func (r *Reaper) Tick(ctx context.Context) (queue.Reaped, error) {
	before, err := r.Queue.Newest(ctx)
	if err != nil {
		return queue.Reaped{}, fmt.Errorf("reap: %w", err)
	}
	reaped, err := r.Queue.Reap(ctx)
	if err != nil {
		return reaped, fmt.Errorf("reap: %w", err)
	}
	failed := r.announce(ctx, before)
	wanting := reaped.Wanting
	if wanting == nil {
		wanting = map[pipeline.Stage]int{}
	}
	for _, manifest := range reaped.LostHandovers {
		stage, err := r.handOver(ctx, manifest)
		if err != nil {
			r.Log.Warn("lost event not redone", "manifest", manifest.String(), "error", err.Error())
			continue
		}
		r.Log.Info("lost event redone", "manifest", manifest.String(), "stage", stage)
		wanting[stage]++
	}
	for stage := range wanting {
		if err := r.Staffing.Want(ctx, stage); err != nil {
			failed = errors.Join(failed, fmt.Errorf("launch %s: %w", stage, err))
		}
	}
	return reaped, failed
}

// announce tells of the requests that ended since the cursor because nobody worked on them in time. Requests that a worker
// ended are announced by the worker.
func (r *Reaper) announce(ctx context.Context, cursor string) (failed error) {
	for r.Ended != nil {
		const batch = 500
		transitions, err := r.Queue.After(ctx, cursor, batch, 0)
		if err != nil {
			return errors.Join(failed, fmt.Errorf("look for ended requests: %w", err))
		}
		for _, t := range transitions {
			cursor = t.ID
			if t.Kind != queue.Failed || (t.Code != queue.WorkerLost("").Code && t.Code != queue.PastDeadline("").Code) {
				continue
			}
			s, err := r.Queue.Lookup(ctx, t.RequestID)
			if err == nil {
				err = r.Ended(ctx, s.Request, s.Status)
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("announce the end of %s: %w", t.RequestID, err))
			}
		}
		if len(transitions) < batch {
			break
		}
	}
	return failed
}

// handOver does what the event of a manifest would have done.
func (r *Reaper) handOver(ctx context.Context, manifest pipeline.Object) (pipeline.Stage, error) {
	id, ok := artifacts.RequestOf(manifest.Name)
	if !ok {
		return "", fmt.Errorf("object belongs to no request")
	}
	for _, stage := range pipeline.Stages() {
		if previous, ok := stage.Previous(); ok && manifest.Name == artifacts.ManifestName(id, previous) {
			_, err := r.Queue.Enqueue(ctx, queue.Task{RequestID: id, Stage: stage, Input: manifest})
			return stage, err
		}
	}
	return "", fmt.Errorf("object is no manifest that a stage waits for")
}
