package trigger_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// stream is an open GET /events.
type stream struct {
	t      *testing.T
	code   int
	lines  *bufio.Scanner
	hangUp func()
}

type sseEvent struct {
	id     string
	status api.Status
}

// piped is a ResponseWriter whose body is read while it is written.
type piped struct {
	header http.Header
	code   chan int
	body   *io.PipeWriter
}

func (p *piped) Header() http.Header { return p.header }
func (p *piped) WriteHeader(code int) {
	select {
	case p.code <- code:
	default:
	}
}
func (p *piped) Write(b []byte) (int, error) { p.WriteHeader(http.StatusOK); return p.body.Write(b) }
func (p *piped) Flush()                      {}

func (w *world) stream(t *testing.T, token, lastID string) *stream {
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("GET", "/events", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	reader, writer := io.Pipe()
	p := &piped{http.Header{}, make(chan int, 1), writer}
	go func() {
		w.handler.ServeHTTP(p, r)
		writer.Close()
	}()
	t.Cleanup(cancel)
	s := &stream{t: t, lines: bufio.NewScanner(reader), hangUp: cancel, code: <-p.code}
	s.lines.Buffer(nil, 1<<20)
	return s
}

// next reads up to the next event; ok is false at the end of the stream. Comments come as an event without id.
func (s *stream) next() (e sseEvent, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.status); err != nil {
				s.t.Fatal(err)
			}
			return e, true
		case "":
			if value != "" {
				return sseEvent{}, true
			}
		}
	}
	return e, false
}

func (s *stream) expect(status pipeline.Status) sseEvent {
	s.t.Helper()
	e, ok := s.next()
	if !ok || e.status.Status != status {
		s.t.Fatalf("event %+v (%v), want %s", e, ok, status)
	}
	return e
}

func (s *stream) end() {
	s.t.Helper()
	if e, ok := s.next(); ok {
		s.t.Fatalf("after the end: %+v", e)
	}
}

func TestEventsFollowARequestToItsEnd(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	s := w.stream(t, a.CallbackToken, "")
	s.expect(pipeline.Queued)
	lease := w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1})
	e, _ := s.next()
	for e.status.Status == pipeline.Queued { // ready, but not claimed yet
		e, _ = s.next()
	}
	if e.status.Status != pipeline.Processing || e.status.Stage != pipeline.Filter {
		t.Fatalf("%+v", e)
	}
	if err := lease.Heartbeat(context.Background(), pipeline.Progress{Stage: pipeline.Filter, Step: "scoring", Percent: 40}); err != nil {
		t.Fatal(err)
	}
	if e = s.expect(pipeline.Processing); e.status.Progress.Step != "scoring" {
		t.Fatalf("%+v", e.status.Progress)
	}
	// A client that reconnects gets what follows its last event, and nothing twice.
	back := w.stream(t, a.CallbackToken, e.id)
	if _, err := lease.Fail(context.Background(), pipeline.Invalid("no_video", "m", "a")); err != nil {
		t.Fatal(err)
	}
	for _, open := range []*stream{s, back} {
		last := open.expect(pipeline.Failed)
		if last.status.Failure.Code != "no_video" || !strings.HasPrefix(last.id, "ended-") {
			t.Fatalf("%+v", last)
		}
		open.end()
		if again := w.stream(t, a.CallbackToken, last.id); again.code != http.StatusNoContent {
			t.Fatalf("after the end: %d", again.code)
		}
	}
	if once := w.stream(t, a.CallbackToken, ""); once.code != 200 {
		t.Fatal(once.code)
	} else {
		once.expect(pipeline.Failed)
		once.end()
	}
}

func TestStreamSpeaksUpAndEndsInTime(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	s := w.stream(t, a.CallbackToken, "")
	s.expect(pipeline.Queued)
	w.fire(15 * time.Second)
	if e, ok := s.next(); !ok || e.id != "" {
		t.Fatalf("no sign of life: %+v %v", e, ok)
	}
	w.fire(4 * time.Minute)
	s.end()
}

