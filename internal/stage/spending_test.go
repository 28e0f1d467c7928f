package stage_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// limited gives a world's worker limits of a day, the same for every caller.
func (w *world) limited(d, all tenant.Daily) *ratelimittest.Meter {
	m := ratelimittest.NewMeter(24*time.Hour, w.clock)
	w.worker.Days = &tenant.Days{Meter: m, All: all, Of: func(string) tenant.Daily { return d }}
	return m
}

// asks brings a request of a caller to the point where its first task is ready.
func (w *world) asks(caller string, salt byte) string {
	w.t.Helper()
	id, err := pipeline.NewRequestID(w.clock(), bytes.NewReader(bytes.Repeat([]byte{salt}, 16)))
	if err == nil {
		err = w.queue.Submit(w.t.Context(), pipeline.Request{ID: id, SessionID: "s-" + id, Caller: caller, TokenHash: "h-" + id, CreatedAt: w.clock()})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := w.store.Put(w.t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader("video"), artifacts.PutOptions{})
	if err == nil {
		_, err = w.queue.Enqueue(w.t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: o})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// used is what has been counted for a caller.
func used(t *testing.T, m tenant.Meter, who string, of tenant.Resource) int64 {
	t.Helper()
	n, _, err := m.Used(t.Context(), who, of, 1)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nothingIsLeft of work that was ended: no lease, no slot, no waiting task, no folder, and no object but uploads and reports of attempts.
func (w *world) nothingIsLeft() {
	w.t.Helper()
	counts, err := w.queue.Counts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for s, c := range counts {
		if c.Ready+c.Leased+c.Delayed+c.Slots != 0 {
			w.t.Errorf("%s: %+v", s, c)
		}
	}
	if left, err := os.ReadDir(w.worker.WorkDir); err != nil || len(left) != 0 {
		w.t.Errorf("the work folder holds %v (%v)", left, err)
	}
	for _, bucket := range []string{"artifacts", w.buckets.Inbox[pipeline.Preprocess]} {
		for o, err := range w.store.List(w.t.Context(), bucket, "") {
			if err != nil || !strings.HasSuffix(o.Name, "/attempt.json") {
				w.t.Errorf("left: %s (%v)", o, err)
			}
		}
	}
}

// TestTheLastMinuteOfADay: two requests of a caller work at once when its day runs out. Both end with the code, neither is retried, what they
// used is counted and no more, and a request of another caller continues.
func TestTheLastMinuteOfADay(t *testing.T) {
	for name, limit := range map[string]struct{ own, all tenant.Daily }{
		"minutes": {own: tenant.Daily{Minutes: 1}}, "USD": {own: tenant.Daily{USD: 0.6}}, "USD of all": {all: tenant.Daily{USD: 0.6}},
	} {
		t.Run(name, func(t *testing.T) {
			var begun atomic.Int64
			w := newWorld(t, nil)
			w.worker.Definition.Run = func(ctx context.Context, job *stage.Job) error {
				if job.Request.Caller == "other" {
					return nil
				}
				if begun.Add(1) == 2 {
					w.advance(40 * time.Second) // 80 s of the two
				}
				<-ctx.Done()
				return ctx.Err()
			}
			meter := w.limited(limit.own, limit.all)
			w.worker.USDPerS, w.worker.Limit = 0.01, 2
			ids := []string{w.asks("busy", 1), w.asks("busy", 2)}
			var both sync.WaitGroup
			for i := range ids {
				worker := w.worker
				worker.ID = ids[i]
				both.Go(func() {
					if err := worker.Run(t.Context(), nil); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			for _, id := range ids {
				if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != pipeline.QuotaExceeded || s.Attempt != 1 || !s.Failure.Resubmittable() {
					t.Errorf("%s: %s %+v", id, s.Status, s.Failure)
				}
			}
			if n := used(t, meter, "busy", tenant.Work); limit.own.Minutes > 0 && n != 80_000 {
				t.Errorf("%d ms are counted", n)
			}
			w.nothingIsLeft()

			before := begun.Load()
			next, other := w.asks("busy", 3), w.asks("other", 4)
			w.work()
			if s := w.state(next); s.Status != pipeline.Failed || s.Failure.Code != pipeline.QuotaExceeded || begun.Load() != before {
				t.Errorf("the next one: %s %+v", s.Status, s.Failure)
			}
			if s := w.state(other); (s.Status == pipeline.Failed) != (limit.all.USD > 0) {
				t.Errorf("another caller's: %s %+v", s.Status, s.Failure)
			}
			w.advance(25 * time.Hour)
			again := w.asks("busy", 5)
			w.worker.Definition.Run = func(context.Context, *stage.Job) error { return nil }
			w.work()
			if s := w.state(again); s.Status == pipeline.Failed {
				t.Errorf("on the next day: %+v", s.Failure)
			}
		})
	}
}

// TestAttemptsAreChargedForWhatTheyUsed: a failed attempt for its own time, its retry for its own, and each once however many heartbeats it
// lives; the upload once for all of them.
func TestAttemptsAreChargedForWhatTheyUsed(t *testing.T) {
	w := newWorld(t, nil)
	meter := w.limited(tenant.Daily{Minutes: 100, Bytes: 100, USD: 100}, tenant.Daily{})
	flaky := &flaky{Meter: meter}
	w.worker.Days.Meter = flaky
	w.worker.Definition.Run = func(ctx context.Context, job *stage.Job) error {
		for _, s := range []time.Duration{3, 4} {
			w.advance(s * time.Second)
			for seen := flaky.calls.Load(); flaky.calls.Load() < seen+4 && ctx.Err() == nil; {
				runtime.Gosched() // heartbeats charge meanwhile, and every other charge fails
			}
		}
		if job.Attempt == 1 {
			return &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky", Message: "It failed.", Advice: "Nothing."}
		}
		return nil
	}
	w.worker.USDPerS = 0.5
	id := w.asks("a", 1)
	w.work()
	if n := used(t, meter, "a", tenant.Work); n < 3000 || n > 7000 { // the last charge may have failed
		t.Errorf("after one attempt %d ms are counted", n)
	}
	flaky.steady.Store(true)
	w.advance(time.Hour)
	before := used(t, meter, "a", tenant.Work)
	w.work()
	if s := w.state(id); s.Status == pipeline.Failed || w.manifest(id, pipeline.Filter) == nil {
		t.Fatalf("%s %+v", s.Status, s.Failure)
	}
	if n := used(t, meter, "a", tenant.Work) - before; n != 7000 {
		t.Errorf("the second attempt counts as %d ms", n)
	}
	if n := used(t, meter, "a", tenant.Upload); n != int64(len("video")) {
		t.Errorf("the upload counts as %d bytes", n)
	}
	if n := used(t, meter, "a", tenant.Cost); n < 5_000_000 || n > 7_000_000 {
		t.Errorf("%d millionths of a USD", n)
	}
}

// TestCapturesBeyondTheDay are refused before any work, and are not counted: a smaller one may fit.
func TestCapturesBeyondTheDay(t *testing.T) {
	begun := 0
	w := newWorld(t, func(context.Context, *stage.Job) error { begun++; return nil })
	meter := w.limited(tenant.Daily{}, tenant.Daily{Bytes: 9})
	first, second := w.asks("a", 1), w.asks("b", 2)
	w.work()
	if s := w.state(first); s.Status == pipeline.Failed {
		t.Errorf("%+v", s.Failure)
	}
	s := w.state(second)
	if s.Status != pipeline.Failed || s.Failure.Code != pipeline.QuotaExceeded || !strings.Contains(s.Failure.Message, "9 bytes of captures of all callers") || begun != 1 {
		t.Errorf("%s %+v, %d begun", s.Status, s.Failure, begun)
	}
	if n := used(t, meter, tenant.All, tenant.Upload); n != 5 {
		t.Errorf("%d bytes are counted", n)
	}
}

// flaky is a meter of which every other answer is lost until it is steady: in turn before and after the charge was noted.
type flaky struct {
	tenant.Meter
	calls  atomic.Int64
	steady atomic.Bool
}

func (f *flaky) Charge(ctx context.Context, c tenant.Charge) (tenant.Beyond, error) {
	n := f.calls.Add(1)
	lost := n > 3 && n%2 == 0 && !f.steady.Load()
	if lost && n%4 == 0 {
		return tenant.Within, errors.New("no connection")
	}
	beyond, err := f.Meter.Charge(ctx, c)
	if lost {
		return tenant.Within, errors.New("connection reset")
	}
	return beyond, err
}
