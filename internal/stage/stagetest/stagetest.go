// Package stagetest runs one stage over one request, against a backend in memory: what a service's tests need to see what
// it makes of its inputs.
package stagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// World is a backend in memory with one request. Its clock stands still but for Later.
type World struct {
	Store   *memory.Store
	Queue   *memq.Queue
	Buckets artifacts.Buckets
	Request pipeline.Request
	Worker  stage.Worker
	Known   artifacts.ReportDocument // what the stages before reported

	t    *testing.T
	time time.Time
}

// New submits a request with options, to be worked on at the stage that is defined.
func New(t *testing.T, options pipeline.Options, d stage.Definition) *World {
	t.Helper()
	w := &World{t: t, time: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Store: memory.New(), Buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	for _, s := range pipeline.Stages() {
		w.Buckets.Inbox[s] = "inbox-" + string(s)
	}
	now := func() time.Time { return w.time }
	w.Queue = memq.New(queue.Config{Now: now, Rand: func() float64 { return 0 }})
	id, err := pipeline.NewRequestID(now(), bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	w.Request = pipeline.Request{ID: id, SessionID: "s", TokenHash: "h", CreatedAt: now(), Options: options}
	if err := w.Queue.Submit(t.Context(), w.Request); err != nil {
		t.Fatal(err)
	}
	w.Worker = stage.Worker{
		Definition: d, ID: "worker-1", Tasks: w.Queue, Slots: w.Queue, Limit: 1, Store: w.Store, Buckets: w.Buckets,
		WorkDir: t.TempDir(), Beat: time.Millisecond, Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Ended: func(context.Context, pipeline.Request, pipeline.Status) error { return nil },
	}
	return w
}

// Give publishes a folder as the artifact that the stage before leaves, and makes the task ready.
func (w *World) Give(kind artifacts.Kind, dir string) {
	w.t.Helper()
	w.GiveAll(map[artifacts.Kind]string{kind: dir})
}

// GiveAll publishes folders, packed, and files as what the stage before leaves, and makes the task ready.
func (w *World) GiveAll(paths map[artifacts.Kind]string) {
	w.t.Helper()
	before, ok := w.Worker.Definition.Stage.Previous()
	if !ok {
		w.t.Fatalf("nothing comes before %s", w.Worker.Definition.Stage)
	}
	var outputs []artifacts.Artifact
	for kind, path := range paths {
		body, err := bodyOf(path)
		if err != nil {
			w.t.Fatal(err)
		}
		o, err := w.Store.Put(w.t.Context(), w.Buckets.Artifacts, artifacts.Path(w.Request.ID, before, 1, kind), body, artifacts.PutOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		outputs = append(outputs, artifacts.Artifact{Kind: kind, Object: o})
	}
	known, err := json.Marshal(w.Known)
	if err != nil {
		w.t.Fatal(err)
	}
	manifest, err := artifacts.WriteManifest(w.t.Context(), w.Store, w.Buckets, &artifacts.Manifest{
		Version: artifacts.ManifestVersion, Request: w.Request, Stage: before, Fence: 1,
		Outputs: outputs, History: []artifacts.StageRecord{{Stage: before, Report: known}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Queue.Enqueue(w.t.Context(), queue.Task{RequestID: w.Request.ID, Stage: w.Worker.Definition.Stage, Input: manifest}); err != nil {
		w.t.Fatal(err)
	}
}

// bodyOf is a file, or a folder packed.
func bodyOf(path string) (io.Reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if info.IsDir() {
		return &body, artifacts.Pack(&body, path)
	}
	data, err := os.ReadFile(path)
	return bytes.NewReader(data), err
}

// Later moves the clock while nothing works, and makes ready what is then due.
func (w *World) Later(d time.Duration) {
	w.t.Helper()
	w.time = w.time.Add(d)
	if _, err := w.Queue.Reap(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// Work lets the worker run until nothing is ready.
func (w *World) Work() {
	w.t.Helper()
	if err := w.Worker.Run(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
}

// Manifest that the stage left, or nil.
func (w *World) Manifest() *artifacts.Manifest {
	w.t.Helper()
	return Manifest(w.t, w.Store, w.Buckets, w.Request.ID, w.Worker.Definition.Stage)
}

// Manifest that a stage left of a request, or nil.
func Manifest(t *testing.T, store *memory.Store, buckets artifacts.Buckets, requestID string, s pipeline.Stage) *artifacts.Manifest {
	t.Helper()
	o, err := store.Stat(t.Context(), buckets.ManifestBucket(s), artifacts.ManifestName(requestID, s))
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := artifacts.ReadManifest(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Report is report.json as it would be if the stage were the last one.
func (w *World) Report() *artifacts.ReportDocument {
	w.t.Helper()
	m := w.Manifest()
	if m == nil {
		state, err := w.Queue.Lookup(w.t.Context(), w.Request.ID)
		w.t.Fatalf("the stage left no manifest: %+v, %v", state.Failure, err)
	}
	d, err := artifacts.NewReport(w.Request, m.History)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// Body is the content of an artifact that the stage left.
func (w *World) Body(kind artifacts.Kind) []byte {
	w.t.Helper()
	o, ok := w.Manifest().Find(kind)
	if !ok {
		w.t.Fatalf("no %s", kind)
	}
	r, err := w.Store.Open(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return body
}
