package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

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

// TestReaperStartsWhatWasUploaded: the event of an upload is lost. The request begins with the next look at the uploads, once, and a
// request that has ended does not begin.
func TestReaperStartsWhatWasUploaded(t *testing.T) {
	w := newWorld(t, nil)
	var launched []pipeline.Stage
	reaper := stage.Reaper{Queue: w.queue, Log: w.worker.Log, Now: w.clock, Archive: &stage.Archive{Store: w.store, Buckets: w.buckets},
		Staffing: stage.Staffing{Slots: w.queue, Limit: map[pipeline.Stage]int{pipeline.Filter: 1}, StartBudget: time.Hour,
			Launcher: launcher(func(s pipeline.Stage) error { launched = append(launched, s); return nil })}}
	tick := func() {
		t.Helper()
		if _, err := reaper.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	id, _ := w.upload()
	w.advance(time.Millisecond) // which makes another id
	canceled, _ := w.upload()
	if err := w.queue.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Put(t.Context(), "inbox-filter", artifacts.UploadName("06gztda6gn2bxw0r414dfn5d61", "input"), strings.NewReader("x"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	tick()
	if s := w.state(id); s.Stage != "" {
		t.Fatalf("%s began without a pause between two looks", s.Stage)
	}
	w.advance(2 * time.Minute)
	tick()
	if s := w.state(id); s.Stage != pipeline.Filter || s.Status != pipeline.Queued || len(launched) != 1 {
		t.Fatalf("stage %q, %s, launched %v", s.Stage, s.Status, launched)
	}
	leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "worker", 1)
	if err != nil || len(leases) != 1 || leases[0].Task().RequestID != id || leases[0].Task().Input.Bucket != "inbox-filter" {
		t.Fatal(leases, err)
	}
	w.advance(2 * time.Minute)
	if err := leases[0].Complete(t.Context(), pipeline.Object{Bucket: "inbox-preprocess", Name: artifacts.ManifestName(id, pipeline.Filter), Generation: 1}); err != nil {
		t.Fatal(err)
	}
	tick()
	if leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "worker", 2); err != nil || len(leases) != 0 {
		t.Errorf("begun again: %v %v", leases, err)
	}
	if s := w.state(canceled); s.Status != pipeline.Canceled || s.Stage != "" {
		t.Errorf("the canceled request is %s in %q", s.Status, s.Stage)
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
		w.advance(time.Minute) // as long as a lease
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

// A program that ends a request may die before it announces the end: the reaper does it then, until it has worked, and once.
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
	tick := func(want error, announced int) {
		t.Helper()
		if _, err := reaper.Tick(t.Context()); (err == nil) != (want == nil) || len(w.ended) != announced {
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

// A queue that has lost everything is rebuilt with the next tick, whatever came in between, and once.
func TestReaperRebuildsALostQueue(t *testing.T) {
	w := newWorld(t, nil)
	id, _ := w.upload()
	request := w.state(id).Request
	archive := &stage.Archive{Store: w.store, Buckets: w.buckets}
	if _, err := artifacts.PutJSON(t.Context(), w.store, "artifacts", artifacts.RequestName(id), request, artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	lost := memq.New(queue.Config{Now: w.clock})
	if err := lost.Submit(t.Context(), pipeline.Request{ID: "06gztda6gn2bxw0r414dfn5d58", SessionID: "later", TokenHash: "later", CreatedAt: w.clock()}); err != nil {
		t.Fatal(err)
	}
	reaper := stage.Reaper{Queue: lost, Archive: archive, Log: w.worker.Log,
		Staffing: stage.Staffing{Slots: lost, Launcher: launcher(func(pipeline.Stage) error { return nil })}}
	if _, err := reaper.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := lost.Lookup(t.Context(), id); err != nil || s.Stage != pipeline.Filter {
		t.Fatalf("after the tick: %+v, %v", s, err)
	}
	other := request
	other.ID, other.SessionID, other.TokenHash = "06gztda6gn2bxw0r414dfn5d60", "other", "other"
	if _, err := artifacts.PutJSON(t.Context(), w.store, "artifacts", artifacts.RequestName(other.ID), other, artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := reaper.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := lost.Lookup(t.Context(), other.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a queue that is whole was rebuilt: %v", err)
	}
}

// A rebuild that fails is retried after a pause, and not with every tick.
func TestReaperPausesAfterAFailedRebuild(t *testing.T) {
	w := newWorld(t, nil)
	record, err := w.store.Put(t.Context(), "artifacts", artifacts.RequestName("06gztda6gn2bxw0r414dfn5d60"), strings.NewReader("no JSON"), artifacts.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lost := memq.New(queue.Config{Now: w.clock})
	reaper := stage.Reaper{Queue: lost, Archive: &stage.Archive{Store: w.store, Buckets: w.buckets}, Log: w.worker.Log, Now: w.clock,
		Staffing: stage.Staffing{Slots: lost, Launcher: launcher(func(pipeline.Stage) error { return nil })}}
	tick := func(fails bool) {
		t.Helper()
		if _, err := reaper.Tick(t.Context()); (err != nil) != fails {
			t.Fatalf("failed: %v, want %t", err, fails)
		}
		w.advance(time.Second)
	}
	tick(true)
	for range 10 {
		tick(false)
	}
	w.advance(time.Minute)
	tick(true)
	if err := w.store.Delete(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	tick(false)
	if whole, err := lost.Whole(t.Context()); err != nil || !whole {
		t.Errorf("whole: %t, %v", whole, err)
	}
}

// TestPartsOfARequestAreDeleted: all of its uploads, and nothing of another one, nor what was named in place of an upload.
func TestPartsOfARequestAreDeleted(t *testing.T) {
	w := newWorld(t, nil)
	const id, other = "06gztda6gn2bxw0r414dfn5d60", "06gztda6gn2bxw0r414dfn5d61"
	put := func(bucket, name string) pipeline.Object {
		o, err := w.store.Put(t.Context(), bucket, name, strings.NewReader("x"), artifacts.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	gone := []pipeline.Object{put("inbox-filter", artifacts.PartName(id, "a.jpg")), put("inbox-filter", artifacts.PartName(id, "b.jpg"))}
	kept := []pipeline.Object{put("inbox-filter", artifacts.PartName(other, "a.jpg")), put("sources", "c.jpg"), put("artifacts", artifacts.RequestName(id))}
	archive := stage.Archive{Store: w.store, Buckets: w.buckets}
	for range 2 { // the second time there is nothing left
		if err := archive.DeleteParts(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range gone {
		if _, err := w.store.Stat(t.Context(), o.Bucket, o.Name); !errors.Is(err, artifacts.ErrNotFound) {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
	for _, o := range kept {
		if _, err := w.store.Stat(t.Context(), o.Bucket, o.Name); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
}

type launcher func(pipeline.Stage) error

func (l launcher) Launch(_ context.Context, s pipeline.Stage) error { return l(s) }
