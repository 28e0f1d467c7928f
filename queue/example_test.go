package queue_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// A request is submitted, its upload makes a task, and a worker claims and completes it.
func Example() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	q := memq.New(queue.Config{Now: func() time.Time { return now }})
	ctx := context.Background()

	request := pipeline.Request{ID: "01-example", SessionID: "kitchen", TokenHash: "h", CreatedAt: now}
	if err := q.Submit(ctx, request); err != nil {
		log.Fatal(err)
	}
	upload := pipeline.Object{Bucket: "inbox-filter", Name: "01-example/input", Generation: 1}
	if _, err := q.Enqueue(ctx, queue.Task{RequestID: request.ID, Stage: pipeline.Filter, Input: upload}); err != nil {
		log.Fatal(err)
	}
	leases, err := q.Claim(ctx, pipeline.Filter, "worker-1", 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("claimed", leases[0].Task().Stage, "attempt", leases[0].Attempt())
	if err := leases[0].Complete(ctx, pipeline.Object{Bucket: "inbox-preprocess", Name: "01-example/filter.manifest.json", Generation: 1}); err != nil {
		log.Fatal(err)
	}
	state, err := q.Lookup(ctx, request.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(state.Status, "after", state.Stage)
	// Output:
	// claimed filter attempt 1
	// PROCESSING after filter
}
