package memq

import (
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

func TestOneRequestFromEndToEnd(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	q := New(queue.Config{Now: func() time.Time { return now }})
	ctx := t.Context()
	if err := q.Submit(ctx, pipeline.Request{ID: "r", SessionID: "s", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	input := pipeline.Object{Bucket: "uploads", Name: "r/video.mp4", Generation: 1}
	for _, stage := range pipeline.Stages() {
		if added, err := q.Enqueue(ctx, queue.Task{RequestID: "r", Stage: stage, Input: input}); !added || err != nil {
			t.Fatalf("enqueue %s: %v %v", stage, added, err)
		}
		leases, err := q.Claim(ctx, stage, "w", 2)
		if err != nil || len(leases) != 1 {
			t.Fatalf("claim %s: %v %v", stage, leases, err)
		}
		input = pipeline.Object{Bucket: "inbox", Name: "r/" + string(stage) + ".manifest.json", Generation: 1}
		if err := leases[0].Complete(ctx, input); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := q.Lookup(ctx, "r"); err != nil || s.Status != pipeline.Completed || s.Manifest != input {
		t.Fatalf("at the end: %+v %v", s, err)
	}
}
