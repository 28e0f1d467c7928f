package trigger_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/tenant"
)

// newKey is a key of a caller as it is configured.
func newKey(t testing.TB, name string) (secret string, k tenant.Key) {
	t.Helper()
	secret, k, err := tenant.New(name, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return secret, k
}

// asks makes an API ask for keys.
func asks(c *trigger.Config, configured ...tenant.Key) {
	c.Keys = tenant.NewRing(configured, tenant.Register{Store: c.Store, Bucket: c.Buckets.Artifacts}, c.Now, c.Log)
}

// TestKeys: only a key of the list opens, each caller has its own limit, and while a key is replaced the old and the new one
// are the same caller.
func TestKeys(t *testing.T) {
	old, oldKey := newKey(t, "app")
	replaced, newOne := newKey(t, "app")
	other, otherKey := newKey(t, "other")
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, oldKey, newOne, otherKey)
		c.Limiter = ratelimittest.NewMemory(ratelimit.Limit{Calls: 2, Window: time.Minute}, c.Now)
	})
	submit := func(session, key string) int {
		return w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`, "X-Api-Key: "+key).Code
	}
	for _, wrong := range []string{"", "app", oldKey.ID, oldKey.Entry(), oldKey.Hash, old + "x", old[:len(old)-1], strings.ToUpper(old)} {
		if code := submit("s", wrong); code != http.StatusUnauthorized {
			t.Errorf("key %q: %d", wrong, code)
		}
	}
	if len(w.published) != 0 {
		t.Fatal("taken in without a key")
	}
	for i, c := range []struct {
		key  string
		want int
	}{{old, 202}, {replaced, 202}, {old, 429}, {replaced, 429}, {other, 202}} {
		if code := submit(string(rune('a'+i)), c.key); code != c.want {
			t.Errorf("call %d: %d, want %d", i, code, c.want)
		}
	}
	for _, key := range []string{old, replaced, other} {
		if strings.Contains(w.log.String(), key) {
			t.Error("a key is in the log")
		}
	}
	if s, err := w.queue.Lookup(t.Context(), w.published[0].RequestID); err != nil || s.Caller != "key:app" {
		t.Errorf("caller %q %v", s.Caller, err)
	}
}

// TestSessionsAreTheirCallers: with API keys a session name blocks no other caller's, and answers name no other caller's request.
func TestSessionsAreTheirCallers(t *testing.T) {
	good, goodKey := newKey(t, "good")
	evil, evilKey := newKey(t, "evil")
	w := newWorld(t, func(c *trigger.Config) { asks(c, goodKey, evilKey) })
	submit := func(key string) *httptest.ResponseRecorder {
		return w.call("POST", "/trigger-reconstruction", `{"session_id":"customer-0001"}`, "X-Api-Key: "+key)
	}
	if rec := submit(evil); rec.Code != 202 {
		t.Fatal(rec.Code)
	}
	a := decode[api.Accepted](t, submit(good))
	if p := problem(t, submit(good), 409, "duplicate_session"); p.RequestID != a.RequestID {
		t.Errorf("%+v, want %s", p, a.RequestID)
	}
}

// stored adds a key as an operator does.
func (w *world) stored(name string, change func(*tenant.Key)) (secret string, k tenant.Key) {
	w.t.Helper()
	secret, k = newKey(w.t, name)
	k.CreatedAt = w.now()
	if change != nil {
		change(&k)
	}
	if err := w.register().Add(w.t.Context(), k); err != nil {
		w.t.Fatal(err)
	}
	return secret, k
}

func (w *world) register() tenant.Register {
	return tenant.Register{Store: w.store, Bucket: "artifacts"}
}

// TestAuditOfACancel: a client's cancel is one row, by its key's name and never by its address.
func TestAuditOfACancel(t *testing.T) {
	key, k := newKey(t, "app")
	for by, w := range map[string]*world{"key:app": newWorld(t, func(c *trigger.Config) { asks(c, k) }), "client": newWorld(t)} {
		a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "X-Api-Key: "+key))
		for range 2 { // the second changes nothing
			if rec := w.call("POST", "/cancel", "", "Authorization: Bearer "+a.CallbackToken); rec.Code != 200 {
				t.Fatal(rec.Code)
			}
		}
		if n := strings.Count(w.log.String(), `"audit":"request_canceled","by":"`+by+`","request_id":"`+a.RequestID+`"`); n != 1 {
			t.Errorf("%d rows by %s: %s", n, by, w.log.String())
		}
	}
}

// TestStoredKeys: what each operation answers to a key that is good, revoked, expired, or for something else, and to one that nobody can
// look up. No answer and no line of the log has a secret, and no address is taken for a key.
func TestStoredKeys(t *testing.T) {
	checkKeys(t, func(string, *httptest.ResponseRecorder) {})
}

func checkKeys(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, func(c *trigger.Config) { asks(c) })
	good, _ := w.stored("app", nil)
	submits, _ := w.stored("app", func(k *tenant.Key) { k.Scopes = []tenant.Scope{tenant.Submit} })
	reads, _ := w.stored("app", func(k *tenant.Key) { k.Scopes = []tenant.Scope{tenant.Read} })
	expired, _ := w.stored("app", func(k *tenant.Key) { k.ExpiresAt = w.now() })
	revoked, _ := w.stored("app", func(k *tenant.Key) { k.RevokedAt = w.now() })
	foreign, _ := w.stored("other", nil)
	secrets := []string{good, submits, reads, expired, revoked, foreign}

	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "X-Api-Key: "+submits))
	type caller func(key string) *httptest.ResponseRecorder
	of := func(operation, target, body string) caller {
		method, _, _ := strings.Cut(operation, " ")
		return func(key string) *httptest.ResponseRecorder {
			rec := w.call(method, target, body, "X-Api-Key: "+key)
			check(operation, rec)
			return rec
		}
	}
	calls := map[string]caller{
		"submit":   of("POST /trigger-reconstruction", "/trigger-reconstruction", `{"session_id":"s"}`),
		"estimate": of("POST /estimate", "/estimate", `{"images":12}`),
		"status":   of("GET /status/{request_id}", "/status/"+a.RequestID, ""),
	}
	for name, call := range calls {
		problem(t, call(expired), 401, "key_expired")
		problem(t, call(revoked), 401, "key_revoked")
		problem(t, call("splatworks_unknown"), 401, "unauthorized")
		lacking := map[string]string{"submit": reads, "estimate": reads, "status": submits}[name]
		if p := problem(t, call(lacking), 403, "key_scope"); !strings.Contains(p.Detail, "scope") {
			t.Errorf("%s: %+v", name, p)
		}
		w.advance(2 * time.Second) // else a key that is not known is not looked for again
		w.fail("list", true)
		problem(t, call("splatworks_unknown"), 503, "storage_unavailable")
		w.fail("list", false)
	}
	for _, key := range []string{good, reads} {
		if s := decode[api.Status](t, calls["status"](key)); s.RequestID != a.RequestID {
			t.Errorf("status of %s", s.RequestID)
		}
	}
	problem(t, calls["status"](foreign), 404, "unknown_request")
	problem(t, calls["status"](""), 401, "token_missing")
	problem(t, w.call("GET", "/status/"+a.RequestID+"?api_key="+good, ""), 401, "token_missing")
	problem(t, w.call("GET", "/status/"+a.RequestID, "", "Authorization: Bearer "+good), 404, "unknown_request")
	for _, call := range [][2]string{{"GET", "/status"}, {"GET", "/events"}, {"POST", "/cancel"}, {"GET", "/result/splat"}, {"POST", "/shares"}} {
		problem(t, w.call(call[0], call[1], "", "X-Api-Key: "+good), 401, "token_missing")
	}
	for _, secret := range secrets {
		if strings.Contains(w.log.String(), secret) {
			t.Error("a key is in the log")
		}
	}
	problem(t, newWorld(t).call("GET", "/status/"+a.RequestID, "", "X-Api-Key: "+good), 401, "token_missing")
}
