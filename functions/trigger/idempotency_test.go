package trigger_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/pipeline"
)

// submit sends a key of at least 16 characters: short ones are made longer.
func (w *world) submit(body, key string) *httptest.ResponseRecorder {
	return w.call("POST", "/trigger-reconstruction", body, "Idempotency-Key: "+longKey(key))
}

func longKey(key string) string { return key + strings.Repeat("-", max(0, 16-len(key))) }

func TestSameKeyAndBodySameAnswer(t *testing.T) {
	w := newWorld(t)
	first := w.submit(`{"session_id":"s","priority":3}`, "k1")
	if first.Code != 202 || first.Header().Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %v", first.Code, first.Header())
	}
	a := decode[api.Accepted](t, first)
	w.advance(time.Minute)
	again := w.submit(`{ "priority": 3, "session_id": "s" }`, "k1") // the same, written otherwise
	b := decode[api.Accepted](t, again)
	if again.Code != 202 || b.RequestID != a.RequestID || b.CallbackToken != a.CallbackToken || !b.Deadline.Equal(a.Deadline) ||
		again.Header().Get("Idempotency-Replayed") != "true" {
		t.Fatalf("%d %+v, want %+v", again.Code, b, a)
	}
	if !b.Upload.ExpiresAt.After(a.Upload.ExpiresAt) || b.Upload.Object != a.Upload.Object {
		t.Errorf("the upload link is not a fresh one: %+v", b.Upload)
	}
	if len(w.published) != 1 {
		t.Errorf("published %d times", len(w.published))
	}
	w.finish(a.RequestID)
	if c := decode[api.Accepted](t, w.submit(`{"session_id":"s","priority":3}`, "k1")); c.RequestID != a.RequestID {
		t.Error("another request after the end of the first")
	}
}

func TestSameKeyOtherBody(t *testing.T) {
	w := newWorld(t)
	w.submit(`{"session_id":"s"}`, "k")
	for _, body := range []string{`{"session_id":"t"}`, `{"session_id":"s","priority":1}`, `{"session_id":"s","content_type":"video/mp4"}`,
		`{"session_id":"s","options":{"seed":1}}`} {
		problem(t, w.submit(body, "k"), 422, "idempotency_key_reused")
	}
	problem(t, w.submit(`{"session_id":"s"}`, "other"), 409, "duplicate_session")
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 409, "duplicate_session")
}

func TestKeysOfDifferentCallersHaveNothingInCommon(t *testing.T) {
	w := newWorld(t)
	a := decode[api.Accepted](t, w.submit(`{"session_id":"s"}`, "k"))
	r := httptest.NewRequest("POST", "/trigger-reconstruction", strings.NewReader(`{"session_id":"s"}`))
	r.RemoteAddr = "203.0.113.9:1"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", longKey("k"))
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	problem(t, rec, 409, "duplicate_session")
	if strings.Contains(rec.Body.String(), a.CallbackToken) {
		t.Fatal("another caller got the token")
	}
}

func TestOneKeyFiftyTimesAtOnceIsOneRequest(t *testing.T) {
	w := newWorld(t)
	ids := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			rec := w.submit(`{"session_id":"s"}`, "k")
			a := decode[api.Accepted](t, rec)
			mu.Lock()
			defer mu.Unlock()
			ids[a.RequestID+a.CallbackToken]++
		})
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Fatalf("answers %v", ids)
	}
	if counts, err := w.queue.StatusCounts(context.Background()); err != nil || counts[pipeline.Queued] != 1 {
		t.Fatalf("the queue holds %v (%v)", counts, err)
	}
}

// TestOneKeyWithManyBodiesAtOnceIsOneRequest: every request that is taken in is found by the token that its caller got.
func TestOneKeyWithManyBodiesAtOnceIsOneRequest(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			rec := w.submit(fmt.Sprintf(`{"session_id":"s-%d"}`, i), "k")
			mu.Lock()
			defer mu.Unlock()
			codes[rec.Code]++
		})
	}
	wg.Wait()
	if codes[202] != 1 || codes[422] != 49 {
		t.Errorf("answers %v", codes)
	}
	if counts, err := w.queue.StatusCounts(context.Background()); err != nil || counts[pipeline.Queued] != 1 {
		t.Fatalf("the queue holds %v (%v)", counts, err)
	}
}

// TestRepetitionAfterEveryCrash breaks each step, with and without the chance to call the request off, and repeats the
// call with the same key.
func TestRepetitionAfterEveryCrash(t *testing.T) {
	for _, what := range []string{"submit", "sign", "publish", "put"} {
		for _, crash := range []bool{false, true} {
			w := newWorld(t)
			w.fail(what, true)
			w.fail("cancel", crash)
			if rec := w.submit(`{"session_id":"s"}`, "k"); rec.Code != 503 {
				t.Fatalf("%s: %d", what, rec.Code)
			}
			w.fail(what, false)
			w.fail("cancel", false)
			w.advance(time.Second)
			rec := w.submit(`{"session_id":"s"}`, "k")
			if rec.Code != 202 {
				t.Fatalf("%s, crash %v: %d %s", what, crash, rec.Code, rec.Body)
			}
			a := decode[api.Accepted](t, rec)
			if s := w.status(a.CallbackToken); s.Status != pipeline.Queued || s.RequestID != a.RequestID {
				t.Fatalf("%s, crash %v: %+v", what, crash, s)
			}
			if len(w.published) == 0 || w.published[len(w.published)-1].RequestID != a.RequestID {
				t.Fatalf("%s, crash %v: published %v", what, crash, w.published)
			}
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"", strings.Repeat("x", 256), "an idempotency key\x01", "an idempotency key ü", "order-17", strings.Repeat("x", 15)} {
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "Idempotency-Key: "+key), 400, "invalid_idempotency_key")
	}
	r := httptest.NewRequest("POST", "/trigger-reconstruction", strings.NewReader(`{"session_id":"s"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header["Idempotency-Key"] = []string{longKey("a"), longKey("b")}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	problem(t, rec, 400, "invalid_idempotency_key")
}
