package trigger_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

func TestTriggerAnswersWithEverythingAClientNeeds(t *testing.T) {
	w := newWorld(t)
	rec := w.call("POST", "https://api.example/trigger-reconstruction",
		`{"session_id":"kitchen-1","priority":7,"options":{"preset":"preview"},"content_type":"video/mp4"}`)
	if rec.Code != http.StatusAccepted {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	a := decode[api.Accepted](t, rec)
	if !pipeline.ValidRequestID(a.RequestID) || a.SessionID != "kitchen-1" || a.Status != pipeline.Queued || len(a.CallbackToken) != 52 {
		t.Errorf("answer %+v", a)
	}
	if want := "https://api.example/status/" + a.RequestID; a.StatusURL != want || rec.Header().Get("Location") != want {
		t.Errorf("status at %q, Location %q", a.StatusURL, rec.Header().Get("Location"))
	}
	if rec.Header().Get("Retry-After") != "5" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", rec.Header())
	}
	u := a.Upload
	if u.Method != "POST" || u.Object != "gs://inbox-filter/"+a.RequestID+"/input" || u.Headers["Content-Type"] != "video/mp4" ||
		!u.ExpiresAt.Equal(w.now().Add(15*time.Minute)) || u.ChunkMultiple != 256<<10 || u.Note == "" {
		t.Errorf("upload %+v", u)
	}
	if len(w.published) != 1 || w.published[0].RequestID != a.RequestID || w.published[0].Priority != 7 {
		t.Errorf("published %+v", w.published)
	}

	r, err := w.store.Open(context.Background(), pipeline.Object{Bucket: "artifacts", Name: artifacts.RequestName(a.RequestID)})
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r)
	var record pipeline.Request
	if err := json.Unmarshal(body, &record); err != nil {
		t.Fatal(err)
	}
	if record.TokenHash != pipeline.HashToken(a.CallbackToken) || record.Options.Preset != pipeline.Preview || strings.Contains(string(body), a.CallbackToken) {
		t.Errorf("record %s", body)
	}

	s := w.status(a.CallbackToken)
	if s.Status != pipeline.Queued || s.Progress.Step != "waiting for the upload" || s.QueuePosition != nil || s.Priority != 7 {
		t.Errorf("status %+v", s)
	}
}