func TestStreamNeedsItsToken(t *testing.T) {
	w := newWorld(t)
	problem(t, w.call("GET", "/events", ""), 401, "token_missing")
	problem(t, w.call("GET", "/events?callback_token=x", ""), 404, "unknown_request")
	a := w.trigger("s")
	if rec := w.call("HEAD", "/events?callback_token="+a.CallbackToken, ""); rec.Code != 200 || rec.Body.Len() != 0 {
		t.Fatalf("HEAD: %d %s", rec.Code, rec.Body)
	}
}

func TestStreamEndsWhenTheServerStops(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	ctx, stop := context.WithCancel(t.Context())
	addr := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- serve.Server{Listen: "127.0.0.1:0", Handler: w.handler, Log: slog.New(slog.DiscardHandler), Ready: func(a net.Addr) { addr <- a }}.Run(ctx)
	}()
	resp, err := http.Get("http://" + (<-addr).String() + "/events?callback_token=" + a.CallbackToken)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	stop()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestStreamThroughOldProxies: what speaks HTTP/1.0 gets the events as they come, and is asked to collect none.
func TestStreamThroughOldProxies(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	server := httptest.NewServer(w.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /events?callback_token="+a.CallbackToken+" HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	if resp.StatusCode != 200 || len(resp.TransferEncoding) > 0 || h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%s %v %v", resp.Status, resp.TransferEncoding, h)
	}
	lines, got := bufio.NewScanner(resp.Body), []string{}
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") { // the stream stays open behind it
		got = append(got, lines.Text())
	}
	if len(got) != 4 || got[0] != "retry: 2000" || got[1] != "" || !strings.HasPrefix(got[2], "id: ") || got[3] != "event: status" {
		t.Errorf("before the first document: %q", got)
	}
	w.fire(15 * time.Second)
	for lines.Scan() && lines.Text() == "" {
	}
	if lines.Text() != ": still here" {
		t.Errorf("a comment that keeps the connection: %q, %v", lines.Text(), lines.Err())
	}
}

func TestLongPoll(t *testing.T) {
	for name, change := range map[string]func(*trigger.Config){
		"pushed":  func(*trigger.Config) {},
		"looking": func(c *trigger.Config) { c.News = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, change)
			look := 15 * time.Second
			if name == "looking" {
				look = 2 * time.Second
			}
			a := w.trigger("s")
			auth := "Authorization: Bearer " + a.CallbackToken
			tag := w.call("GET", "/status", "", auth).Header().Get("ETag")
			answer := make(chan *httptest.ResponseRecorder)
			poll := func(query string, headers ...string) {
				go func() { answer <- w.call("GET", "/status"+query, "", append(headers, auth)...) }()
			}

			poll("?wait=30s", "If-None-Match: "+tag)
			w.fire(30 * time.Second)
			if rec := <-answer; rec.Code != http.StatusNotModified {
				t.Fatalf("nothing new: %d %s", rec.Code, rec.Body)
			}
			poll("", "Prefer: wait=20")
			w.fire(20 * time.Second)
			if s := decode[api.Status](t, <-answer); s.Status != pipeline.Queued {
				t.Fatalf("nothing new: %+v", s)
			}
			poll("?wait=900") // more than there is
			w.fire(look)      // it waits
			if err := w.queue.Cancel(context.Background(), a.RequestID); err != nil {
				t.Fatal(err)
			}
			// The look after the wait above may have come before the change or after it; then it needs no other.
			var rec *httptest.ResponseRecorder
			select {
			case rec = <-answer:
			case w.timerOf(look) <- w.now():
				rec = <-answer
			}
			if s := decode[api.Status](t, rec); s.Status != pipeline.Canceled {
				t.Fatalf("after the change: %+v", s)
			}
			poll("?wait=30s", "If-None-Match: "+w.call("GET", "/status", "", auth).Header().Get("ETag"))
			if rec := <-answer; rec.Code != http.StatusNotModified { // nothing will ever change again
				t.Fatalf("ended: %d", rec.Code)
			}
		})
	}
}

