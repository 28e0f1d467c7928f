package stage_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// A stage is a Definition. Its worker claims tasks until the queue is empty; here from a queue and a store in memory.
func Example() {
	definition := stage.Definition{Stage: pipeline.Filter, Budget: time.Minute, Run: func(ctx context.Context, job *stage.Job) error {
		fmt.Println("attempt", job.Attempt, "of", job.Request.SessionID)
		return job.PublishFrom(ctx, artifacts.Selection, strings.NewReader(`{"frames": 3}`))
	}}

	ctx, now := context.Background(), func() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }
	q, store := memq.New(queue.Config{Now: now}), memory.New()
	buckets := artifacts.Buckets{Artifacts: "artifacts", Inbox: map[pipeline.Stage]string{}}
	for _, s := range pipeline.Stages() {
		buckets.Inbox[s] = "inbox-" + string(s)
	}
	request := pipeline.Request{ID: "01-example", SessionID: "kitchen", TokenHash: "h", CreatedAt: now()}
	if err := q.Submit(ctx, request); err != nil {
		log.Fatal(err)
	}
	input := pipeline.Object{Bucket: "inbox-filter", Name: "01-example/input", Generation: 1}
	if _, err := q.Enqueue(ctx, queue.Task{RequestID: request.ID, Stage: pipeline.Filter, Input: input}); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "worker-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	worker := stage.Worker{
		Definition: definition, ID: "worker-1", Tasks: q, Slots: q, Limit: 1, Store: store, Buckets: buckets, WorkDir: dir,
		Beat: time.Second, Now: now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if err := worker.Run(ctx, nil); err != nil {
		log.Fatal(err)
	}
	manifest, err := store.Stat(ctx, buckets.ManifestBucket(pipeline.Filter), artifacts.ManifestName(request.ID, pipeline.Filter))
	fmt.Println(manifest.Name, err)
	// Output:
	// attempt 1 of kitchen
	// 01-example/filter.manifest.json <nil>
}