// TestRecordKeepsTheTraceOfTheCall: workers log under it. A call without one leaves none.
func TestRecordKeepsTheTraceOfTheCall(t *testing.T) {
	w := newWorld(t)
	w.handler = serve.Hardening{Log: slog.New(slog.DiscardHandler)}.Wrap(w.handler)
	want := serve.Trace{ID: "0af7651916cd43dd8448eb211c80319c", Span: "b7ad6b7169203331"}
	for session, c := range map[string]struct {
		header string
		want   *serve.Trace
	}{"traced": {"traceparent: 00-" + want.ID + "-" + want.Span + "-01", &want}, "untraced": {"Accept: */*", nil}} {
		a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`, c.header))
		var record struct {
			RequestID string       `json:"request_id"`
			Trace     *serve.Trace `json:"trace"`
		}
		o := pipeline.Object{Bucket: "artifacts", Name: artifacts.RequestName(a.RequestID)}
		if err := artifacts.GetJSON(t.Context(), w.store, o, &record, 1<<20); err != nil {
			t.Fatal(err)
		}
		if record.RequestID != a.RequestID || (record.Trace == nil) != (c.want == nil) || c.want != nil && *record.Trace != *c.want {
			t.Errorf("%s: record %+v, trace %+v", session, record, record.Trace)
		}
	}
}

func TestHostileSubmissionsAreRefusedAndNeverReachTheQueue(t *testing.T) {
	long := strings.Repeat("a", 129)
	for name, c := range map[string]struct {
		body, contentType string
		status            int
		code              string
	}{
		"empty":                 {body: ``, status: 400, code: "invalid_json"},
		"no object":             {body: `[]`, status: 400, code: "invalid_json"},
		"null":                  {body: `null`, status: 400, code: "invalid_json"},
		"cut off":               {body: `{"session_id":"a"`, status: 400, code: "invalid_json"},
		"two values":            {body: `{"session_id":"a"}{"session_id":"b"}`, status: 400, code: "invalid_json"},
		"a name twice":          {body: `{"session_id":"a","session_id":"b"}`, status: 400, code: "invalid_json"},
		"long s":                {body: `{"session_id":"a","\u017fession_id":"b"}`, status: 400, code: "invalid_json"},
		"tiny budget":           {body: `{"session_id":"a","options":{"train_budget_s":1e-300}}`, status: 400, code: "invalid_options"},
		"budget of a day":       {body: `{"session_id":"a","options":{"train_budget_s":86400}}`, status: 400, code: "invalid_options"},
		"a name in capitals":    {body: `{"SESSION_ID":"a"}`, status: 400, code: "invalid_json"},
		"deeply nested":         {body: `{"session_id":` + strings.Repeat(`[`, 30000) + strings.Repeat(`]`, 30000) + `}`, status: 400, code: "invalid_json"},
		"deeply nested objects": {body: strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000), status: 400, code: "invalid_json"},
		"too large":             {body: `{"session_id":"` + strings.Repeat("a", 70_000) + `"}`, status: 413, code: "body_too_large"},
		"far too large":         {body: `{"session_id":"` + strings.Repeat("a", 2<<20) + `"}`, status: 413, code: "body_too_large"},
		"unknown field":         {body: `{"session_id":"a","admin":true}`, status: 400, code: "invalid_field"},
		"unknown option":        {body: `{"session_id":"a","options":{"iterations":1}}`, status: 400, code: "invalid_field"},
		"wrong type":            {body: `{"session_id":1}`, status: 400, code: "invalid_field"},
		"form":                  {body: `session_id=a`, contentType: "application/x-www-form-urlencoded", status: 415, code: "unsupported_media_type"},
		"no type":               {body: `{"session_id":"a"}`, contentType: " ", status: 415, code: "unsupported_media_type"},
		"no session":            {body: `{}`, status: 400, code: "invalid_session_id"},
		"empty session":         {body: `{"session_id":""}`, status: 400, code: "invalid_session_id"},
		"long session":          {body: `{"session_id":"` + long + `"}`, status: 400, code: "invalid_session_id"},
		"path":                  {body: `{"session_id":"../../etc/passwd"}`, status: 400, code: "invalid_session_id"},
		"dots":                  {body: `{"session_id":"a..b"}`, status: 400, code: "invalid_session_id"},
		"dot":                   {body: `{"session_id":"."}`, status: 400, code: "invalid_session_id"},
		"slash":                 {body: `{"session_id":"a/b"}`, status: 400, code: "invalid_session_id"},
		"backslash":             {body: `{"session_id":"a\\b"}`, status: 400, code: "invalid_session_id"},
		"control character":     {body: `{"session_id":"a\u0000b"}`, status: 400, code: "invalid_session_id"},
		"new line":              {body: `{"session_id":"a\n"}`, status: 400, code: "invalid_session_id"},
		"raw control character": {body: "{\"session_id\":\"a\x01\"}", status: 400, code: "invalid_json"},
		"option":                {body: `{"session_id":"-rf"}`, status: 400, code: "invalid_session_id"},
		"not ASCII":             {body: `{"session_id":"kücheé"}`, status: 400, code: "invalid_session_id"},
		"not UTF-8":             {body: "{\"session_id\":\"\xff\xfe\"}", status: 400, code: "invalid_session_id"},
		"negative priority":     {body: `{"session_id":"a","priority":-1}`, status: 400, code: "invalid_priority"},
		"huge priority":         {body: `{"session_id":"a","priority":4096}`, status: 400, code: "invalid_priority"},
		"priority beyond int":   {body: `{"session_id":"a","priority":1e30}`, status: 400, code: "invalid_field"},
		"fractional priority":   {body: `{"session_id":"a","priority":0.5}`, status: 400, code: "invalid_field"},
		"preset":                {body: `{"session_id":"a","options":{"preset":"ultra"}}`, status: 400, code: "invalid_options"},
		"sky":                   {body: `{"session_id":"a","options":{"sky":"blue"}}`, status: 400, code: "invalid_options"},
		"background":            {body: `{"session_id":"a","options":{"background_mode":"green"}}`, status: 400, code: "invalid_options"},
		"cleanup":               {body: `{"session_id":"a","options":{"cleanup":"spotless"}}`, status: 400, code: "invalid_options"},
		"outputs":               {body: `{"session_id":"a","options":{"outputs":["obj"]}}`, status: 400, code: "invalid_options"},
		"an output twice":       {body: `{"session_id":"a","options":{"outputs":["spz","spz"]}}`, status: 400, code: "invalid_options"},
		"refinement":            {body: `{"session_id":"a","options":{"refine_poses":"yes"}}`, status: 400, code: "invalid_field"},
		"budget":                {body: `{"session_id":"a","options":{"train_budget_s":-1}}`, status: 400, code: "invalid_options"},
		"budget beyond float":   {body: `{"session_id":"a","options":{"train_budget_s":1e400}}`, status: 400, code: "invalid_field"},
		"upload type":           {body: `{"session_id":"a","content_type":"text/html"}`, status: 400, code: "invalid_content_type"},
		"callback inside":       {body: `{"session_id":"a","callback_url":"https://127.0.0.1/"}`, status: 400, code: "invalid_callback_url"},
		"upload type injection": {body: `{"session_id":"a","content_type":"video/mp4\r\nx: y"}`, status: 400, code: "invalid_content_type"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			headers := []string{}
			if c.contentType != "" {
				headers = append(headers, "Content-Type: "+strings.TrimSpace(c.contentType))
			}
			if c.body == "" {
				headers = append(headers, "Content-Type: application/json")
			}
			problem(t, w.call("POST", "/trigger-reconstruction", c.body, headers...), c.status, c.code)
			if counts, err := w.queue.StatusCounts(context.Background()); err != nil || total(counts) != 0 {
				t.Errorf("the queue holds %v (%v)", counts, err)
			}
			if len(w.published) != 0 {
				t.Errorf("published %v", w.published)
			}
		})
	}
}

func total[K comparable](counts map[K]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func TestSessionIsDeduplicated(t *testing.T) {
	w := newWorld(t)
	first := w.trigger("s")
	rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`)
	p := problem(t, rec, 409, "duplicate_session")
	if p.RequestID != "" || strings.Contains(rec.Body.String(), first.CallbackToken) {
		t.Errorf("a caller without the token sees the request: %s", rec.Body)
	}
	p = problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "Authorization: Bearer "+first.CallbackToken), 409, "duplicate_session")
	if p.RequestID != first.RequestID {
		t.Errorf("the holder of the token does not see it: %+v", p)
	}
	w.finish(first.RequestID)
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 409, "duplicate_session")
}

