package stage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// chain is a world whose filter worker may continue with preprocess and depth; done lists what it did, in order.
type chain struct {
	*world
	done []string
}

func newChain(t *testing.T) *chain {
	c := &chain{world: newWorld(t, nil)}
	post := func(s pipeline.Stage) stage.Post {
		return stage.Post{Limit: 1, Definition: stage.Definition{Stage: s, Budget: time.Minute, Run: func(_ context.Context, job *stage.Job) error {
			c.done = append(c.done, fmt.Sprintf("%s %s", s, job.Request.SessionID))
			return nil
		}}}
	}
	c.worker.Definition = post(pipeline.Filter).Definition
	c.worker.Further = stage.Further{Posts: []stage.Post{post(pipeline.Preprocess), post(pipeline.Depth)}, Queue: c.queue}
	return c
}

// waiting brings a request to a stage, where it waits.
func (c *chain) waiting(s pipeline.Stage, session string, priority int, caller string) (id string) {
	c.t.Helper()
	c.advance(time.Millisecond)
	id, err := pipeline.NewRequestID(c.clock(), zeros{})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.queue.Submit(c.t.Context(), pipeline.Request{ID: id, SessionID: session, TokenHash: id, Caller: caller, Priority: priority, CreatedAt: c.clock()}); err != nil {
		c.t.Fatal(err)
	}
	input := pipeline.Object{Bucket: c.buckets.Inbox[s], Name: artifacts.UploadName(id, "input"), Generation: 1}
	if previous, ok := s.Previous(); ok {
		m := &artifacts.Manifest{Version: 1, Request: c.state(id).Request, Stage: previous, History: []artifacts.StageRecord{{Stage: previous}}}
		if input, err = artifacts.WriteManifest(c.t.Context(), c.store, c.buckets, m); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.queue.Enqueue(c.t.Context(), queue.Task{RequestID: id, Stage: s, Input: input}); err != nil {
		c.t.Fatal(err)
	}
	return id
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// expect compares what the worker did, and holds that it left no slot and no lease behind.
func (c *chain) expect(want ...string) {
	c.t.Helper()
	if !slices.Equal(c.done, want) {
		c.t.Errorf("did %q, want %q", c.done, want)
	}
	counts, err := c.queue.Counts(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for s, n := range counts {
		if n.Slots != 0 || n.Leased != 0 {
			c.t.Errorf("%s has %d slots and %d leases left", s, n.Slots, n.Leased)
		}
	}
}

// TestWorkerContinuesWithTheSameRequest: one start for three stages; manifests, fences and records are as with three, and the events
// that come afterwards add nothing.
func TestWorkerContinuesWithTheSameRequest(t *testing.T) {
	c := newChain(t)
	id := c.waiting(pipeline.Filter, "a", 0, "")
	c.work()
	c.expect("filter a", "preprocess a", "depth a")
	var fences []int64
	for _, s := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess, pipeline.Depth} {
		m := c.manifest(id, s)
		if m == nil || m.History[len(m.History)-1].Stage != s {
			t.Fatalf("manifest of %s: %+v", s, m)
		}
		fences = append(fences, m.Fence)
		if following, ok := s.Next(); ok && following != pipeline.Train {
			o, err := c.store.Stat(t.Context(), c.buckets.ManifestBucket(s), artifacts.ManifestName(id, s))
			if err != nil {
				t.Fatal(err)
			}
			if added, err := c.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: following, Input: o}); added || err != nil {
				t.Errorf("the event of %s: added %v, %v", s, added, err)
			}
		}
	}
	if !slices.IsSorted(fences) || fences[0] == fences[2] {
		t.Errorf("fences %v", fences)
	}
	var transitions []string
	events, err := c.queue.After(t.Context(), "0", 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		transitions = append(transitions, fmt.Sprintf("%s %s", e.Stage, e.Kind))
	}
	want := []string{" submitted", "filter enqueued", "filter claimed", "filter completed", "preprocess enqueued", "preprocess claimed", "preprocess completed",
		"depth enqueued", "depth claimed", "depth completed"}
	if !slices.Equal(transitions, want) {
		t.Errorf("events %q", transitions)
	}
}