func TestWaitsThatAreNone(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	for _, wait := range []string{"x", "-1s", "-5", "1e9", "30s30"} {
		problem(t, w.call("GET", "/status?wait="+wait+"&callback_token="+a.CallbackToken, ""), 400, "invalid_wait")
	}
	if rec := w.call("GET", "/status?wait=0&callback_token="+a.CallbackToken, ""); rec.Code != 200 {
		t.Fatal(rec.Code)
	}
}

func TestResultLeadsToTheFile(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	auth := "Authorization: Bearer " + a.CallbackToken
	problem(t, w.call("GET", "/result/splat", ""), 401, "token_missing")
	problem(t, w.call("GET", "/result/splat", "", auth), 409, "not_completed")
	w.finish(a.RequestID)
	for _, kind := range []string{"splat", "splat.ply"} {
		rec := w.call("GET", "/result/"+kind, "", auth)
		if rec.Code != http.StatusFound || !strings.HasPrefix(rec.Header().Get("Location"), "https://storage.test/artifacts/"+a.RequestID+"/") {
			t.Fatalf("%d %v", rec.Code, rec.Header())
		}
	}
	problem(t, w.call("GET", "/result/mesh", "", auth), 404, "no_such_result")
	problem(t, w.call("GET", "/result/..%2Frequest.json", "", auth), 404, "no_such_result")
	w = newWorld(t)
	a = w.trigger("s")
	w.finish(a.RequestID)
	auth = "Authorization: Bearer " + a.CallbackToken
	w.fail("open", true)
	problem(t, w.call("GET", "/result/splat", "", auth), 503, "storage_unavailable")
	w.fail("open", false)
	w.delete(a.RequestID)
	problem(t, w.call("GET", "/result/splat", "", auth), 410, "results_deleted")
	if s := w.status(a.CallbackToken); s.Status != pipeline.Completed || len(s.Results) != 0 {
		t.Errorf("results that were deleted: %+v", s)
	}
}

// TestEndIsAnnouncedOnce: a flood of calls must not become a flood of webhooks. A word that is lost is the reaper's to repeat.
func TestEndIsAnnouncedOnce(t *testing.T) {
	var ended []pipeline.Status
	w := newWorld(t, func(c *trigger.Config) {
		c.Ended = func(_ context.Context, _ pipeline.Request, s pipeline.Status) error {
			ended = append(ended, s)
			return io.EOF
		}
	})
	a := w.trigger("s")
	for range 200 {
		if rec := w.call("POST", "/cancel", "", "Authorization: Bearer "+a.CallbackToken); rec.Code != 200 {
			t.Fatal(rec.Code)
		}
	}
	if len(ended) != 1 || ended[0] != pipeline.Canceled {
		t.Fatal(ended)
	}
	w.advance(time.Hour)
	if did, err := w.queue.Reap(t.Context()); err != nil || len(did.Unannounced) != 1 {
		t.Errorf("left to the reaper: %v, %v", did.Unannounced, err)
	}
}

// TestWaitingCallsAreFew: each keeps a place of the instance, and one token can open any number of them.
func TestWaitingCallsAreFew(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.Waiting = 6 })
	a, b := w.trigger("a"), w.trigger("b")
	var open []*stream
	for range 4 {
		open = append(open, w.stream(t, a.CallbackToken, ""))
	}
	auth := "Authorization: Bearer " + a.CallbackToken
	rec := w.call("GET", "/events", "", auth)
	if problem(t, rec, 503, "too_many_streams"); rec.Header().Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", rec.Header().Get("Retry-After"))
	}
	if rec := w.call("GET", "/status?wait=60s", "", auth); rec.Code != 200 { // answered at once, or nobody would answer at all
		t.Errorf("long poll: %d", rec.Code)
	}
	for range 2 {
		w.stream(t, b.CallbackToken, "").expect(pipeline.Queued)
	}
	problem(t, w.call("GET", "/events", "", "Authorization: Bearer "+b.CallbackToken), 503, "too_many_streams")
	open[0].expect(pipeline.Queued)
	open[0].hangUp()
	open[0].end()
	w.stream(t, b.CallbackToken, "").expect(pipeline.Queued) // in its place
}
