package stage_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

func TestWorkerLeavesManifest(t *testing.T) {
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		path, err := job.Fetch(ctx, artifacts.Upload)
		if err != nil {
			return err
		}
		job.Progress(pipeline.Progress{Step: "half", Percent: 50})
		job.Progress(pipeline.Progress{Step: "back", Percent: 10})
		job.Warn(pipeline.Warning{Code: "blurry", Message: "Blurry."})
		job.Metric("frames", 3)
		return job.Publish(ctx, artifacts.Selection, path)
	})
	id := w.submit()
	w.work()
	m := w.manifest(id, pipeline.Filter)
	if m == nil {
		t.Fatal("no manifest")
	}
	if len(m.Inputs) != 1 || m.Inputs[0].Kind != artifacts.Upload || len(m.Outputs) != 1 || m.Outputs[0].Kind != artifacts.Selection {
		t.Errorf("inputs %v, outputs %v", m.Inputs, m.Outputs)
	}
	record := m.History[len(m.History)-1]
	if record.Stage != pipeline.Filter || record.Attempt != 1 || record.Metrics["frames"] != 3 || len(record.Warnings) != 1 || record.Warnings[0].Stage != pipeline.Filter {
		t.Errorf("record %+v", record)
	}
	if s := w.state(id); s.Status != pipeline.Processing || s.Manifest.Name != artifacts.ManifestName(id, pipeline.Filter) {
		t.Errorf("state %+v", s)
	}
}

// claims counts the calls of Claim.
type claims struct {
	*memq.Queue
	n int
}

func (c *claims) Claim(ctx context.Context, s pipeline.Stage, worker string, n int) ([]queue.Lease, error) {
	c.n++
	return c.Queue.Claim(ctx, s, worker, n)
}

// Between two tasks of a worker there is one call, and a stop that comes with it costs the next task no attempt.
func TestWorkerClaimsWithItsCompletion(t *testing.T) {
	var done []string
	stop := make(chan struct{})
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		if done = append(done, job.Request.ID); len(done) == 4 {
			close(stop)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	var ids []string
	for range 5 {
		w.advance(time.Millisecond)
		ids = append(ids, w.submit())
	}
	counted := &claims{Queue: w.queue}
	w.worker.Tasks = counted
	if err := w.worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if counted.n != 1 || !slices.Equal(done, ids[:4]) {
		t.Errorf("%d claims for %v of %v", counted.n, done, ids)
	}
	for i, id := range ids {
		if s := w.state(id); (s.Manifest.Name != "") != (i < 3) || s.Attempt != 0 {
			t.Errorf("request %d: %+v", i, s)
		}
	}
	// With too little time left for another task the worker claims none along.
	w.worker.Until, w.worker.Definition.Budget = w.clock().Add(time.Minute), time.Minute
	w.worker.Definition.Run = func(context.Context, *stage.Job) error { w.advance(time.Second); return nil }
	if err := w.worker.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c, err := w.queue.Counts(t.Context())
	if err != nil || c[pipeline.Filter].Ready != 1 || c[pipeline.Filter].Leased != 0 {
		t.Errorf("counts %+v, %v", c, err)
	}
}

func TestInvalidInputFailsAtOnceAndWorkerLivesOn(t *testing.T) {
	for name, run := range map[string]struct {
		err  error
		code string
	}{
		"failure": {pipeline.Invalid("not_a_video", "No.", "Send a video."), "not_a_video"},
		"wrapped": {fmt.Errorf("probe: %w", pipeline.Invalid("not_a_video", "No.", "Send a video.")), "not_a_video"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(context.Context, *stage.Job) error { return run.err })
			id := w.submit()
			w.work()
			s := w.state(id)
			if s.Status != pipeline.Failed || s.Failure.Code != run.code || s.Failure.Stage != pipeline.Filter || s.Failure.Advice == "" {
				t.Errorf("state %v %+v", s.Status, s.Failure)
			}
			if w.manifest(id, pipeline.Filter) != nil {
				t.Error("a failed stage left a manifest")
			}
			if len(w.ended) != 1 || w.ended[0] != id+" FAILED" {
				t.Errorf("ended %v", w.ended)
			}
		})
	}
}

func TestPanicIsRetriedThenFails(t *testing.T) {
	attempts := 0
	w := newWorld(t, func(context.Context, *stage.Job) error { attempts++; panic("boom") })
	id := w.submit()
	for range 5 {
		w.work()
		w.advance(time.Hour)
	}
	if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != "internal" || attempts != 3 {
		t.Errorf("after %d attempts: %v %+v", attempts, s.Status, s.Failure)
	}
}

