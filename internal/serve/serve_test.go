package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRequestsInFlightFinishDuringShutdown(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	inside, release := make(chan struct{}), make(chan struct{})
	addr := make(chan net.Addr, 1)
	done := make(chan error, 1)
	server := Server{Listen: "127.0.0.1:0", Log: discard(), Ready: func(a net.Addr) { addr <- a },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(inside)
			<-Draining(r.Context())
			if err := r.Context().Err(); err != nil {
				t.Errorf("the request was canceled with the server: %v", err)
			}
			<-release
			_, _ = io.WriteString(w, "whole")
		})}
	go func() { done <- server.Run(ctx) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + (<-addr).String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-inside
	stop()
	close(release)
	if got := <-answer; got != "whole" {
		t.Fatalf("the client got %q", got)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestGraceEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	inside := make(chan struct{})
	addr := make(chan net.Addr, 1)
	done := make(chan error, 1)
	server := Server{Listen: "127.0.0.1:0", Log: discard(), Ready: func(a net.Addr) { addr <- a }, Grace: time.Millisecond,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(inside)
			<-r.Context().Done() // the closed connection ends it
		})}
	go func() { done <- server.Run(ctx) }()
	go func() {
		resp, err := http.Get("http://" + (<-addr).String())
		if err == nil {
			resp.Body.Close()
		}
	}()
	<-inside
	stop()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want the deadline", err)
	}
}

func TestListenErrorIsReported(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := (Server{Listen: taken.Addr().String(), Log: discard()}).Run(t.Context()); err == nil {
		t.Fatal("no error for a taken port")
	}
}

func TestLogLineIsWhatCloudLoggingReads(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, "my-project", slog.LevelInfo)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	log.WarnContext(withTrace(r).Context(), "hello", "n", 1, "again_in", 1500*time.Millisecond)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"severity": "WARNING", "message": "hello", "n": 1.0, "again_in": "1.5s",
		"logging.googleapis.com/trace": "projects/my-project/traces/0af7651916cd43dd8448eb211c80319c", "logging.googleapis.com/spanId": "b7ad6b7169203331"} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	if line["time"] == nil || line["msg"] != nil || line["level"] != nil {
		t.Errorf("fields of the line: %v", line)
	}
}

