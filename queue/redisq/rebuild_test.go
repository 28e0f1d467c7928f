package redisq_test

import (
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// shop is a small pipeline around the queue: "buckets" that outlive Redis, and workers that do nothing.
type shop struct {
	*testing.T
	client    *redis.Client
	q         *redisq.Queue
	clock     *queuetest.Clock
	deadline  time.Duration // of requests, from their submission; 0: none
	requests  []pipeline.Request
	uploads   map[string]bool
	manifests map[string]map[pipeline.Stage]pipeline.Object
	outcomes  map[string]*queue.Outcome
	refused   int    // second manifests
	what      string // is tried, for the reader of a failure
}

func newShop(t *testing.T, client *redis.Client, clock *queuetest.Clock, policy queue.Config) *shop {
	return &shop{T: t, client: client, clock: clock, uploads: map[string]bool{}, manifests: map[string]map[pipeline.Stage]pipeline.Object{},
		outcomes: map[string]*queue.Outcome{}, q: open(t, client, policy)}
}

func (s *shop) submit() pipeline.Request {
	r := queuetest.Request(s.clock.Now(), len(s.requests))
	if s.deadline > 0 {
		r.Deadline = s.clock.Now().Add(s.deadline)
	}
	s.must(s.q.Submit(s.Context(), r))
	s.requests = append(s.requests, r)
	s.manifests[r.ID] = map[pipeline.Stage]pipeline.Object{}
	return r
}

func (s *shop) rebuild() queue.Rebuilt {
	did, err := queue.Rebuild(s.Context(), s.q, s.records())
	s.must(err)
	return did
}

// add makes a request and takes it to just before the given stage, whose task is then ready.
func (s *shop) add(stage pipeline.Stage) pipeline.Request {
	r := s.submit()
	s.upload(r)
	for _, before := range pipeline.Stages() {
		if before == stage {
			break
		}
		s.work(s.claim(before), true)
	}
	return r
}

func (s *shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(s.what, err)
	}
}

func (s *shop) upload(r pipeline.Request) {
	s.uploads[r.ID] = true
	_, err := s.q.Enqueue(s.Context(), queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: queuetest.Upload(r.ID, 1)})
	s.must(err)
}

func (s *shop) claim(stage pipeline.Stage) queue.Lease {
	s.Helper()
	leases, err := s.q.Claim(s.Context(), stage, "worker", 1)
	if err != nil || len(leases) != 1 {
		s.Fatalf("claim of %s: %d leases, %v", stage, len(leases), err)
	}
	return leases[0]
}

// work writes the manifest, completes, and delivers the event unless that is to be lost.
func (s *shop) work(l queue.Lease, event bool) {
	s.Helper()
	t := l.Task()
	manifest, exists := s.manifests[t.RequestID][t.Stage]
	if exists {
		s.refused++
	} else {
		manifest = queuetest.Manifest(t.RequestID, t.Stage)
		s.manifests[t.RequestID][t.Stage] = manifest
	}
	s.must(l.Complete(s.Context(), manifest))
	if _, more := t.Stage.Next(); more && event {
		s.enqueueNext(t)
	}
}

