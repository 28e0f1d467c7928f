package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

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
		Lost(ctx context.Context, stage pipeline.Stage, worker string, f *pipeline.Failure) (ended []string, err error)
		queue.Restorer
	}
	// Archive, if set, is what a queue is rebuilt from that has lost what it knew, and where uploads are found whose event was lost.
	Archive  *Archive
	Staffing Staffing
	// Ended, if set, is called for every request that ended and was not announced, again with later ticks until it has
	// reported to the queue that it was.
	Ended func(ctx context.Context, r pipeline.Request, status pipeline.Status) error
	Log   *slog.Logger
	Now   func() time.Time // the clock; time.Now when nil

	mu          sync.Mutex
	notRestored time.Time       // when the last rebuild failed; zero when it did not
	lookedAt    time.Time       // all uploads
	begun       map[string]bool // requests that needed no look at their upload any more then
}

// restorePause follows a rebuild that failed: each reads every record, and ticks come every second on a laptop.
const restorePause = time.Minute

// Tick does one pass.
func (r *Reaper) Tick(ctx context.Context) (queue.Reaped, error) {
	failed := r.restore(ctx)
	reaped, err := r.Queue.Reap(ctx)
	if err != nil {
		return reaped, errors.Join(failed, fmt.Errorf("reap: %w", err))
	}
	failed = errors.Join(failed, r.announce(ctx, reaped.Unannounced))
	wanting := reaped.Wanting
	if wanting == nil {
		wanting = map[pipeline.Stage]int{}
	}
	for _, manifest := range reaped.LostHandovers {
		id, _ := artifacts.RequestOf(manifest.Name)
		stage, err := r.handOver(ctx, manifest)
		if err != nil {
			r.Log.WarnContext(ctx, "lost event not redone", "request_id", id, "stage", stage, "manifest", manifest.String(), "error", err.Error())
			continue
		}
		r.Log.InfoContext(ctx, "lost event redone", "request_id", id, "stage", stage, "manifest", manifest.String())
		wanting[stage]++
	}
	started, err := r.startUploaded(ctx)
	failed = errors.Join(failed, err)
	if started > 0 {
		wanting[pipeline.First()] += started
	}
	if err := r.understaffed(ctx, wanting); err != nil {
		failed = errors.Join(failed, err)
	}
	for stage := range wanting {
		if err := r.Staffing.Want(ctx, stage); err != nil {
			failed = errors.Join(failed, fmt.Errorf("launch %s: %w", stage, err))
		}
	}
	return reaped, failed
}

// understaffed adds the stages where a task waits: Want launches a worker if none on its way will take it.
func (r *Reaper) understaffed(ctx context.Context, wanting map[pipeline.Stage]int) error {
	if r.Staffing.Counts == nil {
		return nil
	}
	counts, err := r.Staffing.Counts(ctx)
	for s, c := range counts {
		if c.Ready > 0 {
			wanting[s] = c.Ready
		}
	}
	return err
}

// WorkerEnded is for launchers that see how their workers end: the tasks that the worker held fail at once, and with what is known.
func (r *Reaper) WorkerEnded(ctx context.Context, stage pipeline.Stage, worker string, f *pipeline.Failure) error {
	ended, err := r.Queue.Lost(ctx, stage, worker, f)
	return errors.Join(err, r.announce(ctx, ended))
}

// restore rebuilds a queue that is not whole, once: it may have lost everything, and requests may have come since. Rebuilding is
// safe at any time.
func (r *Reaper) restore(ctx context.Context) error {
	if r.Archive == nil {
		return nil
	}
	whole, err := r.Queue.Whole(ctx)
	if err != nil || whole || !r.rested() {
		return err
	}
	rebuilt, err := queue.Rebuild(ctx, r.Queue, r.Archive.Records(ctx))
	if !errors.Is(err, queue.ErrLostAgain) { // that is cured by the next tick
		r.noteRestore(err)
	}
	if err != nil {
		return fmt.Errorf("rebuild the queue: %w", err)
	}
	if rebuilt.Requests > 0 {
		r.Log.WarnContext(ctx, "the queue had lost requests and was rebuilt", "requests", rebuilt.Requests, "tasks", rebuilt.Tasks)
	}
	return nil
}

// rested says whether a rebuild may be tried: none has failed a short while ago.
func (r *Reaper) rested() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.now().Sub(r.notRestored)
	return r.notRestored.IsZero() || since >= restorePause || since < 0
}

// noteRestore keeps when a rebuild has failed.
func (r *Reaper) noteRestore(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notRestored = time.Time{}
	if err != nil {
		r.notRestored = r.now()
	}
}

func (r *Reaper) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// announce publishes the ends that were not announced: the reaper ended those requests, or the program that did died first.
func (r *Reaper) announce(ctx context.Context, requestIDs []string) (failed error) {
	if r.Ended == nil {
		return nil
	}
	for _, id := range requestIDs {
		s, err := r.Queue.Lookup(ctx, id)
		if err == nil {
			err = r.Ended(ctx, s.Request, s.Status)
		}
		if err != nil && !errors.Is(err, queue.ErrNotFound) { // forgotten meanwhile
			failed = errors.Join(failed, fmt.Errorf("announce the end of %s: %w", id, err))
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
