package stage_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/stage/stagetest"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// world is a whole backend in memory whose clock stands still until a test moves it.
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
	return stagetest.Manifest(w.t, w.store, w.buckets, id, s)
}