func TestOneOfFiftyAtOnceIsLetIn(t *testing.T) {
	w := newWorld(t)
	codes := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			code := w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`).Code
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wg.Wait()
	if codes[202] != 1 || codes[409] != 49 {
		t.Fatalf("answers %v", codes)
	}
}

// TestFailedRequestDoesNotPoisonItsSession: the seed set its deduplication key for ever.
func TestFailedRequestDoesNotPoisonItsSession(t *testing.T) {
	w := newWorld(t)
	first := w.trigger("s")
	lease := w.claim(first.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: first.RequestID + "/input", Generation: 1})
	if retry, err := lease.Fail(context.Background(), pipeline.Invalid("no_video", "No video.", "Send one.")); err != nil || retry {
		t.Fatal(retry, err)
	}
	if second := w.trigger("s"); second.RequestID == first.RequestID || second.CallbackToken == first.CallbackToken {
		t.Fatal("the second request is the first")
	}
	if s := w.status(first.CallbackToken); s.Status != pipeline.Failed || s.Failure.Code != "no_video" || s.Failure.Retryable || s.Failure.Advice == "" {
		t.Fatalf("the first is now %+v", s)
	}
}

// TestBrokenSubmissionCanBeRepeatedAtOnce breaks every step in turn: the answer is 503, and the same session goes in as
// soon as the step works again.
func TestBrokenSubmissionCanBeRepeatedAtOnce(t *testing.T) {
	for what, code := range map[string]string{"limiter": "limiter_unavailable", "sign": "signer_unavailable", "submit": "queue_unavailable",
		"publish": "storage_unavailable", "put": "storage_unavailable"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.fail(what, true)
			rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`)
			if p := problem(t, rec, 503, code); !p.Retryable || rec.Header().Get("Retry-After") != "5" {
				t.Errorf("%+v %v", p, rec.Header())
			}
			w.fail(what, false)
			w.trigger("s")
		})
	}
}

