package operators_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestTraceOfARequestThatFailed: with what only operators see, after the queue has forgotten the request, too. Any other answer, and so a
// client's, has none of that.
func TestTraceOfARequestThatFailed(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.enqueue(a.ID, pipeline.Filter)
	worker := stage.Worker{Definition: stage.Definition{Stage: pipeline.Filter, Run: func(ctx context.Context, _ *stage.Job) error {
		w.time = w.time.Add(7 * time.Second)
		_, _ = tool.Run(ctx, tool.Command{Path: "sh", Name: "ffmpeg", Args: []string{"-c", "echo moov atom not found >&2; exit 1"}})
		f := pipeline.Invalid("unreadable_capture", "The file cannot be read.", "Send another.")
		f.Err = errors.New("the cause")
		return f
	}}, ID: "worker-7", Tasks: w.queue, Slots: w.queue, Limit: 1, Store: w.store, Buckets: w.buckets, WorkDir: t.TempDir(), Beat: time.Hour, Now: w.now, Log: slog.New(slog.DiscardHandler), USDPerS: 0.01,
		Ended: func(ctx context.Context, r pipeline.Request, status pipeline.Status) error {
			state, err := w.queue.Lookup(ctx, r.ID)
			return errors.Join(err, stage.Archive{Store: w.store, Buckets: w.buckets}.NoteOutcome(ctx, r.ID, queue.Outcome{Status: status, Failure: state.Failure, At: w.time}))
		}}
	if err := worker.Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		s := get[story.Story](w, "GET", "/trace/"+a.ID, "", http.StatusOK)
		if len(s.Stages) != 1 || len(s.Stages[0].Attempts) != 1 {
			t.Fatalf("%+v", s)
		}
		try := s.Stages[0].Attempts[0]
		if try.Worker != "worker-7" || try.Code != "unreadable_capture" || !strings.Contains(try.Cause, "the cause") || len(try.Log) != 1 || try.Log[0] != "ffmpeg: moov atom not found" || try.WorkS != 7 || try.CostUSD != 0.07 {
			t.Errorf("%+v", try)
		}
	}
	check()
	if s := get[story.Story](w, "GET", "/trace/"+a.ID, "", http.StatusOK); s.Status != pipeline.Failed || !strings.Contains(s.Now, "unreadable_capture") || s.Advice != "Send another." {
		t.Errorf("%+v", s)
	}
	if body := w.call("GET", "/status/"+a.ID, "").Body.String(); strings.Contains(body, "moov") || strings.Contains(body, "the cause") {
		t.Errorf("the status has the log: %s", body)
	}
	w.start() // an empty queue
	check()
	w.refused("GET", "/trace/unknown", "", http.StatusNotFound, "unknown_request")
	w.refused("GET", "/trace/00000000000000000000000000", "", http.StatusNotFound, "unknown_request")
}

// TestTraceOfACompletedRequest has every stage.
func TestTraceOfACompletedRequest(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.finish(a.ID)
	s := get[story.Story](w, "GET", "/trace/"+a.ID, "", http.StatusOK)
	if s.Status != pipeline.Completed || s.Now != "" || len(s.Stages) != len(pipeline.Stages()) {
		t.Fatalf("%+v", s)
	}
	for _, line := range s.Stages {
		if line.State != story.Done || len(line.Attempts) != 1 || line.Attempts[0].Outcome != "finished" {
			t.Errorf("%+v", line)
		}
	}
}
