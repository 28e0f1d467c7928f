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
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Worker claims the tasks of one stage, one after another, while there are any, and may then continue with the stage after it.
type Worker struct {
	Definition Definition
	ID         string // unique among workers
	Tasks      interface {
		Claim(ctx context.Context, stage pipeline.Stage, worker string, n int) ([]queue.Lease, error)
	}
	Slots   Slots
	Limit   int     // slots of the stage
	Further Further // where it may continue
	Store   artifacts.Store
	Buckets artifacts.Buckets
	WorkDir string                // on local disk; every job gets a folder of its own in it
	Room    func() (Space, error) // of WorkDir; nil: nobody asks
	Beat    time.Duration
	Until   time.Time    // when the machine goes away; zero: never
	MaxUSD  float64      // what a request may cost, by the estimates of its workers; 0: no limit
	Days    *tenant.Days // what callers may use in a day; nil: no limits
	USDPerS float64      // what a second of the machine costs, for estimates; 0: unknown, or nothing
	Now     func() time.Time
	Log     *slog.Logger
	// Ended, if set, is called for every request that this worker ended, once the queue has recorded it. What it cannot
	// announce, the reaper will.
	Ended func(ctx context.Context, r pipeline.Request, status pipeline.Status) error

	since time.Time // of Run
	at    Post      // where it works now
	step  int       // how many of Further's posts it has come to
	// secured says that it has a slot of the next post, too.
	secured bool
}

// Run works until nothing is ready for it, the time is nearly up, or stop is closed. Canceling ctx abandons the task
// at hand, whose lease then expires; closing stop lets it save its state and gives it back.
func (w *Worker) Run(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.since, w.at, w.step, w.secured = w.Now(), Post{w.Definition, w.Limit}, 0, false
	for {
		adopted, err := w.Slots.Adopt(ctx, w.at.Definition.Stage, w.ID, w.at.Limit)
		if err != nil {
			return fmt.Errorf("adopt slot: %w", err)
		}
		if !adopted {
			return nil // enough workers are here already
		}
		if again, err := w.serve(ctx, stop); err != nil || !again {
			return err
		}
	}
}

// serve runs the tasks of the stage that the worker is at, in the slot that it has there, and frees it. again says that there may be
// more for it to do: here, or at the next stage, to which it has moved then.
func (w *Worker) serve(ctx context.Context, stop <-chan struct{}) (again bool, err error) {
	kept := make(chan struct{})
	keeping, letGo := context.WithCancel(ctx)
	here := w.at.Definition.Stage
	go func() { defer close(kept); w.keepSlot(keeping, here) }()
	did, last, err := w.drain(ctx, stop)
	letGo()
	<-kept
	if err == nil && w.advance(ctx, last, stop) {
		return true, nil
	}
	// A task that arrived between the last look and here found the slot taken and launched nobody. So the slot is
	// freed first and the queue looked at once more: a pass that did nothing ends the worker.
	err = errors.Join(err, w.unsecure(ctx), w.release(ctx, here))
	return did && !stopped(stop) && ctx.Err() == nil, err
}

// drain runs tasks until none is ready; did says whether there was any, and last is what the last one left.
func (w *Worker) drain(ctx context.Context, stop <-chan struct{}) (did bool, last result, err error) {
	for w.hasTimeFor(ctx, w.at.Definition, stop) {
		leases, err := w.Tasks.Claim(ctx, w.at.Definition.Stage, w.ID, 1)
		if err != nil {
			return did, last, fmt.Errorf("claim: %w", err)
		}
		if len(leases) == 0 {
			return did, last, nil
		}
		did = true
		for lease := leases[0]; lease != nil; {
			if lease, last, err = w.work(ctx, lease, stop); err != nil {
				return did, last, err
			}
			if lease != nil {
				err = w.unsecure(ctx) // a task came meanwhile
			}
			if err != nil {
				w.Log.Warn("slot not freed", "error", err.Error())
			}
		}
		if last.requestID != "" {
			return did, last, nil // nothing was ready when it completed
		}
	}
	w.Log.Info("no further task for this worker", "stopped", stopped(stop), "until", w.Until)
	return did, last, nil
}

// hasTimeFor says whether the worker may begin another task of a stage.
func (w *Worker) hasTimeFor(ctx context.Context, d Definition, stop <-chan struct{}) bool {
	return !stopped(stop) && ctx.Err() == nil && (w.Until.IsZero() || w.Until.Sub(w.Now()) >= d.Budget)
}

func (w *Worker) keepSlot(ctx context.Context, s pipeline.Stage) {
	tick := time.NewTicker(w.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.Slots.Keep(ctx, s, w.ID); err != nil && ctx.Err() == nil {
				w.Log.Warn("slot not kept", "stage", s, "error", err.Error())
			}
		}
	}
}

// work runs one task to its outcome, and returns the next one if it was claimed along with that, and what this one left if it is done.
// It returns an error only when the outcome cannot be reported to the queue.
func (w *Worker) work(ctx context.Context, lease queue.Lease, stop <-chan struct{}) (next queue.Lease, left result, err error) {
	t, journal := lease.Task(), w.journalOf(lease)
	ctx = w.traced(ctx, t)
	log := w.Log.With("request_id", t.RequestID, "stage", t.Stage, "attempt", lease.Attempt(), "fence", lease.Fence())
	log.InfoContext(ctx, "task claimed")
	manifest, err := w.attempt(ctx, lease, stop, journal, log)
	w.leave(ctx, journal, err, stopped(stop), log)
	w.settle(ctx, lease, journal, log)
	if err == nil {
		if next, err = w.finish(ctx, lease, manifest, stop); err == nil {
			left = result{t.RequestID, manifest}
		}
	} else {
		err = w.giveUp(ctx, lease, err, stopped(stop), log)
	}
	if errors.Is(err, queue.ErrLeaseLost) || errors.Is(err, queue.ErrCanceled) {
		log.WarnContext(ctx, "task dropped", "reason", err.Error())
		return nil, result{}, nil
	}
	return next, left, err
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
	if w.hasTimeFor(ctx, w.at.Definition, stop) {
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
		w.Log.WarnContext(ctx, "end of request not announced yet", "request_id", r.ID, "stage", w.at.Definition.Stage, "error", err.Error())
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
	beside.Go(func() { w.meter(working, cancel, job) })
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
	w.secure(ctx, stop)
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
	if err := w.affords(ctx, job); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(job.Dir); err != nil {
		return nil, err
	}
	return job, os.MkdirAll(job.Dir, 0o755)
}

// run calls the stage, keeps its account, and turns a panic into a failure: the next task must not suffer for it.
func (w *Worker) run(ctx context.Context, job *Job) (err error) {
	forgetPeak()
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
		job.record.PeakRSSBytes = max(after.peakRSSBytes, job.journal.largestProgram())
		job.record.CostUSD = job.cost(job.record.FinishedAt)
		job.record.Programs = job.journal.programTimes()
	}()
	return w.at.Definition.Run(ctx, job)
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
	if w.at.Definition.Saves {
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
