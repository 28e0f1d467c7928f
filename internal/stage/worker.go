package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Worker claims the tasks of one stage, one after another, while there are any.
type Worker struct {
	Definition Definition
	ID         string // unique among workers
	Tasks      interface {
		Claim(ctx context.Context, stage pipeline.Stage, worker string, n int) ([]queue.Lease, error)
	}
	Slots   Slots
	Limit   int // slots of the stage
	Store   artifacts.Store
	Buckets artifacts.Buckets
	WorkDir string                // on local disk; every job gets a folder of its own in it
	Room    func() (Space, error) // of WorkDir; nil: nobody asks
	Beat    time.Duration
	Until   time.Time // when the machine goes away; zero: never
	MaxUSD  float64   // what a request may cost, by the estimates of its workers; 0: no limit
	USDPerS float64   // what a second of the machine costs, for estimates; 0: unknown, or nothing
	Now     func() time.Time
	Log     *slog.Logger
	// Ended, if set, is called for every request that this worker ended, once the queue has recorded it. What it cannot
	// announce, the reaper will.
	Ended func(ctx context.Context, r pipeline.Request, status pipeline.Status) error

	since time.Time // of Run
}

// Run works until the stage has nothing ready, the time is nearly up, or stop is closed. Canceling ctx abandons the task
// at hand, whose lease then expires; closing stop lets it save its state and gives it back.
func (w *Worker) Run(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.since = w.Now()
	for {
		adopted, err := w.Slots.Adopt(ctx, w.Definition.Stage, w.ID, w.Limit)
		if err != nil {
			return fmt.Errorf("adopt slot: %w", err)
		}
		if !adopted {
			return nil // enough workers are here already
		}
		kept := make(chan struct{})
		keeping, letGo := context.WithCancel(ctx)
		go func() { defer close(kept); w.keepSlot(keeping) }()
		did, err := w.drain(ctx, stop)
		letGo()
		<-kept
		// A task that arrived between the last look and here found the slot taken and launched nobody. So the slot is
		// freed first and the queue looked at once more: a pass that did nothing ends the worker.
		release, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		err = errors.Join(err, w.Slots.Release(release, w.Definition.Stage, w.ID))
		done()
		if err != nil || !did || stopped(stop) || ctx.Err() != nil {
			return err
		}
	}
}

// drain runs tasks until none is ready; did says whether there was any.
func (w *Worker) drain(ctx context.Context, stop <-chan struct{}) (did bool, err error) {
	for w.goesOn(ctx, stop) {
		leases, err := w.Tasks.Claim(ctx, w.Definition.Stage, w.ID, 1)
		if err != nil {
			return did, fmt.Errorf("claim: %w", err)
		}
		if len(leases) == 0 {
			return did, nil
		}
		did = true
		for lease := leases[0]; lease != nil; {
			if lease, err = w.work(ctx, lease, stop); err != nil {
				return did, err
			}
		}
	}
	w.Log.Info("no further task for this worker", "stopped", stopped(stop), "until", w.Until)
	return did, nil
}

// goesOn says whether there may be another task after this one.
func (w *Worker) goesOn(ctx context.Context, stop <-chan struct{}) bool {
	return !stopped(stop) && ctx.Err() == nil && (w.Until.IsZero() || w.Until.Sub(w.Now()) >= w.Definition.Budget)
}

func (w *Worker) keepSlot(ctx context.Context) {
	tick := time.NewTicker(w.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.Slots.Keep(ctx, w.Definition.Stage, w.ID); err != nil && ctx.Err() == nil {
				w.Log.Warn("slot not kept", "error", err.Error())
			}
		}
	}
}

// work runs one task to its outcome, and returns the next one if it was claimed along with that. It returns an error only
// when the outcome cannot be reported to the queue.
func (w *Worker) work(ctx context.Context, lease queue.Lease, stop <-chan struct{}) (next queue.Lease, err error) {
	t, journal := lease.Task(), w.journalOf(lease)
	ctx = w.traced(ctx, t)
	log := w.Log.With("request_id", t.RequestID, "stage", t.Stage, "attempt", lease.Attempt(), "fence", lease.Fence())
	log.InfoContext(ctx, "task claimed")
	manifest, err := w.attempt(ctx, lease, stop, journal, log)
	w.leave(ctx, journal, err, stopped(stop), log)
	if err == nil {
		next, err = w.finish(ctx, lease, manifest, stop)
	} else {
		err = w.giveUp(ctx, lease, err, stopped(stop), log)
	}
	if errors.Is(err, queue.ErrLeaseLost) || errors.Is(err, queue.ErrCanceled) {
		log.WarnContext(ctx, "task dropped", "reason", err.Error())
		return nil, nil
	}
	return next, err
}

// traceTime bounds the look for a trace: the lease is running.
const traceTime = 5 * time.Second

