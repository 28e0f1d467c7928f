package redisq_test

import (
	"errors"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// What travels together is answered one by one, also when the scripts are not loaded yet.
func TestBatches(t *testing.T) {
	client := connect(t, redistest.Start(t))
	clock := queuetest.NewClock()
	q := open(t, client, queue.Config{Now: clock.Now})
	var requests []pipeline.Request
	for i := range 1200 {
		requests = append(requests, queuetest.Request(clock.Now(), i))
	}
	requests[7].SessionID = requests[3].SessionID
	errs, err := q.SubmitAll(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	var duplicate *queue.DuplicateError
	for i, err := range errs {
		if i == 7 && (!errors.As(err, &duplicate) || duplicate.RequestID != requests[3].ID) || i != 7 && err != nil {
			t.Fatalf("submit %d: %v", i, err)
		}
	}
	var tasks []queue.Task
	for _, r := range requests {
		tasks = append(tasks, queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: queuetest.Upload(r.ID, 1)})
	}
	results, err := q.EnqueueAll(t.Context(), tasks)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if i == 7 && !errors.Is(r.Err, queue.ErrNotFound) || i != 7 && (r.Err != nil || !r.Added) {
			t.Fatalf("enqueue %d: %+v", i, r)
		}
	}
	leases, err := q.Claim(t.Context(), pipeline.Filter, "worker", 10)
	if err != nil || len(leases) != 10 || leases[0].Task().RequestID != requests[0].ID {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	if err := q.Cancel(t.Context(), requests[2].ID); err != nil {
		t.Fatal(err)
	}
	if err := leases[4].GiveBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	manifests := make([]pipeline.Object, len(leases))
	for i, l := range leases {
		manifests[i] = queuetest.Manifest(l.Task().RequestID, pipeline.Filter)
	}
	for round := range 2 {
		errs, err := q.CompleteAll(t.Context(), leases, manifests)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			switch {
			case i == 2 && errors.Is(err, queue.ErrCanceled):
			case (i == 4 || round == 1) && i != 2 && errors.Is(err, queue.ErrLeaseLost):
			case round == 0 && i != 2 && i != 4 && err == nil:
			default:
				t.Fatalf("round %d, lease %d: %v", round, i, err)
			}
		}
	}
	clock.Advance(time.Second)
	if s, err := q.Lookup(t.Context(), leases[9].Task().RequestID); err != nil || s.Manifest != manifests[9] {
		t.Fatalf("state %+v, %v", s, err)
	}
}