// TestContinuingPassesNobodyOver: at the next stage the worker serves a higher priority, who came earlier, and whose turn it is first.
func TestContinuingPassesNobodyOver(t *testing.T) {
	t.Run("priority", func(t *testing.T) {
		c := newChain(t)
		c.waiting(pipeline.Filter, "mine", 0, "")
		c.waiting(pipeline.Preprocess, "low", 0, "")
		c.waiting(pipeline.Preprocess, "urgent", 9, "")
		c.work()
		c.expect("filter mine", "preprocess urgent", "preprocess low", "preprocess mine", "depth mine")
	})
	t.Run("fair share", func(t *testing.T) {
		c := newChain(t)
		c.queue = memq.New(queue.Config{Now: c.clock, FairShare: true})
		c.worker.Tasks, c.worker.Slots, c.worker.Further.Queue = c.queue, c.queue, c.queue
		c.waiting(pipeline.Preprocess, "many-1", 0, "many")
		c.waiting(pipeline.Preprocess, "many-2", 0, "many")
		c.waiting(pipeline.Filter, "many-3", 0, "many")
		c.waiting(pipeline.Preprocess, "one", 0, "other")
		c.work()
		c.expect("filter many-3", "preprocess many-1", "preprocess one", "preprocess many-2", "preprocess many-3", "depth many-3")
	})
	t.Run("own stage", func(t *testing.T) {
		c := newChain(t)
		c.waiting(pipeline.Filter, "a", 0, "")
		c.waiting(pipeline.Filter, "b", 0, "")
		c.work()
		c.expect("filter a", "filter b", "preprocess b", "depth b") // the event of a's manifest brings it to another worker
	})
}

// hooked does something when a slot is freed or taken.
type hooked struct {
	*memq.Queue
	released func(pipeline.Stage)
	enqueue  func() error
}

func (h *hooked) Release(ctx context.Context, s pipeline.Stage, worker string) error {
	h.released(s)
	return h.Queue.Release(ctx, s, worker)
}

func (h *hooked) Enqueue(ctx context.Context, t queue.Task) (bool, error) {
	if h.enqueue != nil {
		if err := h.enqueue(); err != nil {
			return false, err
		}
	}
	return h.Queue.Enqueue(ctx, t)
}

// TestATaskThatComesWhileTheWorkerLeavesIsServed: it found the slot taken, so nobody was launched for it.
func TestATaskThatComesWhileTheWorkerLeavesIsServed(t *testing.T) {
	c := newChain(t)
	c.waiting(pipeline.Filter, "a", 0, "")
	came := false
	c.worker.Slots = &hooked{Queue: c.queue, released: func(s pipeline.Stage) {
		if s == pipeline.Filter && !came {
			came = true
			c.waiting(pipeline.Filter, "late", 0, "")
		}
	}}
	c.work()
	c.expect("filter a", "filter late", "preprocess late", "depth late")
}

func TestWorkerStaysWhereItCannotContinue(t *testing.T) {
	for name, prepare := range map[string]func(c *chain, id string){
		"slots taken": func(c *chain, _ string) {
			if ok, err := c.queue.Adopt(c.t.Context(), pipeline.Preprocess, "another", 1); !ok || err != nil {
				c.t.Fatal(ok, err)
			}
		},
		"too little time": func(c *chain, _ string) {
			c.worker.Until = c.clock().Add(time.Hour)
			c.worker.Further.Posts[0].Definition.Budget = 2 * time.Hour
		},
		"another machine": func(c *chain, _ string) { c.worker.Further.Posts = c.worker.Further.Posts[1:] },
		"queue away": func(c *chain, _ string) {
			c.worker.Further.Queue = &hooked{Queue: c.queue, enqueue: func() error { return errors.New("away") }}
		},
		"canceled": func(c *chain, id string) {
			c.worker.Further.Queue = &hooked{Queue: c.queue, enqueue: func() error { return c.queue.Cancel(c.t.Context(), id) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			id := c.waiting(pipeline.Filter, "a", 0, "")
			prepare(c, id)
			c.work()
			if name == "slots taken" {
				if err := c.queue.Release(t.Context(), pipeline.Preprocess, "another"); err != nil {
					t.Fatal(err)
				}
			}
			c.expect("filter a")
			if c.manifest(id, pipeline.Filter) == nil {
				t.Error("no manifest, so no event will bring the request to another worker")
			}
		})
	}
}

// TestATaskOfAWorkerThatDiedWhileMovingIsLaunchedAgain: it was handed over and nobody was launched for it.
func TestATaskOfAWorkerThatDiedWhileMovingIsLaunchedAgain(t *testing.T) {
	c := newChain(t)
	id := c.waiting(pipeline.Filter, "a", 0, "")
	c.worker.Tasks = dying{c.queue}
	if err := c.worker.Run(t.Context(), nil); err == nil {
		t.Fatal("the worker lived")
	}
	c.expect("filter a")
	reaped, err := c.queue.Reap(t.Context())
	if err != nil || reaped.Wanting[pipeline.Preprocess] != 1 {
		t.Errorf("%+v, %v, state %+v", reaped, err, c.state(id))
	}
}

// dying is a queue that a worker cannot reach at preprocess.
type dying struct{ *memq.Queue }

func (d dying) Claim(ctx context.Context, s pipeline.Stage, worker string, n int) ([]queue.Lease, error) {
	if s == pipeline.Preprocess {
		return nil, errors.New("gone")
	}
	return d.Queue.Claim(ctx, s, worker, n)
}

// A stop between two stages ends the worker, and the request waits at its place.
func TestStopBetweenTwoStages(t *testing.T) {
	c := newChain(t)
	stop := make(chan struct{})
	c.worker.Definition.Run = func(context.Context, *stage.Job) error { close(stop); return nil }
	id := c.waiting(pipeline.Filter, "a", 0, "")
	if err := c.worker.Run(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	c.expect()
	if s := c.state(id); s.Manifest.Name != artifacts.ManifestName(id, pipeline.Filter) {
		t.Errorf("state %+v", s)
	}
}

// TestPeakMemoryIsTheStagesOwn: what a stage held is not charged to the stage after it in the same process.
func TestPeakMemoryIsTheStagesOwn(t *testing.T) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("this kernel keeps one peak for the whole process: ", err)
	}
	const held = 256 << 20
	c := newChain(t)
	c.worker.Definition.Run = func(context.Context, *stage.Job) error {
		block := make([]byte, held)
		for i := 0; i < held; i += 4096 {
			block[i] = 1
		}
		runtime.KeepAlive(block)
		return nil
	}
	id := c.waiting(pipeline.Filter, "a", 0, "")
	c.work()
	first, last := c.manifest(id, pipeline.Filter).History, c.manifest(id, pipeline.Depth).History
	if a, b := first[0].PeakRSSBytes, last[len(last)-1].PeakRSSBytes; a < held || b > a-held/2 {
		t.Errorf("a stage that held %d MB has a peak of %d, a later one that held nothing %d", held>>20, a>>20, b>>20)
	}
}

