package trigger_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
)

func newKey(t testing.TB, name, token string) (key, entry string) {
	t.Helper()
	key, entry, err := trigger.NewKey(name, token)
	if err != nil {
		t.Fatal(err)
	}
	return key, entry
}

// TestKeys: only a key of the list opens, each caller has its own limit, and while a key is replaced the old and the new one
// are the same caller.
func TestKeys(t *testing.T) {
	old, oldEntry := newKey(t, "app", "old")
	replaced, newEntry := newKey(t, "app", "new")
	other, otherEntry := newKey(t, "other", "x")
	w := newWorld(t, func(c *trigger.Config) {
		var err error
		if c.Keys, err = trigger.ParseKeys([]string{oldEntry, " " + newEntry, otherEntry}); err != nil {
			t.Fatal(err)
		}
		c.Limiter = ratelimittest.NewMemory(ratelimit.Limit{Calls: 2, Window: time.Minute}, c.Now)
	})
	submit := func(session, key string) int {
		return w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`, "X-Api-Key: "+key).Code
	}
	for _, wrong := range []string{"", "app", "old", oldEntry, strings.TrimPrefix(oldEntry, "app:"), old + "x", old[:len(old)-1], strings.ToUpper(old)} {
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
	good, goodEntry := newKey(t, "good", "g")
	evil, evilEntry := newKey(t, "evil", "e")
	w := newWorld(t, func(c *trigger.Config) {
		var err error
		if c.Keys, err = trigger.ParseKeys([]string{goodEntry, evilEntry}); err != nil {
			t.Fatal(err)
		}
	})
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

// TestEntriesThatAreNoKeys: a key itself in place of its hash is refused, and not repeated in the error.
func TestEntriesThatAreNoKeys(t *testing.T) {
	key, entry := newKey(t, "app", "secret")
	for _, item := range []string{key, "app:" + key, "app", ":", "app:", strings.ToUpper(entry[:3]) + entry[3:], entry + "00", entry[:len(entry)-2], "a b:" + entry[4:]} {
		_, err := trigger.ParseKeys([]string{item})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", item, err)
		}
	}
	if _, _, err := trigger.NewKey("No Name", "x"); err == nil {
		t.Error("a strange name was taken")
	}
}

// FuzzKeys: no list of keys and no header leads to a fault, and none but a key of the list opens.
func FuzzKeys(f *testing.F) {
	key, entry := newKey(f, "app", "secret")
	f.Add(entry, key)
	f.Add("app:", "")
	f.Add(entry+","+entry, "x")
	f.Fuzz(func(t *testing.T, list, sent string) {
		keys, err := trigger.ParseKeys(strings.Split(list, ","))
		if err != nil {
			return
		}
		caller, err := keys.Caller(nil)(&http.Request{Header: http.Header{trigger.KeyHeader: {sent}}})
		if err != nil {
			return
		}
		name := strings.TrimPrefix(caller, "key:")
		if _, want, err := trigger.NewKey(name, strings.TrimPrefix(sent, "splatworks_")); err == nil && strings.HasPrefix(sent, "splatworks_") && !strings.Contains(strings.ToLower(list), want) {
			t.Fatalf("%q opened as %s", sent, name)
		}
	})
}