// records is what a walk through the buckets finds.
func (s *shop) records() iter.Seq2[queue.Record, error] {
	return func(yield func(queue.Record, error) bool) {
		for _, r := range s.requests {
			record := queue.Record{Request: r, Outcome: s.outcomes[r.ID]}
			if s.uploads[r.ID] {
				record.Upload = queuetest.Upload(r.ID, 1)
			}
			for _, stage := range pipeline.Stages() {
				if m, ok := s.manifests[r.ID][stage]; ok {
					record.Done, record.Manifest = stage, m
				}
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// What is left of a handover that half a script wrote, which comes back once the rest has happened: its request continues, or has
// ended, and is not handed over again.
func TestLeftoverOfAHandover(t *testing.T) {
	client := connect(t, redistest.Start(t))
	clock := queuetest.NewClock()
	s := newShop(t, client, clock, queue.Config{Now: clock.Now, LeaseFor: 24 * time.Hour})
	s.add(pipeline.Train)
	leased := s.claim(pipeline.Train).Task().RequestID
	s.add(pipeline.Export)
	l := s.claim(pipeline.Export)
	s.work(l, true)
	completed := l.Task().RequestID
	s.add(pipeline.Export)
	l = s.claim(pipeline.Export)
	_, err := l.Fail(t.Context(), pipeline.Invalid("dark", "Too dark.", "Light it."))
	s.must(err)
	failed := l.Task().RequestID
	ready := s.add(pipeline.Depth)
	for _, id := range []string{ready.ID, leased, completed, failed} {
		s.must(client.ZAdd(t.Context(), "{q4}handover", redis.Z{Score: float64(clock.Now().UnixMilli()), Member: id}).Err())
	}
	clock.Advance(time.Hour)
	did, err := s.q.Reap(t.Context())
	s.must(err)
	if len(did.LostHandovers) != 0 {
		t.Errorf("handed over again: %v", did.LostHandovers)
	}
	if n, err := client.ZCard(t.Context(), "{q4}handover").Result(); n != 0 || err != nil {
		t.Errorf("%d are looked at again and again, %v", n, err)
	}
}

// TestFlushDuringARebuild: what was restored before the loss is gone, so the rebuild must not call the queue whole. The next one does.
func TestFlushDuringARebuild(t *testing.T) {
	client := connect(t, redistest.Start(t))
	clock := queuetest.NewClock()
	s := newShop(t, client, clock, queue.Config{Now: clock.Now})
	for range 3 {
		s.add(pipeline.Filter)
	}
	s.must(client.FlushAll(t.Context()).Err())
	flushing := func(yield func(queue.Record, error) bool) {
		for r, err := range s.records() {
			if !yield(r, err) {
				return
			}
		}
		s.must(client.FlushAll(t.Context()).Err())
	}
	if _, err := queue.Rebuild(t.Context(), s.q, flushing); !errors.Is(err, queue.ErrLostAgain) {
		t.Errorf("a rebuild that was lost on the way: %v", err)
	}
	if whole, err := s.q.Whole(t.Context()); whole || err != nil {
		t.Errorf("whole %t, %v", whole, err)
	}
	did, err := queue.Rebuild(t.Context(), s.q, s.records())
	if err != nil {
		t.Error(err)
	}
	if whole, err := s.q.Whole(t.Context()); !whole || err != nil {
		t.Errorf("after the second rebuild, %+v: whole %t, %v", did, whole, err)
	}
	if ttl, err := client.TTL(t.Context(), "{q4}whole").Result(); err != nil || ttl != -1 {
		t.Errorf("the queue stops to be whole after %v, %v", ttl, err)
	}
}

// TestFlushAndRebuild empties Redis in the middle of a run with a hundred requests in every state, and rebuilds it: all
// complete, no stage of any is done twice, and workers from before the flush can do nothing.
func TestFlushAndRebuild(t *testing.T) {
	const each = 100
	client := connect(t, redistest.Start(t))
	clock := queuetest.NewClock()
	s := newShop(t, client, clock, queue.Config{Now: clock.Now, LeaseFor: 24 * time.Hour, BackoffMin: 24 * time.Hour, BackoffMax: 24 * time.Hour})

	var before []queue.Lease
	ended := map[string]pipeline.Status{}
	for range each { // what leaves the ready queue first, so that the rest is not claimed by accident
		for _, stage := range pipeline.Stages() {
			s.add(stage)
			l := s.claim(stage)
			before = append(before, l) // leased
			s.add(stage)
			l = s.claim(stage)
			_, err := l.Fail(t.Context(), &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky"}) // delayed
			s.must(err)
			s.add(stage)
			s.work(s.claim(stage), false) // completed, and its event lost; after the last stage: COMPLETED
			r := s.add(stage)
			s.manifests[r.ID][stage] = queuetest.Manifest(r.ID, stage) // written, and Complete not called
			before = append(before, s.claim(stage))
		}
		r := s.add(pipeline.Filter)
		failure := pipeline.Invalid("dark", "Too dark.", "Light it.")
		_, err := s.claim(pipeline.Filter).Fail(t.Context(), failure)
		s.must(err)
		s.outcomes[r.ID], ended[r.ID] = &queue.Outcome{Status: pipeline.Failed, Failure: failure, At: clock.Now()}, pipeline.Failed
		r = s.add(pipeline.Depth)
		s.must(s.q.Cancel(t.Context(), r.ID))
		s.outcomes[r.ID], ended[r.ID] = &queue.Outcome{Status: pipeline.Canceled, At: clock.Now()}, pipeline.Canceled
	}
	for _, stage := range slices.Backward(pipeline.Stages()) {
		for range each { // ready, the last stage first
			s.add(stage)
		}
	}
	var waiting []pipeline.Request
	for range each {
		waiting = append(waiting, s.submit())
	}
	done := map[string]map[pipeline.Stage]pipeline.Object{}
	for id, m := range s.manifests {
		done[id] = map[pipeline.Stage]pipeline.Object{}
		for stage, o := range m {
			done[id][stage] = o
		}
	}

	flush(t, client)
	for _, l := range before {
		if err := l.Heartbeat(t.Context(), pipeline.Progress{}); !errors.Is(err, queue.ErrLeaseLost) {
			t.Fatalf("heartbeat after the flush: %v", err)
		}
	}
	first, again := s.rebuild(), s.rebuild()
	if first.Requests != len(s.requests) || again.Requests != 0 || again.Tasks != 0 {
		t.Fatalf("rebuilt %+v, then %+v, of %d", first, again, len(s.requests))
	}
	for _, l := range before {
		if err := l.Complete(t.Context(), queuetest.Manifest(l.Task().RequestID, l.Task().Stage)); !errors.Is(err, queue.ErrLeaseLost) {
			t.Fatalf("complete by a worker from before the flush: %v", err)
		}
	}

	for _, r := range waiting {
		s.upload(r)
	}
	claims := 0
	for _, stage := range pipeline.Stages() {
		for {
			leases, err := s.q.Claim(t.Context(), stage, "worker", 50)
			s.must(err)
			if len(leases) == 0 {
				break
			}
			for _, l := range leases {
				if _, twice := done[l.Task().RequestID][stage]; twice {
					t.Fatalf("%s of %s is done again", stage, l.Task().RequestID)
				}
				claims++
				s.work(l, true)
			}
		}
	}
	completed := 0
	for _, r := range s.requests {
		want := pipeline.Completed
		if status, ok := ended[r.ID]; ok {
			want = status
		}
		if state, err := s.q.Lookup(t.Context(), r.ID); err != nil || state.Status != want {
			t.Fatalf("%s is %s, %v; want %s", r.ID, state.Status, err, want)
		}
		if want == pipeline.Completed {
			completed++
			if len(s.manifests[r.ID]) != len(pipeline.Stages()) {
				t.Fatalf("%s has %d manifests", r.ID, len(s.manifests[r.ID]))
			}
		}
	}
	if s.refused != 0 {
		t.Errorf("%d stages were done a second time", s.refused)
	}
	t.Logf("%d requests: %d completed, %d had failed or been canceled and stayed so; rebuilt %d requests and %d tasks; %d tasks done "+
		"afterwards, %d twice", len(s.requests), completed, len(ended), first.Requests, first.Tasks, claims, s.refused)
}