// launches counts.
type launches struct{ n int }

func (l *launches) Launch(context.Context, pipeline.Stage) error { l.n++; return nil }

// TestTheEventOfAStageThatContinuesStartsNobody: it comes right after the manifest, before the worker has moved. A task more, and one
// for which nobody came, start a worker.
func TestTheEventOfAStageThatContinuesStartsNobody(t *testing.T) {
	c := newChain(t)
	started := &launches{}
	staffing := stage.Staffing{Slots: c.queue, Launcher: started, Limit: map[pipeline.Stage]int{pipeline.Preprocess: 3}, StartBudget: time.Minute, Counts: c.queue.Counts}
	id := c.waiting(pipeline.Filter, "a", 0, "")
	events := 0
	c.worker.Slots = &hooked{Queue: c.queue, released: func(s pipeline.Stage) {
		o, err := c.store.Stat(t.Context(), c.buckets.ManifestBucket(pipeline.Filter), artifacts.ManifestName(id, pipeline.Filter))
		if s != pipeline.Filter || err != nil || events > 0 {
			return
		}
		events++
		if added, err := c.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Preprocess, Input: o}); !added || err != nil {
			t.Error(added, err)
		}
		if err := staffing.Want(t.Context(), pipeline.Preprocess); err != nil || started.n != 0 {
			t.Errorf("%d started, %v", started.n, err)
		}
		c.waiting(pipeline.Preprocess, "another", 0, "")
		if err := staffing.Want(t.Context(), pipeline.Preprocess); err != nil || started.n != 1 {
			t.Errorf("%d started for one task more, %v", started.n, err)
		}
	}}
	c.work()
	if want := []string{"filter a", "preprocess a", "preprocess another", "depth another"}; events != 1 || !slices.Equal(c.done, want) {
		t.Errorf("%d events, did %q, want %q", events, c.done, want)
	}
}

// TestTheReaperStaffsWhatWaits: a worker that had taken the next stage's slot kept the event from starting one, and then stayed.
func TestTheReaperStaffsWhatWaits(t *testing.T) {
	c := newChain(t)
	started := &launches{}
	c.waiting(pipeline.Depth, "a", 0, "")
	for _, s := range []pipeline.Stage{pipeline.Preprocess, pipeline.Depth} { // busy workers and a lost launch
		if ok, err := c.queue.Adopt(t.Context(), s, "busy", 2); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, err := c.queue.Claim(t.Context(), pipeline.Depth, "busy", 1); err != nil {
		t.Fatal(err)
	}
	c.waiting(pipeline.Depth, "b", 0, "")
	r := stage.Reaper{Queue: c.queue, Log: c.worker.Log, Now: c.clock, Staffing: stage.Staffing{Slots: c.queue, Launcher: started,
		Limit: map[pipeline.Stage]int{pipeline.Depth: 2}, StartBudget: time.Minute, Counts: c.queue.Counts}}
	for range 2 { // the second finds it on its way
		if _, err := r.Tick(t.Context()); err != nil || started.n != 1 {
			t.Errorf("%d started, %v", started.n, err)
		}
	}
}