func TestStoppedWorkIsGivenBackAndResumed(t *testing.T) {
	stop := make(chan struct{})
	first := true
	w := newWorld(t, func(ctx context.Context, job *stage.Job) error {
		if first {
			first = false
			close(stop)
			<-job.Stopping()
			if err := job.SaveCheckpoint(ctx, strings.NewReader("half")); err != nil {
				return err
			}
			return stage.ErrStopped
		}
		r, err := job.OpenCheckpoint(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil || string(b) != "half" {
			return fmt.Errorf("checkpoint %q, %w", b, err)
		}
		return nil
	})
	w.worker.Definition.Saves = true
	id := w.submit()
	if err := w.worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	if s := w.state(id); s.Status != pipeline.Processing || w.manifest(id, pipeline.Filter) != nil {
		t.Fatalf("after the stop: %v", s.Status)
	}
	w.work()
	m := w.manifest(id, pipeline.Filter)
	if m == nil {
		t.Fatal("not finished by the second worker")
	}
	if m.History[0].Attempt != 1 {
		t.Errorf("releasing used up an attempt: %d", m.History[0].Attempt)
	}
	for _, a := range m.Outputs {
		if a.Kind == artifacts.Checkpoint {
			t.Error("a checkpoint is in the manifest")
		}
	}
}

func TestExpiredLeaseIsNotAdopted(t *testing.T) {
	var w *world
	attempts := 0
	w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
		attempts++
		if err := job.PublishFrom(ctx, artifacts.Selection, strings.NewReader(strconv.Itoa(attempts))); err != nil {
			return err
		}
		if attempts == 1 {
			w.advance(time.Hour) // silent for too long
			if _, err := w.queue.Reap(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	id := w.submit()
	w.work()
	m := w.manifest(id, pipeline.Filter)
	if m == nil || attempts != 2 {
		t.Fatalf("attempts %d, manifest %v", attempts, m)
	}
	o, _ := m.Find(artifacts.Selection)
	r, err := w.store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "2" {
		t.Errorf("the manifest names what attempt %s wrote", b)
	}
}

func TestCancelStopsTheWork(t *testing.T) {
	var w *world
	var id string
	w = newWorld(t, func(ctx context.Context, job *stage.Job) error {
		if err := w.queue.Cancel(ctx, id); err != nil {
			return err
		}
		<-ctx.Done() // the heartbeat learns of it
		return ctx.Err()
	})
	id = w.submit()
	w.work()
	if s := w.state(id); s.Status != pipeline.Canceled || w.manifest(id, pipeline.Filter) != nil {
		t.Errorf("state %v", s.Status)
	}
}

func TestManifestWithoutCompleteIsAdopted(t *testing.T) {
	runs := 0
	w := newWorld(t, func(context.Context, *stage.Job) error { runs++; return nil })
	id := w.submit()
	m := &artifacts.Manifest{Version: 1, Request: w.state(id).Request, Stage: pipeline.Filter, History: []artifacts.StageRecord{{Stage: pipeline.Filter}}}
	o, err := artifacts.WriteManifest(t.Context(), w.store, w.buckets, m) // and the worker died here
	if err != nil {
		t.Fatal(err)
	}
	w.work()
	if s := w.state(id); s.Manifest.Generation != o.Generation || runs != 0 {
		t.Errorf("runs %d, state %+v", runs, s)
	}
}

func TestEveryWarningArrives(t *testing.T) {
	w := newWorld(t, func(_ context.Context, job *stage.Job) error {
		for _, code := range []string{"a", "b", "c"} {
			job.Warn(pipeline.Warning{Code: code, Message: code})
			job.Progress(pipeline.Progress{Step: "on", Percent: 50})
		}
		return nil
	})
	id := w.submit()
	w.work()
	if got := w.state(id).Warnings; len(got) != 3 || got[0].Code != "a" || got[2].Code != "c" {
		t.Errorf("warnings %+v", got)
	}
}

func TestStopEndsWhatSavesNothing(t *testing.T) {
	stop := make(chan struct{})
	w := newWorld(t, func(ctx context.Context, _ *stage.Job) error {
		close(stop)
		<-ctx.Done()
		return ctx.Err()
	})
	id := w.submit()
	if err := w.worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "next", 1)
	if err != nil || len(leases) != 1 || leases[0].Attempt() != 1 {
		t.Errorf("released: %v, %v, state %+v", leases, err, w.state(id))
	}
}
