package story_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// world is a backend in memory with one request, whose clock stands still until a test moves it.
type world struct {
	t       *testing.T
	now     time.Time
	store   *memory.Store
	queue   *memq.Queue
	buckets artifacts.Buckets
	request pipeline.Request
	reader  story.Reader
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), store: memory.New(), buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	slots := map[pipeline.Stage]int{}
	for _, s := range pipeline.Stages() {
		w.buckets.Inbox[s], slots[s] = "inbox-"+string(s), 2
	}
	clock := func() time.Time { return w.now }
	w.queue = memq.New(queue.Config{Now: clock, Rand: func() float64 { return 0 }})
	w.reader = story.Reader{Store: w.store, Buckets: w.buckets, Queue: w.queue, Slots: slots, Now: clock}
	w.request = w.submit(7)
	return w
}

func (w *world) submit(seed byte) pipeline.Request {
	w.t.Helper()
	id, err := pipeline.NewRequestID(w.now, bytes.NewReader(bytes.Repeat([]byte{seed}, 16)))
	if err != nil {
		w.t.Fatal(err)
	}
	r := pipeline.Request{ID: id, SessionID: "s-" + id, TokenHash: "h-" + id, CreatedAt: w.now}
	record := map[string]any{"request_id": r.ID, "session_id": r.SessionID, "created_at": r.CreatedAt, "trace": map[string]string{"id": "0af7651916cd43dd8448eb211c80319c"}}
	if _, err := artifacts.PutJSON(w.t.Context(), w.store, "artifacts", artifacts.RequestName(id), record, artifacts.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.queue.Submit(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// enqueue makes the first task of a request ready.
func (w *world) enqueue(id string) {
	w.t.Helper()
	o, err := w.store.Put(w.t.Context(), "inbox-filter", artifacts.UploadName(id, "input"), strings.NewReader("video"), artifacts.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.queue.Enqueue(w.t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: o}); err != nil {
		w.t.Fatal(err)
	}
}

// work runs the worker of a stage, for as long as it has something to do.
func (w *world) work(s pipeline.Stage, run func(context.Context, *stage.Job) error) {
	w.t.Helper()
	worker := stage.Worker{Definition: stage.Definition{Stage: s, Run: run}, ID: "worker-1", Tasks: w.queue, Slots: w.queue, Limit: 2, Store: w.store, Buckets: w.buckets,
		WorkDir: w.t.TempDir(), Beat: time.Hour, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler), USDPerS: 0.01}
	if err := worker.Run(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) after(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) read() *story.Story {
	w.t.Helper()
	s, err := w.reader.Read(w.t.Context(), w.request.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// TestStoryHasEverySecond: where the time of a request went that was retried, to the end and in its parts; and nothing of it is lost once the
// queue has forgotten the request.
func TestStoryHasEverySecond(t *testing.T) {
	w := newWorld(t)
	w.after(5 * time.Second) // the client uploads
	w.enqueue(w.request.ID)
	w.after(2 * time.Second)
	w.work(pipeline.Filter, func(ctx context.Context, job *stage.Job) error {
		w.after(10 * time.Second)
		_, _ = tool.Run(ctx, tool.Command{Path: "sh", Name: "ffmpeg", Args: []string{"-c", "echo no such stream >&2; exit 1"}})
		return &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky", Message: "It failed.", Advice: "Nothing.", Err: errors.New("the cause")}
	})
	if s := w.read(); !strings.Contains(s.Now, "flaky") || !strings.Contains(s.Now, "due at 2026-11-01T12:00:2") || s.Stages[0].State != story.Waits {
		t.Errorf("%q, %s", s.Now, s.Stages[0].State)
	}
	w.after(30 * time.Second)
	w.work(pipeline.Filter, func(ctx context.Context, job *stage.Job) error {
		w.after(20 * time.Second)
		job.Metric("decoding_s", 12)
		job.Metric("images_per_s", 3)
		_, err := tool.Run(ctx, tool.Command{Path: "sh", Name: "ffmpeg", Args: []string{"-c", "true"}})
		return err
	})

	check := func(s *story.Story) {
		t.Helper()
		if len(s.Stages) == 0 {
			t.Fatal("no stage")
		}
		line := s.Stages[0]
		if line.State != story.Done || len(line.Attempts) != 2 || len(line.Programs) != 1 || line.Programs[0].Runs != 2 || !slices.Equal(line.Steps, []story.Step{{Name: "decoding", WallS: 12}}) {
			t.Fatalf("%+v", line)
		}
		first, second := line.Attempts[0], line.Attempts[1]
		if first.Outcome != "failed" || first.Code != "flaky" || first.Message != "It failed." || !strings.Contains(first.Cause, "the cause") || !slices.Equal(first.Log, []string{"ffmpeg: no such stream"}) {
			t.Errorf("%+v", first)
		}
		if !near(first.WorkS, 10) || !near(first.CostUSD, 0.1) || second.Outcome != "finished" || !near(second.WorkS, 20) || !near(second.WaitS+second.LaunchS, 30) || !near(line.CostUSD, 0.3) {
			t.Errorf("%+v %+v", first, second)
		}
		if sum := s.Sum; !near(sum.WaitS+sum.LaunchS+sum.WorkS+sum.OtherS, sum.TotalS) || !near(sum.WorkS, 30) || !near(sum.CostUSD, 0.3) {
			t.Errorf("%+v", sum)
		}
	}
	s := w.read()
	check(s)
	if first := s.Stages[0].Attempts[0]; !near(first.FromS, 5) || !near(first.LaunchS, 2) || !near(first.WaitS, 0) || !near(s.Sum.OtherS, 5) || s.TraceID == "" {
		t.Errorf("%+v, %+v", first, s.Sum)
	}
	w.reader.Queue = nil
	check(w.read())
}

func TestStorySaysWhatARequestWaitsFor(t *testing.T) {
	w := newWorld(t)
	says := func(words ...string) {
		t.Helper()
		s := w.read()
		for _, word := range words {
			if !strings.Contains(s.Now+" "+s.Advice, word) {
				t.Errorf("%q does not say %q", s.Now, word)
			}
		}
	}
	says("waits for its upload")
	first := w.request
	other := w.submit(8)
	w.enqueue(other.ID)
	w.enqueue(first.ID)
	if _, err := w.queue.Reserve(t.Context(), pipeline.Filter, 2, time.Minute); err != nil {
		t.Fatal(err)
	}
	says("worker of filter", "number 2 of 2", "1 of 2 slots")

	leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "w", 2)
	if err != nil || len(leases) != 2 {
		t.Fatal(leases, err)
	}
	w.after(3 * time.Second)
	says("A worker is at filter, attempt 1")
	if a := w.read().Stages[0].Attempts; len(a) != 1 || a[0].Outcome != "works" || !near(a[0].WorkS, 3) {
		t.Errorf("%+v", a)
	}
	// The worker dies: its attempt leaves no report, and its lease expires.
	w.after(time.Hour)
	if _, err := w.queue.Reap(t.Context()); err != nil { // extends: nothing was reaped for an hour
		t.Fatal(err)
	}
	for range 3 {
		w.after(50 * time.Second)
		if _, err := w.queue.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.read().Stages[0].Attempts; len(a) != 2 || a[0].Outcome != "lost" || a[1].Outcome != "waits" {
		t.Errorf("%+v", a)
	}
	w.work(pipeline.Filter, func(context.Context, *stage.Job) error {
		return pipeline.Invalid("too_dark", "The video is too dark.", "Turn the light on.")
	})
	says("failed in filter with too_dark", "The video is too dark.", "Turn the light on.")
	if s := w.read(); s.Status != pipeline.Failed || s.Stages[0].State != story.Ended {
		t.Errorf("%+v", s)
	}
	if _, err := w.reader.Read(t.Context(), "00000000000000000000000000"); !errors.Is(err, story.ErrUnknown) {
		t.Error(err)
	}
	w.request = w.submit(9)
	if err := w.queue.Cancel(t.Context(), w.request.ID); err != nil {
		t.Fatal(err)
	}
	says("canceled")
}

// TestStoryInATerminal: every attempt, program and step has its line, control characters of programs have none, and JSON has it all.
func TestStoryInATerminal(t *testing.T) {
	w := newWorld(t)
	w.enqueue(w.request.ID)
	w.work(pipeline.Filter, func(ctx context.Context, job *stage.Job) error {
		w.after(10 * time.Second)
		_, _ = tool.Run(ctx, tool.Command{Path: "sh", Name: "ffmpeg", Args: []string{"-c", `printf 'bad\033[31m words\n' >&2; exit 1`}})
		return pipeline.Invalid("too_dark", "The video is too dark.", "Turn the light on.")
	})
	s := w.read()
	var text bytes.Buffer
	if err := s.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{w.request.ID + "  FAILED", "filter       1 failed: too_dark", "ffmpeg", "sum", "together 10.0 s", "0.1000", "Turn the light on.", "ffmpeg: bad", "====="} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("a control character in %q", text.String())
	}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again story.Story
	if err := json.Unmarshal(body, &again); err != nil {
		t.Fatal(err)
	}
	var same bytes.Buffer
	if err := again.Write(&same); err != nil || same.String() != text.String() {
		t.Errorf("%v, from JSON:\n%s", err, same.String())
	}
}
