// Package reconstruct is one reconstruction on this machine, without a cloud: one loop over the stages, with the queue in memory and
// a folder as the store. Stages, worker and queue are those of a deployment; 'splatworks up' is the rehearsal of everything else.
//
// Every attempt of a stage is a process of its own, of the same program, so that its memory can be measured and so that one that
// dies takes nothing with it. What the stages leave is kept in a folder: an interrupted reconstruction continues from the last
// finished stage, and training from its last checkpoint.
package reconstruct

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/folder"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// Options of a reconstruction.
type Options struct {
	Dir     string // everything is kept in here until Remove
	Input   io.ReaderAt
	Size    int64 // of Input, bytes
	Options pipeline.Options
	// Defaults are filled in where Options leave something open.
	Defaults pipeline.Defaults
	Random   io.Reader
	Now      func() time.Time
	Log      *slog.Logger
	// Patience is how long to wait for another program that works in Dir.
	Patience time.Duration
	Output   *os.File // what the stages' processes print; os.Stderr when nil

	// InProcess runs the stages in this process: for a debugger. The peak memory of a stage is then that of all stages before it, too.
	InProcess bool
	Define    func(pipeline.Stage) (stage.Definition, error) // for stages that run in this process

	Uploaded func(sent, total int64)                     // called with how much of Input is copied
	Progress func(pipeline.Progress)                     // called with what a stage reports
	Retry    func(f *pipeline.Failure, in time.Duration) // called with why a stage is retried, and when
}

// Reconstruction is one request on its way through the stages.
type Reconstruction struct {
	Options
	Request pipeline.Request
	Resumed bool // an interrupted one continues

	queue   *memq.Queue
	store   *folder.Store
	buckets artifacts.Buckets
	lock    *os.File
	work    string // what a stage works in: its path is fit for every tool, as one that a person chose may not be
	fences  int64  // the highest fence of an earlier run
}

const (
	// A lease is never taken away: the loop sees for itself when a stage's process ends.
	forever = 10 * 365 * 24 * time.Hour
	// firstRetry is short, for a person waits; later delays double.
	firstRetry = 2 * time.Second
)

// TimeLimit is a deployment's, too: what waits for room on the disk does not wait for ever.
const TimeLimit = 24 * time.Hour

// Patience is enough for a stage whose run was killed, and which saves its state.
const Patience = grace + 3*time.Second

// Run takes the request through the stages and returns the manifest of the last one. A stage that fails for good is a
// *pipeline.Failure. When ctx ends the stage at hand saves its state.
func (r *Reconstruction) Run(ctx context.Context) (*artifacts.Manifest, error) {
	input, err := r.upload(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range pipeline.Stages() {
		if input, err = r.stage(ctx, s, input); err != nil {
			return nil, err
		}
	}
	return artifacts.ReadManifest(ctx, r.store, input)
}

// stage attempts a stage until it has left its manifest, which is what the next stage starts from.
func (r *Reconstruction) stage(ctx context.Context, s pipeline.Stage, input pipeline.Object) (manifest pipeline.Object, err error) {
	if manifest, err := r.finished(ctx, s); !errors.Is(err, artifacts.ErrNotFound) {
		return manifest, err
	}
	if _, err := r.queue.Enqueue(ctx, queue.Task{RequestID: r.Request.ID, Stage: s, Input: input}); err != nil {
		return manifest, fmt.Errorf("enqueue %s: %w", s, err)
	}
	for {
		leases, err := r.queue.Claim(ctx, s, "run", 1)
		if err != nil {
			return manifest, fmt.Errorf("claim %s: %w", s, err)
		}
		for _, lease := range leases {
			if err := r.attempt(ctx, lease); err != nil {
				return manifest, err
			}
		}
		if err := ctx.Err(); err != nil {
			return manifest, err
		}
		manifest, err := r.finished(ctx, s)
		if !errors.Is(err, artifacts.ErrNotFound) {
			return manifest, err
		}
		if err := r.untilRetry(ctx); err != nil {
			return manifest, err
		}
	}
}

// finished is the manifest of a stage; ErrNotFound while it is missing.
func (r *Reconstruction) finished(ctx context.Context, s pipeline.Stage) (pipeline.Object, error) {
	return r.store.Stat(ctx, r.buckets.ManifestBucket(s), artifacts.ManifestName(r.Request.ID, s))
}

// attempt works on the task of a lease once. Whatever comes of it, the queue knows afterwards; its failure is not an error here.
func (r *Reconstruction) attempt(ctx context.Context, lease queue.Lease) error {
	r.Log.Info("stage begins", "stage", lease.Task().Stage, "attempt", lease.Attempt())
	held := reporting{lease, r.Progress}
	a := attemptOf(lease, r.fences)
	a.Dir, a.Work = r.Dir, r.work
	if r.InProcess {
		return work(ctx, a, held, r.Define, r.Log)
	}
	return r.inChild(ctx, a, held)
}

// reporting is a lease whose heartbeats a person sees.
type reporting struct {
	queue.Lease
	progress func(pipeline.Progress)
}

func (l reporting) Heartbeat(ctx context.Context, p pipeline.Progress) error {
	err := l.Lease.Heartbeat(ctx, p)
	if err == nil {
		l.progress(p)
	}
	return err
}

// untilRetry returns when the task that failed is due again, or with the failure that ended the request.
func (r *Reconstruction) untilRetry(ctx context.Context) error {
	if _, err := r.queue.Reap(ctx); err != nil { // the deadline
		return err
	}
	state, err := r.queue.Lookup(ctx, r.Request.ID)
	switch {
	case err != nil:
		return err
	case state.Status == pipeline.Failed:
		return state.Failure
	case state.RetryAt.IsZero():
		return nil
	}
	wait := state.RetryAt.Sub(r.Now())
	r.Retry(state.Failure, wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Open reads a result.
func (r *Reconstruction) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	return r.store.Open(ctx, o)
}

// Close lets others use the folder. What the stages left stays in it.
func (r *Reconstruction) Close() error { return errors.Join(os.RemoveAll(r.work), r.lock.Close()) }

// Forget leaves everything in the folder, and has the next reconstruction in it begin anew.
func (r *Reconstruction) Forget(ctx context.Context) error {
	return r.store.Delete(ctx, pipeline.Object{Bucket: r.buckets.Artifacts, Name: artifacts.RequestName(r.Request.ID)})
}

// Remove takes away all that the reconstruction has in its folder, and the folder if nothing else is in it.
func (r *Reconstruction) Remove() error {
	err := errors.Join(os.RemoveAll(filepath.Join(r.Dir, storeFolder)), os.RemoveAll(filepath.Join(r.Dir, lockFile)))
	_ = os.Remove(r.Dir)
	return err
}
