package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// world is a whole backend in memory whose clock stands still until it is told to move.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	now     time.Time
	store   *memory.Store
	queue   *memq.Queue
	buckets artifacts.Buckets
	ended   []string
	worker  stage.Worker
}

func newWorld(t *testing.T, run func(context.Context, *stage.Job) error) *world {
	w := &world{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), store: memory.New(),
		buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	for _, s := range pipeline.Stages() {
		w.buckets.Inbox[s] = "inbox-" + string(s)
	}
	w.queue = memq.New(queue.Config{Now: w.clock, Rand: func() float64 { return 0 }})
	w.worker = stage.Worker{
		Definition: stage.Definition{Stage: pipeline.Filter, Run: run, Budget: time.Minute},
		ID:         "worker-1", Tasks: w.queue, Slots: w.queue, Limit: 1, Store: w.store, Buckets: w.buckets,
		WorkDir: t.TempDir(), Beat: time.Millisecond, Now: w.clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Ended: func(_ context.Context, r pipeline.Request, s pipeline.Status) error {
			w.ended = append(w.ended, r.ID+" "+string(s))
			return w.queue.Announced(context.Background(), r.ID)
		},
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// submit brings a request to the point where its first task is ready.
func (w *world) submit() string {
	w.t.Helper()
	id, o := w.upload()
	if _, err := w.queue.Enqueue(w.t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: o}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// upload brings a request to the point where the event of its upload is on its way.
func (w *world) upload() (id string, o pipeline.Object) {
	w.t.Helper()
	id, err := pipeline.NewRequestID(w.clock(), bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.queue.Submit(w.t.Context(), pipeline.Request{ID: id, SessionID: "s-" + id, TokenHash: "h-" + id, CreatedAt: w.clock()}); err != nil {
		w.t.Fatal(err)
	}
	o, err = w.store.Put(w.t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader("video"), artifacts.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, o
}

func (w *world) state(id string) queue.State {
	w.t.Helper()
	s, err := w.queue.Lookup(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) work() {
	w.t.Helper()
	if err := w.worker.Run(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) manifest(id string, s pipeline.Stage) *artifacts.Manifest {
	w.t.Helper()
	o, err := w.store.Stat(w.t.Context(), w.buckets.ManifestBucket(s), artifacts.ManifestName(id, s))
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := artifacts.ReadManifest(w.t.Context(), w.store, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

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
		t.Errorf("giving back used up an attempt: %d", m.History[0].Attempt)
	}
	for _, a := range m.Outputs {
		if a.Kind == artifacts.Checkpoint {
			t.Error("a checkpoint stands in the manifest")
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

func TestReceiver(t *testing.T) {
	w := newWorld(t, nil)
	var launched []pipeline.Stage
	staffing := stage.Staffing{Slots: w.queue, Limit: map[pipeline.Stage]int{pipeline.Filter: 1}, StartBudget: time.Minute,
		Launcher: launcher(func(s pipeline.Stage) error { launched = append(launched, s); return nil })}
	r := stage.Receiver{Stage: pipeline.Filter, Inbox: "inbox-filter", Tasks: w.queue, Staffing: staffing, Log: w.worker.Log}
	_, o := w.upload()
	event := func(typ, bucket, name string, generation int64) cloudevents.Event {
		e := cloudevents.NewEvent()
		e.SetID("1")
		e.SetSource("//storage.googleapis.com/projects/_/buckets/" + bucket)
		e.SetType(typ)
		body, _ := json.Marshal(map[string]string{"bucket": bucket, "name": name, "generation": strconv.FormatInt(generation, 10), "size": "5", "timeCreated": "2026-11-01T12:00:00Z"})
		if err := e.SetData(cloudevents.ApplicationJSON, json.RawMessage(body)); err != nil {
			t.Fatal(err)
		}
		return e
	}
	for range 3 { // at least once means often
		if err := r.Receive(t.Context(), event(stage.Finalized, "inbox-filter", o.Name, o.Generation)); err != nil {
			t.Fatal(err)
		}
	}
	if len(launched) != 1 {
		t.Errorf("launched %v", launched)
	}
	// Poison is acknowledged: no redelivery could help.
	for name, e := range map[string]cloudevents.Event{
		"type":       event("google.cloud.storage.object.v1.deleted", "inbox-filter", o.Name, 1),
		"bucket":     event(stage.Finalized, "elsewhere", o.Name, 1),
		"name":       event(stage.Finalized, "inbox-filter", "../../etc/passwd", 1),
		"request":    event(stage.Finalized, "inbox-filter", "01j00000000000000000000000/input", 1),
		"generation": event(stage.Finalized, "inbox-filter", o.Name, -1),
	} {
		if err := r.Receive(t.Context(), e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := w.queue.Counts(t.Context()); err != nil || c[pipeline.Filter].Ready != 1 {
		t.Errorf("counts %+v, %v", c, err)
	}
}

func TestReaperRedoesLostHandover(t *testing.T) {
	w := newWorld(t, func(context.Context, *stage.Job) error { return nil })
	id := w.submit()
	w.work() // the manifest is there, but its event never comes
	var launched []pipeline.Stage
	reaper := stage.Reaper{Queue: w.queue, Log: w.worker.Log, Staffing: stage.Staffing{Slots: w.queue,
		Limit: map[pipeline.Stage]int{pipeline.Preprocess: 1}, StartBudget: time.Minute,
		Launcher: launcher(func(s pipeline.Stage) error { launched = append(launched, s); return nil })}}
	w.advance(time.Hour)
	for range 2 {
		if _, err := reaper.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.state(id); s.Stage != pipeline.Preprocess || len(launched) != 1 || launched[0] != pipeline.Preprocess {
		t.Errorf("stage %s, launched %v", s.Stage, launched)
	}
}

func TestReaperAnnouncesWhatItEnds(t *testing.T) {
	w := newWorld(t, func(context.Context, *stage.Job) error { return nil })
	id := w.submit()
	reaper := stage.Reaper{Queue: w.queue, Log: w.worker.Log, Ended: w.worker.Ended,
		Staffing: stage.Staffing{Slots: w.queue, Launcher: launcher(func(pipeline.Stage) error { return nil })}}
	for range 4 { // a worker claims, and is never heard of again
		if _, err := w.queue.Claim(t.Context(), pipeline.Filter, "silent", 1); err != nil {
			t.Fatal(err)
		}
		w.advance(time.Hour)
		if _, err := reaper.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.state(id); s.Status != pipeline.Failed || s.Failure.Code != "worker_lost" {
		t.Fatalf("state %v %+v", s.Status, s.Failure)
	}
	if len(w.ended) != 1 || w.ended[0] != id+" FAILED" {
		t.Errorf("announced %v", w.ended)
	}
}

// Whoever ends a request may die before the world hears of it: the reaper tells it then, until it has worked, and once.
func TestReaperAnnouncesWhatNobodyDid(t *testing.T) {
	w := newWorld(t, func(context.Context, *stage.Job) error { return pipeline.Invalid("dark", "Too dark.", "Light it.") })
	announce := w.worker.Ended
	w.worker.Ended = func(context.Context, pipeline.Request, pipeline.Status) error { return errors.New("out of reach") }
	id := w.submit()
	w.work()
	refuse := true
	reaper := stage.Reaper{Queue: w.queue, Log: w.worker.Log,
		Staffing: stage.Staffing{Slots: w.queue, Launcher: launcher(func(pipeline.Stage) error { return nil })},
		Ended: func(ctx context.Context, r pipeline.Request, s pipeline.Status) error {
			if refuse {
				return errors.New("out of reach")
			}
			return announce(ctx, r, s)
		}}
	tick := func(want error, told int) {
		t.Helper()
		if _, err := reaper.Tick(t.Context()); (err == nil) != (want == nil) || len(w.ended) != told {
			t.Fatalf("announced %v, %v", w.ended, err)
		}
	}
	tick(nil, 0) // too early: its worker may be at it
	w.advance(time.Minute)
	tick(errors.New("refused"), 0)
	refuse = false
	tick(nil, 0) // the first try may still be under way
	w.advance(time.Minute)
	tick(nil, 1)
	w.advance(time.Hour)
	tick(nil, 1)
	if w.ended[0] != id+" FAILED" {
		t.Errorf("announced %v", w.ended)
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
		t.Errorf("given back: %v, %v, state %+v", leases, err, w.state(id))
	}
}

func TestRebuildFromArchive(t *testing.T) {
	w := newWorld(t, func(context.Context, *stage.Job) error { return nil })
	id := w.submit()
	w.work()
	record, err := json.Marshal(w.state(id).Request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Put(t.Context(), "artifacts", artifacts.RequestName(id), bytes.NewReader(record), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	empty := memq.New(queue.Config{Now: w.clock})
	archive := stage.Archive{Store: w.store, Buckets: w.buckets}
	built, err := queue.Rebuild(t.Context(), empty, archive.Records(t.Context()))
	if err != nil || built.Requests != 1 || built.Tasks != 1 {
		t.Fatalf("rebuilt %+v, %v", built, err)
	}
	leases, err := empty.Claim(t.Context(), pipeline.Preprocess, "w", 1)
	if err != nil || len(leases) != 1 || leases[0].Task().Input.Name != artifacts.ManifestName(id, pipeline.Filter) {
		t.Errorf("leases %v, %v", leases, err)
	}
	if err := archive.NoteOutcome(t.Context(), id, queue.Outcome{Status: pipeline.Canceled, At: w.clock()}); err != nil {
		t.Fatal(err)
	}
	empty = memq.New(queue.Config{Now: w.clock})
	if built, err := queue.Rebuild(t.Context(), empty, archive.Records(t.Context())); err != nil || built.Tasks != 0 {
		t.Errorf("a canceled request was taken up again: %+v, %v", built, err)
	}
}

type launcher func(pipeline.Stage) error

func (l launcher) Launch(_ context.Context, s pipeline.Stage) error { return l(s) }
