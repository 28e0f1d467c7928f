package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var errAway = errors.New("dial tcp 10.0.0.3:6378: i/o timeout")

// awaited answers looks by a script: each call takes a second of the clock and gives the next answer, the last one for ever.
func awaited(log *bytes.Buffer, answers ...error) *Awaited {
	clock := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	looks := 0
	return &Awaited{
		Name: "queue", Log: NewLogger(log, "", slog.LevelInfo), Pause: time.Nanosecond, Hold: time.Nanosecond,
		Passing: func(err error) bool { return errors.Is(err, errAway) },
		Now:     func() time.Time { return clock },
		Look: func(context.Context) error {
			clock = clock.Add(time.Second)
			looks++
			return answers[min(looks, len(answers))-1]
		},
	}
}

func lines(log *bytes.Buffer) (messages []string) {
	for line := range strings.Lines(log.String()) {
		var entry struct{ Severity, Message, Waited, Error string }
		_ = json.Unmarshal([]byte(line), &entry)
		messages = append(messages, strings.TrimSpace(strings.Join([]string{entry.Severity, entry.Message, entry.Waited, entry.Error}, " ")))
	}
	return messages
}

// TestWatchASixtySecondsLateQueue: it is waited for, and the log says so at once, every ten seconds, and at the end.
func TestWatchASixtySecondsLateQueue(t *testing.T) {
	var log bytes.Buffer
	answers := make([]error, 61)
	for i := range 60 {
		answers[i] = errAway
	}
	if err := awaited(&log, answers...).Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"INFO queue answers 1m1s"}
	for _, waited := range []string{"51s", "41s", "31s", "21s", "11s", "1s"} {
		want = append([]string{"WARNING waiting for the queue " + waited + " " + errAway.Error()}, want...)
	}
	if got := strings.Join(lines(&log), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("log:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// TestWatchSaysNothingOfAQueueThatIsThere: the usual start makes no noise.
func TestWatchSaysNothingOfAQueueThatIsThere(t *testing.T) {
	var log bytes.Buffer
	if err := awaited(&log, nil).Watch(t.Context()); err != nil || log.Len() != 0 {
		t.Errorf("%v, log %s", err, &log)
	}
}

// TestWatchEnds with what time cannot cure, and with its context whatever Look does.
func TestWatchEnds(t *testing.T) {
	var log bytes.Buffer
	wrong := errors.New("WRONGPASS")
	if err := awaited(&log, errAway, wrong).Watch(t.Context()); !errors.Is(err, wrong) {
		t.Errorf("a wrong password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := awaited(&log, errAway)
	inside, never := make(chan struct{}), make(chan struct{})
	defer close(never)
	a.Look = func(context.Context) error { close(inside); <-never; return nil }
	done := make(chan error, 1)
	go func() { done <- a.Watch(ctx) }()
	<-inside
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "queue") {
		t.Errorf("stopped during a look: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	a = awaited(&log, errAway)
	a.Pause = time.Hour
	look := a.Look
	a.Look = func(ctx context.Context) error { defer cancel(); return look(ctx) }
	if err := a.Watch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped between looks: %v", err)
	}
}

func (a *Awaited) call(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.Answer(a.Gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))).
		ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// TestGateAndReady: 503 with a problem until the queue was seen, then the handler; /ready says what is missing before and after.
func TestGateAndReady(t *testing.T) {
	var log bytes.Buffer
	a := awaited(&log, nil, nil, errAway, nil)
	w := a.call("/status")
	var problem Problem
	if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Code != 503 || problem.Code != "queue_unavailable" || !problem.Retryable ||
		w.Header().Get("Retry-After") != "5" || w.Header().Get("Content-Type") != ContentType {
		t.Errorf("before: %d %v %s", w.Code, w.Header(), w.Body)
	}
	ready := func(status int, want string) {
		t.Helper()
		w := a.call("/ready")
		if w.Code != status || strings.TrimSpace(w.Body.String()) != want || (w.Header().Get("Retry-After") == "") != (status == 200) {
			t.Errorf("/ready: %d %v %s, want %d %s", w.Code, w.Header(), w.Body, status, want)
		}
	}
	ready(503, `{"ready":false,"missing":["queue"]}`)
	if err := a.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready(200, `{"ready":true}`)
	ready(503, `{"ready":false,"missing":["queue"]}`) // it went away
	if w := a.call("/status"); w.Code != http.StatusTeapot {
		t.Errorf("once seen, the handler answers for itself: %d", w.Code)
	}
	ready(200, `{"ready":true}`)
}

// TestReadyIsBounded: a queue that hangs is missing.
func TestReadyIsBounded(t *testing.T) {
	var log bytes.Buffer
	a := awaited(&log, nil)
	if err := a.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	defer close(never)
	a.Look, a.Bound = func(context.Context) error { <-never; return nil }, time.Millisecond
	if w := a.call("/ready"); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}

// TestGateHolds a request that comes with the start, and lets it through as soon as the queue is seen.
func TestGateHolds(t *testing.T) {
	var log bytes.Buffer
	a := awaited(&log, nil)
	a.Hold = time.Hour
	held := make(chan int, 1)
	go func() { held <- a.call("/status").Code }()
	if err := a.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-held; code != http.StatusTeapot {
		t.Errorf("status %d", code)
	}
}

// TestNothingAwaited: a program without such a need is ready.
func TestNothingAwaited(t *testing.T) {
	var none *Awaited
	if err := none.Watch(t.Context()); err != nil || none.call("/ready").Code != 200 || none.call("/").Code != http.StatusTeapot {
		t.Error("it waits", err)
	}
}
