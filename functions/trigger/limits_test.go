package trigger_test

import (
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
)

// TestRequestsOfADay: a caller's requests of 24 hours are counted once they are taken in, so not the bad calls, repetitions, taken sessions
// and those that something failed for; each key by its own number, and at once no more than there may be.
func TestRequestsOfADay(t *testing.T) {
	checkQuota(t, func(string, *httptest.ResponseRecorder) {})
}

func checkQuota(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	plain, plainKey := newKey(t, "plain")
	paid, paidKey := newKey(t, "paid")
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, plainKey, paidKey)
		c.Quota = ratelimittest.NewQuota(24*time.Hour, c.Now)
		c.Limits = trigger.NoLimits
		c.Limits.Requests = 2
		own := trigger.NoLimits
		own.Requests = 20
		c.KeyLimits = map[string]trigger.Limits{"paid": own}
	})
	submit := func(key, session string, headers ...string) *httptest.ResponseRecorder {
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`, append(headers, "X-Api-Key: "+key)...)
		check("POST /trigger-reconstruction", rec)
		return rec
	}
	taken := func(rec *httptest.ResponseRecorder) {
		t.Helper()
		if rec.Code != 202 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	}
	const once = "Idempotency-Key: once"
	taken(submit(plain, "a", once))
	taken(submit(plain, "a", once))
	problem(t, submit(plain, "a"), 409, "duplicate_session")
	problem(t, submit(plain, "/"), 400, "invalid_session_id")
	for _, what := range []string{"sign", "put"} {
		w.fail(what, true)
		if rec := submit(plain, "broken"); rec.Code != 503 {
			t.Fatalf("%s: %d", what, rec.Code)
		}
		w.fail(what, false)
	}
	w.advance(time.Hour)
	taken(submit(plain, "b"))
	rec := submit(plain, "c")
	if p := problem(t, rec, 429, "quota_exceeded"); !strings.Contains(p.Detail, "2 requests") || rec.Header().Get("Retry-After") != strconv.Itoa(23*3600) || !p.Retryable {
		t.Errorf("%+v %v", p, rec.Header())
	}
	taken(submit(plain, "a", once))
	w.fail("cancel", true) // one that may still be there, for a repetition to find, counts
	w.fail("put", true)
	if rec := submit(paid, "a", once); rec.Code != 503 {
		t.Fatal(rec.Code)
	}
	w.fail("cancel", false)
	w.fail("put", false)
	taken(submit(paid, "a", once))
	w.advance(23*time.Hour - time.Second)
	problem(t, submit(plain, "c"), 429, "quota_exceeded")
	w.advance(time.Second)
	taken(submit(plain, "c"))

	var answers [40]int
	var calls sync.WaitGroup
	for i := range answers {
		calls.Go(func() {
			answers[i] = w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+strconv.Itoa(i)+`"}`, "X-Api-Key: "+paid).Code
		})
	}
	calls.Wait()
	n := 0
	for _, code := range answers {
		if code == 202 {
			n++
		} else if code != 429 {
			t.Errorf("answered %d", code)
		}
	}
	if n != 19 { // one was taken in 23 hours ago
		t.Errorf("%d of 40 were taken in", n)
	}
}