// traced is ctx with the trace of the call that asked for the request, which its record keeps: the worker's lines are found with
// those of that call. Without it they are written anyway.
func (w *Worker) traced(ctx context.Context, t queue.Task) context.Context {
	var record struct {
		Trace serve.Trace `json:"trace"`
	}
	look, cancel := context.WithTimeout(ctx, traceTime)
	defer cancel()
	o := pipeline.Object{Bucket: w.Buckets.Artifacts, Name: artifacts.RequestName(t.RequestID)}
	if err := artifacts.GetJSON(look, w.Store, o, &record, maxRecordBytes); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
		w.Log.WarnContext(ctx, "trace not read", "request_id", t.RequestID, "stage", t.Stage, "error", err.Error())
	}
	return record.Trace.In(ctx)
}

// finish is reached with the manifest written: from here on the result exists, whichever program reports it. A worker that continues
// claims its next task in the same step.
func (w *Worker) finish(ctx context.Context, lease queue.Lease, manifest pipeline.Object, stop <-chan struct{}) (next queue.Lease, err error) {
	if w.goesOn(ctx, stop) {
		next, err = lease.CompleteAndClaim(ctx, manifest)
	} else {
		err = lease.Complete(ctx, manifest)
	}
	if err != nil {
		return nil, err
	}
	if _, more := lease.Task().Stage.Next(); !more {
		w.announce(ctx, lease.Request(), pipeline.Completed)
	}
	return next, nil
}

// announceTime is how long a worker tries to announce the end of a request before it leaves that to the reaper.
const announceTime = 10 * time.Second

func (w *Worker) announce(ctx context.Context, r pipeline.Request, s pipeline.Status) {
	if w.Ended == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceTime) // the lease of the next task is running
	defer cancel()
	if err := w.Ended(ctx, r, s); err != nil {
		w.Log.WarnContext(ctx, "end of request not announced yet", "request_id", r.ID, "stage", w.Definition.Stage, "error", err.Error())
	}
}

func (w *Worker) giveUp(ctx context.Context, lease queue.Lease, cause error, stopping bool, log *slog.Logger) error {
	if ctx.Err() != nil && !stopping {
		return queue.ErrLeaseLost // abandoned, as Run promises: the lease expires
	}
	// The stop may have ended the context; the queue must hear of it anyway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	switch {
	case errors.Is(cause, queue.ErrLeaseLost) || errors.Is(cause, queue.ErrCanceled):
		return cause
	case released(cause, stopping):
		log.InfoContext(ctx, "task released")
		return lease.GiveBack(ctx)
	}
	f := w.failureOf(cause, lease.Task().Stage)
	retry, err := lease.Fail(ctx, f)
	log.WarnContext(ctx, "task failed", "code", f.Code, "kind", f.Kind, "retry", retry, "error", cause.Error())
	if err == nil && !retry {
		w.announce(ctx, lease.Request(), pipeline.Failed)
	}
	return err
}

// attempt runs the stage and writes its manifest.
func (w *Worker) attempt(ctx context.Context, lease queue.Lease, stop <-chan struct{}, journal *journal, log *slog.Logger) (pipeline.Object, error) {
	t := lease.Task()
	// A worker may have died between its manifest and its Complete: then the work is done and only the word is missing.
	bucket, name := w.Buckets.ManifestBucket(t.Stage), artifacts.ManifestName(t.RequestID, t.Stage)
	if o, err := w.Store.Stat(ctx, bucket, name); err == nil {
		log.InfoContext(ctx, "manifest exists already", "manifest", o.String())
		return o, nil
	} else if !errors.Is(err, artifacts.ErrNotFound) {
		return pipeline.Object{}, fmt.Errorf("look for manifest: %w", err)
	}

	job, err := w.newJob(ctx, lease, journal)
	if err != nil {
		return pipeline.Object{}, err
	}
	defer os.RemoveAll(job.Dir)
	defer w.removePreviews(ctx, job)

	working, cancel := context.WithCancelCause(tool.Watched(ctx, journal))
	defer cancel(nil)
	var beside sync.WaitGroup
	beside.Go(func() { w.heartbeat(working, cancel, lease, job) })
	beside.Go(func() { w.watch(working, cancel, stop, job) })
	err = w.run(working, job)
	if reason := context.Cause(working); err != nil && reason != nil && ctx.Err() == nil {
		err = reason // whatever Run says is a consequence
	}
	cancel(nil)
	beside.Wait()
	if err != nil {
		return pipeline.Object{}, err
	}

	// Last look before the result becomes visible: a worker that was silent too long must not speak for the request.
	for more := true; more; {
		p := job.latest()
		if err := lease.Heartbeat(ctx, p); err != nil {
			return pipeline.Object{}, err
		}
		more = job.published(p)
	}
	o, err := artifacts.WriteManifest(ctx, w.Store, w.Buckets, job.manifest())
	if errors.Is(err, artifacts.ErrExists) {
		err = nil
	}
	return o, err
}