func TestTraceTakesOnlyTraces(t *testing.T) {
	for _, c := range []struct {
		header, value string
		want          Trace
	}{
		{"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/255;o=1", Trace{"105445aa7843bc8bf206b12000100000", "00000000000000ff"}},
		{"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/x", Trace{ID: "105445aa7843bc8bf206b12000100000"}},
		{"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/0", Trace{ID: "105445aa7843bc8bf206b12000100000"}},
		{"X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000", Trace{ID: "105445aa7843bc8bf206b12000100000"}},
		{"X-Cloud-Trace-Context", "<script>/1", Trace{}},
		{"traceparent", "00-105445aa7843bc8bf206b12000100000-b7ad6b7169203331-01", Trace{"105445aa7843bc8bf206b12000100000", "b7ad6b7169203331"}},
		{"traceparent", "00-105445aa7843bc8bf206b12000100000-<b>-01", Trace{ID: "105445aa7843bc8bf206b12000100000"}},
		{"traceparent", "00-xyz-b7ad6b7169203331-01", Trace{}},
		{"traceparent", "", Trace{}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set(c.header, c.value)
		if got := TraceOf(withTrace(r).Context()); got != c.want {
			t.Errorf("%s %q: %+v", c.header, c.value, got)
		}
	}
}

func TestSecretsAreNeverLogged(t *testing.T) {
	const secret = "s3cr3t-Value_42"
	var out bytes.Buffer
	log := NewLogger(&out, "", slog.LevelDebug)
	u, _ := url.Parse("https://h/status?callback_token=" + secret + "&x=1")
	log.Info("GET /status?callback_token=" + secret)
	log.Info("m", "callback_token", secret)
	log.Info("m", "Authorization", "Bearer "+secret)
	log.Info("m", "headers", http.Header{"Authorization": {"Bearer " + secret}})
	log.Info("m", "err", &url.Error{Op: "Get", URL: u.String(), Err: errors.New("refused")})
	log.Info("m", "url", u)
	log.Info("m", "body", `{"callback_token": "`+secret+`"}`)
	log.Info("m", "body", json.RawMessage(`{"callback_token":"`+secret+`"}`))
	log.Info("m", "link", "https://storage/x?X-Goog-Signature="+secret+"&y=2", "session", "https://s?upload_id="+secret)
	log.Info("m", slog.Group("g", "token", secret))
	log.Info("GET /status/splatworks_"+strings.Repeat("0a", 26), "metric", "splatworks_queue_wait_seconds")
	log.With("token", secret).Info("m", "secret", secret, "key", "whsec_"+secret)
	if strings.Contains(out.String(), secret) || strings.Contains(out.String(), "0a0a") || !strings.Contains(out.String(), "splatworks_queue_wait_seconds") {
		t.Fatalf("logged:\n%s", out.String())
	}
	if n := strings.Count(out.String(), redacted); n < 14 {
		t.Fatalf("only %d places blanked:\n%s", n, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON any more: %s", line)
		}
	}
	if !strings.Contains(out.String(), "x=1") {
		t.Error("more than the secret was blanked")
	}
}

func TestHardening(t *testing.T) {
	var out bytes.Buffer
	h := Hardening{Log: NewLogger(&out, "", slog.LevelInfo), MaxBodyBytes: 10}.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic("oh")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			WriteProblem(w, TooLarge(10))
			return
		}
		_, _ = w.Write(b)
	}))
	call := func(method, target string, body io.Reader) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, body))
		return w
	}
	if w := call("POST", "/?callback_token=abc", strings.NewReader("0123456789")); w.Code != 200 || w.Body.String() != "0123456789" {
		t.Errorf("a body at the limit: %d %q", w.Code, w.Body)
	}
	if w := call("POST", "/", strings.NewReader("0123456789+")); w.Code != 413 {
		t.Errorf("a body beyond the limit: %d", w.Code)
	}
	if w := call("POST", "/", io.MultiReader(strings.NewReader("0123456789+"))); w.Code != 413 { // length unknown
		t.Errorf("a chunked body beyond the limit: %d", w.Code)
	}
	if w := call("GET", "/panic", nil); w.Code != 500 || w.Header().Get("Content-Type") != ContentType {
		t.Errorf("a panic: %d %v", w.Code, w.Header())
	}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("ErrAbortHandler was swallowed")
			}
		}()
		call("GET", "/abort", nil)
	}()
	logged := out.Len()
	if w := call("GET", "/healthz", nil); w.Code != 200 || out.Len() != logged {
		t.Errorf("health: %d, %d bytes logged", w.Code, out.Len()-logged)
	}
	if s := out.String(); strings.Contains(s, "callback_token") || !strings.Contains(s, `"status":413`) || !strings.Contains(s, `"severity":"ERROR"`) {
		t.Errorf("access log:\n%s", s)
	}
}

func TestCORSAnswersOnlyTheOriginsNamed(t *testing.T) {
	h := CORS([]string{"https://app.example"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{"OPTIONS", "https://app.example", 204, "https://app.example"},
		{"POST", "https://app.example", 418, "https://app.example"},
		{"OPTIONS", "https://evil.example", 418, ""},
		{"GET", "", 418, ""},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Access-Control-Allow-Origin") != c.allowed || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%+v: %d %v", c, w.Code, w.Header())
		}
	}
}

// TestBrowserReadsRefusalsToo: the answers of the hardening reach a page, and a page may send and read what the API needs.
func TestBrowserReadsRefusalsToo(t *testing.T) {
	h := CORS([]string{"https://app.example"}, Hardening{Log: slog.New(slog.DiscardHandler), MaxBodyBytes: 1}.Wrap(http.NotFoundHandler()))
	r := httptest.NewRequest("POST", "/", strings.NewReader("too long"))
	r.Header.Set("Origin", "https://app.example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, name := range []string{"Location", "Retry-After", "ETag"} {
		if !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("a page cannot read %s", name)
		}
	}
	r = httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "GET")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "X-Api-Key"} {
		if !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("a page cannot send %s", name)
		}
	}
}

func TestClientAddressIgnoresWhatClientsWrite(t *testing.T) {
	for _, c := range []struct {
		remote, forwarded string
		proxies           int
		want              string
	}{
		{"192.0.2.1:1234", "", 0, "192.0.2.1"},
		{"192.0.2.1:1234", "9.9.9.9", 0, "192.0.2.1"},
		{"169.254.1.1:1", "9.9.9.9, 203.0.113.7", 1, "203.0.113.7"},
		{"169.254.1.1:1", "9.9.9.9, 203.0.113.7, 35.1.1.1", 2, "203.0.113.7"},
		{"192.0.2.1:1", "203.0.113.7", 2, "192.0.2.1"},
		{"[2001:db8:1:2:3:4:5:6]:1", "", 0, "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.1]:1", "", 0, "192.0.2.1"},
		{"[fe80::1%eth0]:1", "", 0, "fe80::/64"},
		{"@", "", 0, "unknown"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := ClientAddress(r, c.proxies); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