// TestRequestsOfADayOfAll: what is refused for all together is not counted against its caller.
func TestRequestsOfADayOfAll(t *testing.T) {
	a, aKey := newKey(t, "a")
	b, bKey := newKey(t, "b")
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, aKey, bKey)
		c.Quota, c.TotalDay = ratelimittest.NewQuota(24*time.Hour, c.Now), 1
		c.Limits = trigger.NoLimits
		c.Limits.Requests = 1
	})
	n := 0
	submit := func(key string) *httptest.ResponseRecorder {
		n++
		return w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+strconv.Itoa(n)+`"}`, "X-Api-Key: "+key)
	}
	w.fail("put", true)
	problem(t, submit(a), 503, "storage_unavailable")
	w.fail("put", false)
	if rec := submit(a); rec.Code != 202 {
		t.Fatal(rec.Code)
	}
	if p := problem(t, submit(a), 429, "quota_exceeded"); !strings.Contains(p.Detail, "of one caller") {
		t.Errorf("%+v", p)
	}
	w.advance(time.Hour)
	if p := problem(t, submit(b), 429, "quota_exceeded"); !strings.Contains(p.Detail, "of all callers") {
		t.Errorf("%+v", p)
	}
	w.advance(23 * time.Hour)
	if rec := submit(b); rec.Code != 202 { // counted against b, that refusal would hold for another hour
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestADayThatIsUsedUp: a caller that has used its minutes, bytes or USD of a day is refused until there is room, others are not; a link takes
// no more bytes than are left, and what is refused is not counted as a request.
func TestADayThatIsUsedUp(t *testing.T) {
	checkDay(t, func(string, *httptest.ResponseRecorder) {})
}

func checkDay(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	a, aKey := newKey(t, "a")
	b, bKey := newKey(t, "b")
	var meter *ratelimittest.Meter
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, aKey, bKey)
		meter = ratelimittest.NewMeter(24*time.Hour, c.Now)
		c.Quota, c.Limits = ratelimittest.NewQuota(24*time.Hour, c.Now), trigger.NoLimits
		c.Limits.Requests = 3
		c.MaxUploadBytes = 1000
		c.Days = &tenant.Days{Meter: meter, All: tenant.Daily{USD: 9}, Of: func(string) tenant.Daily { return tenant.Daily{Minutes: 2, Bytes: 1200, USD: 5} }}
	})
	n := 0
	submit := func(key, more string) *httptest.ResponseRecorder {
		n++
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+strconv.Itoa(n)+`"`+more+`}`, "X-Api-Key: "+key)
		check("POST /trigger-reconstruction", rec)
		return rec
	}
	use := func(caller string, of tenant.Resource, total int64) {
		if _, err := meter.Charge(t.Context(), tenant.Charge{Caller: "key:" + caller, Entry: strconv.Itoa(n), Of: of, Total: total}); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if got := decode[api.Accepted](t, submit(a, "")); got.Upload.MaxBytes != 1000 {
		t.Errorf("the first link takes %d bytes", got.Upload.MaxBytes)
	}
	use("a", tenant.Upload, 900)
	several := decode[api.Accepted](t, submit(a, `,"uploads":"several"`))
	if got := decode[api.Uploads](t, w.call("POST", "/uploads", `{"files":[{"name":"1.jpg"}]}`, "Authorization: Bearer "+several.CallbackToken)); got.Uploads[0].Upload.MaxBytes != 300 {
		t.Errorf("the next link takes %d bytes", got.Uploads[0].Upload.MaxBytes)
	}
	use("a", tenant.Upload, 300)
	rec := w.call("POST", "/uploads", `{"files":[{"name":"2.jpg"}]}`, "Authorization: Bearer "+several.CallbackToken)
	check("POST /uploads", rec)
	if p := problem(t, rec, 429, "quota_exceeded"); !strings.Contains(p.Detail, "1200 bytes of captures of one caller") {
		t.Errorf("%+v", p)
	}
	w.advance(25 * time.Hour)
	use("a", tenant.Work, 119_999)
	if rec := submit(a, ""); rec.Code != 202 {
		t.Fatalf("with a millisecond left: %d %s", rec.Code, rec.Body)
	}
	use("a", tenant.Work, 1)
	rec = submit(a, "")
	if p := problem(t, rec, 429, "quota_exceeded"); !strings.Contains(p.Detail, "2 minutes of work of one caller") || !p.Retryable {
		t.Errorf("%+v", p)
	}
	wait, err := strconv.Atoi(rec.Header().Get("Retry-After"))
	if err != nil || wait <= 24*3600 || wait > 24*3600+15*60 {
		t.Errorf("Retry-After: %v", rec.Header())
	}
	use("b", tenant.Cost, 9_000_000)
	if p := problem(t, submit(b, ""), 429, "quota_exceeded"); !strings.Contains(p.Detail, "USD of work of one caller") {
		t.Errorf("%+v", p) // both limits are reached, the caller's own comes first
	}
	w.advance(time.Duration(wait) * time.Second)
	for range 3 { // those that were refused do not count among the three of a day
		if rec := submit(a, ""); rec.Code != 202 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

// TestWhatACallerMaySpendIsTheOperators: each limit is refused with its number, and a key may have limits of its own.
func TestWhatACallerMaySpendIsTheOperators(t *testing.T) {
	plain, plainEntry := newKey(t, "plain")
	paid, paidEntry := newKey(t, "paid")
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, plainEntry, paidEntry)
		var err error
		c.Limits = trigger.Limits{TrainBudgetS: 600, Images: 200, LongEdgePx: 512, Priority: 0}
		if c.KeyLimits, err = trigger.ParseKeyLimits(`{"paid": {"max_priority": 7, "max_images": 400}}`, c.Limits); err != nil {
			t.Fatal(err)
		}
		c.Models = func() []string { return []string{"small"} }
	})
	n := 0
	submit := func(key, what string) *httptest.ResponseRecorder {
		n++
		return w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+strconv.Itoa(n)+`",`+what+`}`, "X-Api-Key: "+key)
	}
	for what, limit := range map[string]string{`"priority":1`: "at most 0", `"options":{"train_budget_s":601}`: "at most 600", `"options":{"max_images":201}`: "at most 200",
		`"options":{"long_edge_px":513}`: "at most 512", `"options":{"depth":"large"}`: "auto, off, small"} {
		code := "invalid_options"
		if strings.HasPrefix(what, `"priority"`) {
			code = "invalid_priority"
		}
		if p := problem(t, submit(plain, what), 400, code); !strings.Contains(p.Detail, limit) {
			t.Errorf("%s: %s", what, p.Detail)
		}
	}
	for _, c := range []struct{ key, what string }{
		{plain, `"priority":0,"options":{"train_budget_s":600,"max_images":200,"long_edge_px":512,"depth":"small"}`},
		{paid, `"priority":7,"options":{"max_images":400,"depth":"off"}`},
	} {
		if rec := submit(c.key, c.what); rec.Code != 202 {
			t.Errorf("%s: %d %s", c.what, rec.Code, rec.Body)
		}
	}
	problem(t, submit(paid, `"priority":8`), 400, "invalid_priority")
	problem(t, submit(paid, `"options":{"long_edge_px":513}`), 400, "invalid_options")
	// A default is no way around a limit, that of a card neither; and a limit of the card's is not for the processor to fill.
	c := newWorld(t, func(c *trigger.Config) {
		c.Limits = trigger.Limits{TrainBudgetS: 600, Images: 200, LongEdgePx: 1000}
	})
	onCard := decode[api.Accepted](t, c.call("POST", "/trigger-reconstruction", `{"session_id":"card"}`))
	if s, err := c.queue.Lookup(t.Context(), onCard.RequestID); err != nil || s.CardLongEdgePx() != 1000 || s.Options.LongEdgePx != 0 {
		t.Errorf("where a card trains: %d pixels there, %+v %v", s.CardLongEdgePx(), s.Options, err)
	}
	a := decode[api.Accepted](t, submit(plain, `"options":{"preset":"high"}`))
	if s, err := w.queue.Lookup(t.Context(), a.RequestID); err != nil || s.Options.MaxImages != 200 || s.Options.LongEdgePx != 512 {
		t.Errorf("%+v %v", s.Options, err)
	}
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	good := trigger.Limits{TrainBudgetS: 600, Images: 200, LongEdgePx: 512}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	if err := trigger.NoLimits.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*trigger.Limits){
		"short": func(l *trigger.Limits) { l.TrainBudgetS = 299 }, "long": func(l *trigger.Limits) { l.TrainBudgetS = 86401 }, "NaN": func(l *trigger.Limits) { l.TrainBudgetS = math.NaN() },
		"images": func(l *trigger.Limits) { l.Images = 2 }, "edge": func(l *trigger.Limits) { l.LongEdgePx = 63 }, "priority": func(l *trigger.Limits) { l.Priority = -1 },
		"minutes": func(l *trigger.Limits) { l.Minutes = math.NaN() }, "bytes": func(l *trigger.Limits) { l.Bytes = -1 }, "USD": func(l *trigger.Limits) { l.USD = math.Inf(1) },
	} {
		l := good
		change(&l)
		if l.Check() == nil {
			t.Errorf("%s: %+v accepted", name, l)
		}
	}
	for _, text := range []string{`[]`, `{"a":1}`, `{"a":{"max_stars":1}}`, `{"a":{"max_images":1}}`, `{"a":{},"a":{}}`, `{"a":{"MAX_IMAGES":5}}`} {
		if _, err := trigger.ParseKeyLimits(text, good); err == nil {
			t.Errorf("%s accepted", text)
		}
	}
	if l, err := trigger.ParseKeyLimits("", good); err != nil || l != nil {
		t.Error(l, err)
	}
}