// TestAbandonedSubmissionIsTakenOver is a crash after Submit: nothing was called off, no record was kept, and nobody has
// the token.
func TestAbandonedSubmissionIsTakenOver(t *testing.T) {
	for _, what := range []string{"publish", "put"} {
		w := newWorld(t)
		w.fail(what, true)
		w.fail("cancel", true)
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 503, "storage_unavailable")
		w.fail(what, false)
		w.fail("cancel", false)
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 409, "duplicate_session") // may be on its way
		w.advance(41 * time.Second)
		w.trigger("s")
		w.advance(time.Hour)
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 409, "duplicate_session") // sound
	}
}

// forgetful announces, and by then the queue has lost the request.
type forgetful struct {
	trigger.Publisher
	lose func(ctx context.Context, id string) error
}

func (f *forgetful) PublishRequested(ctx context.Context, a trigger.Announcement) error {
	return errors.Join(f.Publisher.PublishRequested(ctx, a), f.lose(ctx, a.RequestID))
}

// TestRequestThatTheQueueLosesIsPutBack: what is lost between its entry and its record, no rebuild finds that lists the records before.
func TestRequestThatTheQueueLosesIsPutBack(t *testing.T) {
	var w *world
	lost := 0
	w = newWorld(t, func(c *trigger.Config) {
		c.Publisher = &forgetful{c.Publisher, func(ctx context.Context, id string) error {
			lost++
			return errors.Join(w.queue.Cancel(ctx, id), w.queue.Forget(ctx, id))
		}}
	})
	a := w.trigger("s")
	if state, err := w.queue.Lookup(t.Context(), a.RequestID); err != nil || state.Status != pipeline.Queued || lost != 1 {
		t.Errorf("%+v, %v, lost %d times", state, err, lost)
	}
	if rec := w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestWebhookIsRegistered(t *testing.T) {
	w := newWorld(t)
	const body = `{"session_id":"s","callback_url":"https://client.example/hook"}`
	w.fail("register", true)
	problem(t, w.call("POST", "/trigger-reconstruction", body), 503, "storage_unavailable")
	w.fail("register", false)
	a := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", body))
	if a.WebhookSecret != "whsec_of_"+a.RequestID || len(w.hooks) != 1 || w.hooks[0] != a.RequestID+" https://client.example/hook" {
		t.Fatalf("%+v, %v", a, w.hooks)
	}
	without := newWorld(t, func(c *trigger.Config) { c.Webhooks = nil })
	problem(t, without.call("POST", "/trigger-reconstruction", body), 400, "invalid_callback_url")
}

func TestRateLimitAnswersWithRetryAfter(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.Limiter = ratelimittest.NewMemory(ratelimittest.Default, c.Now) })
	accepted := 0
	for i := range 200 {
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+strconv.Itoa(i)+`"}`)
		if rec.Code == 202 {
			accepted++
			continue
		}
		problem(t, rec, 429, "rate_limited")
		if rec.Header().Get("Retry-After") != "60" {
			t.Fatalf("Retry-After %q", rec.Header().Get("Retry-After"))
		}
	}
	if accepted != 10 {
		t.Fatalf("%d accepted", accepted)
	}
	w.advance(time.Minute)
	w.trigger("later")
}

// TestNoWorkAfterTheAnswer: an instance gets no processor after it has answered, so nothing may be left to do then.
// Here everything is durable when the answer is written, and nothing runs on.
func TestNoWorkAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.trigger("s")
		if _, err := w.store.Stat(t.Context(), "artifacts", artifacts.RequestName(a.RequestID)); err != nil || len(w.published) != 1 {
			t.Fatalf("answered before it was done: %v, published %v", err, w.published)
		}
		auth := "Authorization: Bearer " + a.CallbackToken
		w.call("GET", "/status", "", auth)
		w.finish(a.RequestID)
		w.call("GET", "/status?wait=30s", "", auth)
		w.call("GET", "/events", "", auth)
		synctest.Wait()
		// A goroutine that is left would keep this test from ending: synctest reports it.
	})
}

func TestCallerThatIsNotKnown(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) {
		c.Caller = func(r *http.Request) (string, error) {
			if r.Header.Get("X-Api-Key") != "good" {
				return "", io.EOF
			}
			return "good", nil
		}
	})
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 401, "unauthorized")
	if rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`, "X-Api-Key: good"); rec.Code != 202 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

func TestMissingDependencyIsFoundAtTheStart(t *testing.T) {
	if _, err := trigger.New(trigger.Config{}); err == nil {
		t.Fatal("no error")
	}
}