func (w *Worker) newJob(ctx context.Context, lease queue.Lease, journal *journal) (*Job, error) {
	t, failure := lease.Task(), lease.LastFailure()
	job := &Job{
		Smaller: failure != nil && failure.Kind == pipeline.ExhaustedResources, Earlier: failure,
		Request: lease.Request(), Options: lease.Request().Options.WithDefaults(), Attempt: lease.Attempt(),
		Dir:   filepath.Join(w.WorkDir, strconv.FormatInt(lease.Fence(), 10)),
		stage: t.Stage, fence: lease.Fence(), store: w.Store, buckets: w.Buckets, stopping: make(chan struct{}), saved: lease.Saved, now: w.Now,
		fresh: make(chan struct{}, 1), usdPerS: w.USDPerS, room: w.Room,
		record: artifacts.StageRecord{Stage: t.Stage, Attempt: lease.Attempt(), Fence: lease.Fence(), WorkerAt: w.since, ClaimedAt: journal.ClaimedAt,
			Earlier: w.earlier(ctx, t)},
		journal: journal,
	}
	if _, ok := t.Stage.Previous(); ok {
		m, err := artifacts.ReadManifest(ctx, w.Store, t.Input)
		if err != nil {
			return nil, err
		}
		job.known, job.history = m.Known(), m.History
	} else {
		uploads := []pipeline.Object{t.Input}
		if artifacts.IsCapture(t.Input.Name) {
			capture, err := artifacts.ReadCapture(ctx, w.Store, t.Input)
			if err != nil {
				return nil, err
			}
			uploads = capture.Objects
		}
		for _, o := range uploads {
			job.known = append(job.known, artifacts.Artifact{Kind: artifacts.Upload, Object: o})
		}
	}
	if err := w.affords(job); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(job.Dir); err != nil {
		return nil, err
	}
	return job, os.MkdirAll(job.Dir, 0o755)
}

// run calls the stage, keeps its account, and turns a panic into a failure: the next task must not suffer for it.
func (w *Worker) run(ctx context.Context, job *Job) (err error) {
	job.startCPUS = usage().cpuS
	job.mu.Lock()
	job.record.StartedAt = w.Now()
	job.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		after := usage()
		job.mu.Lock()
		defer job.mu.Unlock()
		job.record.FinishedAt = w.Now()
		job.record.WallS = job.record.FinishedAt.Sub(job.record.StartedAt).Seconds()
		job.record.CPUS = after.cpuS - job.startCPUS
		job.record.PeakRSSBytes = after.peakRSSBytes
		job.record.CostUSD = job.cost(job.record.FinishedAt)
		job.record.Programs = job.journal.programTimes()
	}()
	return w.Definition.Run(ctx, job)
}

// saveTime is what a stage gets to save its state before the machine goes away.
const saveTime = 30 * time.Second

// watch ends the work when the worker stops or its time is up: by asking a stage that saves its state, by
// cancelling any other.
func (w *Worker) watch(ctx context.Context, cancel context.CancelCauseFunc, stop <-chan struct{}, job *Job) {
	var timeUp <-chan time.Time
	if !w.Until.IsZero() {
		timer := time.NewTimer(w.Until.Sub(w.Now()) - saveTime)
		defer timer.Stop()
		timeUp = timer.C
	}
	reason := ErrStopped
	select {
	case <-ctx.Done():
		return
	case <-stop:
	case <-timeUp:
		reason = context.DeadlineExceeded
	}
	if w.Definition.Saves {
		close(job.stopping)
	} else {
		cancel(reason)
	}
}

// heartbeat keeps the lease and passes on progress. It cancels the work with the reason once the lease is gone.
func (w *Worker) heartbeat(ctx context.Context, cancel context.CancelCauseFunc, lease queue.Keeper, job *Job) {
	tick := time.NewTicker(w.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-job.fresh:
			// News at once, but not more often than a few times a second.
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(w.Beat, 250*time.Millisecond)):
			}
		}
		p := job.latest()
		err := lease.Heartbeat(ctx, p)
		switch {
		case err == nil:
			if job.published(p) {
				job.signal()
			}
		case ctx.Err() != nil:
		case errors.Is(err, queue.ErrLeaseLost) || errors.Is(err, queue.ErrCanceled):
			cancel(err)
			return
		case !w.Now().Before(lease.ExpiresAt()):
			cancel(fmt.Errorf("%w: no heartbeat got through: %v", queue.ErrLeaseLost, err))
			return
		default:
			w.Log.WarnContext(ctx, "heartbeat not sent", "request_id", job.Request.ID, "stage", job.stage, "error", err.Error())
		}
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