// TestTrainingMustFitIntoTheDeadline: else it is paid for until the deadline, and FAILED then.
func TestTrainingMustFitIntoTheDeadline(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.RequestTTL = time.Hour })
	for budget, status := range map[string]int{"2700": 202, "2701": 400, "86400": 400} {
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s`+budget+`","options":{"train_budget_s":`+budget+`}}`)
		if rec.Code != status {
			t.Errorf("%s: %d %s", budget, rec.Code, rec.Body)
		}
		if status == 400 && !strings.Contains(rec.Body.String(), "at most 2700 seconds") {
			t.Errorf("%s", rec.Body)
		}
	}
}

// TestEstimateKnowsTheTraining: half an hour of training is not over a minute after it has begun.
func TestEstimateKnowsTheTraining(t *testing.T) {
	w := newWorld(t)
	rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"s","options":{"train_budget_s":1800}}`)
	a := decode[api.Accepted](t, rec)
	input := pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1}
	before, input := w.complete(w.claim(a.RequestID, pipeline.Filter, input), nil)
	w.advance(10 * time.Second)
	lease := w.claim(a.RequestID, pipeline.Preprocess, input)
	if s := w.status(a.CallbackToken); s.ETAS == nil || !(*s.ETAS >= 1800) {
		t.Fatalf("before the training: %v", s.ETAS)
	}
	w.advance(50 * time.Second)
	before, input = w.complete(lease, before)
	_, input = w.complete(w.claim(a.RequestID, pipeline.Depth, input), before)
	train := w.claim(a.RequestID, pipeline.Train, input)
	w.advance(900 * time.Second)
	if err := train.Heartbeat(t.Context(), pipeline.Progress{Stage: pipeline.Train, Percent: 50}); err != nil && !strings.Contains(err.Error(), "lease") {
		t.Fatal(err)
	}
	s := w.status(a.CallbackToken)
	if s.ETAS == nil || !(*s.ETAS >= 900 && *s.ETAS <= 1900) {
		t.Errorf("at half of the training: %v", s.ETAS)
	}
}

// TestCallsThatAreNotTakenInLeaveTheLimitOfAllAlone: one caller must not use it up for the others.
func TestCallsThatAreNotTakenInLeaveTheLimitOfAllAlone(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) {
		c.Total = ratelimittest.NewMemory(ratelimit.Limit{Calls: 2, Window: time.Minute}, c.Now)
	})
	first := decode[api.Accepted](t, w.submit(`{"session_id":"s"}`, "k"))
	for range 20 {
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"bad","callback_url":"https://10.0.0.1/"}`), 400, "invalid_callback_url")
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"bad","priority":-1}`), 400, "invalid_priority")
		if a := decode[api.Accepted](t, w.submit(`{"session_id":"s"}`, "k")); a.RequestID != first.RequestID {
			t.Fatal("no repetition")
		}
		problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"s"}`), 409, "duplicate_session")
	}
	w.trigger("another")
	problem(t, w.call("POST", "/trigger-reconstruction", `{"session_id":"third"}`), 429, "rate_limited")
}
