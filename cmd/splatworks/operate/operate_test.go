package operate

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/infra/local/loopback"
)

// desk is a Desk before an API that answers with what it received.
func desk(t *testing.T, identity string) *Desk {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // of a test
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Set-Cookie", "a=b")
		fmt.Fprintf(w, "%s %s auth=%q cookie=%q origin=%q body=%q", r.Method, r.URL, r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Origin"), body)
	}))
	t.Cleanup(api.Close)
	u, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{API: u, Transport: http.DefaultTransport, Identity: identity, Hosts: loopback.Listening("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ask(d *Desk, method, target, token string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8000"+target, strings.NewReader("{}"))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, r)
	return rec
}

// enter opens the page by its link.
func enter(t *testing.T, d *Desk) (token string) {
	t.Helper()
	rec := ask(d, "POST", "/session", d.Key)
	token = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(rec.Body.String()), `{"token":"`), `"}`)
	if rec.Code != http.StatusOK || len(token) != 43 || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("the link: %d %s", rec.Code, rec.Body)
	}
	return token
}

// TestTheLinkOpensOnce, and nothing else opens the page.
func TestTheLinkOpensOnce(t *testing.T) {
	d := desk(t, "")
	const callback = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" // as long as one
	for _, token := range []string{"", callback, d.Key} {
		if rec := ask(d, "GET", "/api/queue", token); rec.Code != http.StatusUnauthorized {
			t.Errorf("before the link was used, %q: %d", token, rec.Code)
		}
	}
	for _, key := range []string{"", callback, d.Key[:42]} {
		if rec := ask(d, "POST", "/session", key); rec.Code != http.StatusUnauthorized {
			t.Errorf("the key %q: %d", key, rec.Code)
		}
	}
	token := enter(t, d)
	if rec := ask(d, "POST", "/session", d.Key); rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Body.String(), "link_used") {
		t.Errorf("a second time: %d %s", rec.Code, rec.Body)
	}
	for _, other := range []string{"", callback, d.Key, token[:42]} {
		if rec := ask(d, "GET", "/api/queue", other); rec.Code != http.StatusUnauthorized || strings.Contains(rec.Body.String(), "GET") {
			t.Errorf("%q: %d %s", other, rec.Code, rec.Body)
		}
	}
	if rec := ask(d, "GET", "/api/queue?callback_token="+token, ""); rec.Code != http.StatusUnauthorized {
		t.Errorf("a token in the address: %d", rec.Code)
	}
	if rec := ask(d, "GET", "/api/queue", "", "Cookie", "token="+token); rec.Code != http.StatusUnauthorized {
		t.Errorf("a token in a cookie: %d", rec.Code)
	}
	if rec := ask(d, "PUT", "/api/status/x?y=z", token); rec.Code != http.StatusOK || rec.Body.String() != `PUT /status/x?y=z auth="" cookie="" origin="" body="{}"` {
		t.Errorf("with the token: %d %s", rec.Code, rec.Body)
	}
}

// TestNothingLeaks: to the API goes its identity in place of the session; to the browser nothing that another origin could read or keep.
func TestNothingLeaks(t *testing.T) {
	d := desk(t, "identity")
	rec := ask(d, "POST", "/api/purge", enter(t, d), "Cookie", "c", "Origin", "https://evil.example")
	if want := `POST /purge auth="Bearer identity" cookie="" origin="" body="{}"`; rec.Body.String() != want {
		t.Errorf("the API receives %s, want %s", rec.Body, want)
	}
	for name, want := range map[string]string{"Access-Control-Allow-Origin": "", "Set-Cookie": "", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if rec := ask(d, "OPTIONS", "/api/purge", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); rec.Code < 400 || rec.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a question of another origin: %d %v", rec.Code, rec.Header())
	}
}

// TestOnlyItsOwnNames: a page whose name leads to this machine (DNS rebinding) gets nothing, not even the page.
func TestOnlyItsOwnNames(t *testing.T) {
	d := desk(t, "")
	for _, target := range []string{"/", "/session", "/api/queue", "/assets/x"} {
		for _, method := range []string{"GET", "POST"} {
			if rec := ask(d, method, target, d.Key, "Host", "evil.example"); rec.Code != http.StatusForbidden {
				t.Errorf("%s %s: %d", method, target, rec.Code)
			}
		}
	}
	enter(t, d) // the key was not used up
}

// TestThePage has a policy of its own, which allows no inline code, no frames, and no other origin.
func TestThePage(t *testing.T) {
	d := desk(t, "")
	rec := ask(d, "GET", "/", "")
	csp := rec.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "form-action 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %q", csp, want)
		}
	}
	if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "Operate Splatworks") || strings.Contains(csp, "unsafe") {
		t.Errorf("%d, policy %q", rec.Code, csp)
	}
	for _, target := range []string{"/operate.html", "/embed", "/status", "/queue"} {
		if rec := ask(d, "GET", target, ""); rec.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, rec.Code)
		}
	}
}

func TestTheBackendMayBeAway(t *testing.T) {
	u, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{API: u, Transport: http.DefaultTransport, Hosts: loopback.Listening("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	if rec := ask(d, "GET", "/api/queue", enter(t, d)); rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Body.String(), "backend_away") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("missing dependencies accepted")
	}
}
