package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// parityFunctions answer from what they were given, so that two hosts can be compared.
func parityFunctions() []Function {
	api := Hardening{Log: discard(), MaxBodyBytes: 100}.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("panic") {
			panic("oh")
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			WriteProblem(w, TooLarge(100))
			return
		}
		WriteJSON(w, http.StatusAccepted, map[string]string{"method": r.Method, "body": string(b), "query": r.URL.RawQuery})
	}))
	event := func(_ context.Context, e cloudevents.Event) error {
		switch e.Type() {
		case "ok":
			return nil
		case "unprocessable":
			return cehttp.NewResult(422, "%s", "no use")
		case "panic":
			panic("oh")
		}
		return errors.New("try again")
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slowBegan <- struct{}{}
		<-Draining(r.Context()) // the server is stopping
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "whole")
	})
	return []Function{{Name: "api", HTTP: api}, {Name: "event", Event: event}, {Name: "slow", HTTP: slow}}
}

var slowBegan = make(chan struct{})

// registered is once for all tests: the framework's registry is global.
var registered = sync.OnceValue(func() error { return Register(parityFunctions()...) })

func registerParity(t *testing.T) {
	t.Helper()
	if err := registered(); err != nil {
		t.Fatal(err)
	}
}

// TestBothHostsAnswerTheSame compares the framework's handler in a server of ours with funcframework.Start.
func TestBothHostsAnswerTheSame(t *testing.T) {
	registerParity(t)
	own, err := Framework()
	if err != nil {
		t.Fatal(err)
	}
	ours := httptest.NewServer(own)
	defer ours.Close()
	theirs := startFramework(t)

	event := func(ceType, contentType, body string) func(base string) *http.Request {
		return func(base string) *http.Request {
			r, _ := http.NewRequest("POST", base+"/event", strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			if ceType != "" {
				for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//here", "ce-type": ceType} {
					r.Header.Set(k, v)
				}
			}
			return r
		}
	}
	structured := `{"specversion":"1.0","id":"1","source":"//here","type":"ok","data":{}}`
	calls := map[string]func(base string) *http.Request{
		"POST": func(base string) *http.Request {
			r, _ := http.NewRequest("POST", base+"/api?x=1", strings.NewReader("hello"))
			return r
		},
		"GET": func(base string) *http.Request { r, _ := http.NewRequest("GET", base+"/api", nil); return r },
		"too large": func(base string) *http.Request {
			r, _ := http.NewRequest("POST", base+"/api", strings.NewReader(strings.Repeat("x", 101)))
			return r
		},
		"panic":               func(base string) *http.Request { r, _ := http.NewRequest("GET", base+"/api?panic", nil); return r },
		"event":               event("ok", "application/json", "{}"),
		"event structured":    event("", "application/cloudevents+json", structured),
		"event error":         event("fail", "application/json", "{}"),
		"event unprocessable": event("unprocessable", "application/json", "{}"),
		"event panic":         event("panic", "application/json", "{}"),
		"event garbage":       event("", "application/cloudevents+json", "{"), // the SDK's choice
	}
	want := map[string]int{"POST": 202, "GET": 202, "too large": 413, "panic": 500, "event": 200, "event structured": 200,
		"event error": 500, "event unprocessable": 422, "event panic": 500, "event garbage": 500}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			a, b := answer(t, call(ours.URL)), answer(t, call(theirs))
			if a != b {
				t.Errorf("ours answers %s\ntheirs answers %s", a, b)
			}
			if !strings.HasPrefix(a, fmt.Sprint(want[name])) {
				t.Errorf("answer %s, want %d", a, want[name])
			}
		})
	}
}

func answer(t *testing.T, r *http.Request) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s %s", resp.StatusCode, resp.Header.Get("Content-Type"), body)
}

// startFramework serves what was registered on a free port for the rest of the process: the framework knows no stop.
func startFramework(t *testing.T) (base string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort("127.0.0.1", port) }()
	for {
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-t.Context().Done():
			t.Fatal("the framework did not start")
		default:
		}
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			return "http://127.0.0.1:" + port
		}
	}
}

// TestWhatIsNoEventIsRefused: here the hosts differ, since the framework first tries the forms that events had before
// CloudEvents. None of our events comes in one.
func TestWhatIsNoEventIsRefused(t *testing.T) {
	h, err := Events(func(context.Context, cloudevents.Event) error {
		t.Error("called")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]int{"POST": 415, "GET": 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/", strings.NewReader("{}")))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

func TestTheTargetIsServedEverywhere(t *testing.T) {
	registerParity(t)
	t.Setenv("FUNCTION_TARGET", "api")
	h, err := Framework()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/status/x", nil))
	if w.Code != 202 {
		t.Fatalf("status %d", w.Code)
	}
	t.Setenv("FUNCTION_TARGET", "missing")
	if _, err := Framework(); err == nil || !strings.Contains(err.Error(), `"missing"`) {
		t.Errorf("a target that nobody registered: %v", err)
	}
}

// TestFunctionsStopGracefully: what the framework's own server cannot do, ours does for its handler.
func TestFunctionsStopGracefully(t *testing.T) {
	registerParity(t)
	t.Setenv("FUNCTION_TARGET", "slow")
	h, err := Framework()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	addr, done, answered := make(chan net.Addr, 1), make(chan error, 1), make(chan string, 1)
	go func() {
		done <- Server{Listen: "127.0.0.1:0", Handler: h, Log: discard(), Ready: func(a net.Addr) { addr <- a }}.Run(ctx)
	}()
	go func() {
		r, _ := http.NewRequest("GET", "http://"+(<-addr).String(), nil)
		answered <- answer(t, r)
	}()
	<-slowBegan
	stop()
	if got := <-answered; got != "200 text/plain whole" {
		t.Errorf("the client got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFunctionsThatMakeNoSense(t *testing.T) {
	if err := Register(Function{Name: "neither"}); err == nil {
		t.Error("function without handler accepted")
	}
	if err := Register(Function{HTTP: http.NotFoundHandler()}); err == nil {
		t.Error("function without name accepted")
	}
}
