package trigger_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

func TestStatusFollowsARequestToItsEnd(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	token := a.CallbackToken
	upload := pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1}
	ctx := context.Background()

	w.advance(10 * time.Second)
	lease := w.claim(a.RequestID, pipeline.Filter, upload)
	if s := w.status(token); s.Status != pipeline.Processing || s.Stage != pipeline.Filter || s.Progress.Step != "starting" || s.Attempts != 1 || s.ETAS != nil {
		t.Errorf("claimed: %+v", s)
	}
	m, manifest := w.complete(lease, nil)
	lease = w.claim(a.RequestID, pipeline.Preprocess, manifest)
	w.advance(10 * time.Second)
	warning := pipeline.Warning{Code: "few_images", Message: "Few images."}
	if err := lease.Heartbeat(ctx, pipeline.Progress{Stage: pipeline.Preprocess, Step: "matching features", Done: 5, Total: 10, Percent: 50, Warning: &warning, CostUSD: 0.5}); err != nil {
		t.Fatal(err)
	}
	s := w.status(token)
	if s.Progress.Percent != 20 || s.Progress.Step != "matching features" || len(s.Progress.Stages) != len(pipeline.Stages()) ||
		s.Progress.Stages[0].Percent != 100 || s.Progress.Stages[1].Percent != 50 || s.Progress.Stages[2].Percent != 0 {
		t.Errorf("progress %+v", s.Progress)
	}
	if s.ETAS == nil || *s.ETAS != 40 || s.ETAConfidence != "low" { // 20 % took 10 s
		t.Errorf("eta %v %s", s.ETAS, s.ETAConfidence)
	}
	if len(s.Warnings) != 1 || s.Warnings[0].Code != "few_images" || len(s.Timings.Stages) != 1 || s.CostUSD != 0.51 {
		t.Errorf("warnings %v, timings %v, cost %v", s.Warnings, s.Timings.Stages, s.CostUSD)
	}

	if retry, err := lease.Fail(ctx, &pipeline.Failure{Kind: pipeline.Transient, Code: "disk", Stage: pipeline.Preprocess, Message: "m", Advice: "a"}); err != nil || !retry {
		t.Fatal(retry, err)
	}
	if s = w.status(token); s.Failure == nil || s.Failure.Code != "disk" || !s.Failure.Retryable || s.Failure.Advice == "a" || s.RetryAt.IsZero() ||
		s.QueuePosition != nil || s.Progress.Step != "waiting for another try" || s.Progress.Percent != 20 || s.Progress.Total != 0 {
		t.Errorf("retrying: %+v", s)
	}
	w.advance(time.Hour)
	again, err := w.queue.Claim(ctx, pipeline.Preprocess, "w", 1)
	if err != nil || len(again) != 1 {
		t.Fatal(again, err)
	}
	full := &pipeline.Failure{Kind: pipeline.Transient, Code: pipeline.DiskFull, Message: "There is no room in /data.", Advice: "a"}
	if retry, err := again[0].Fail(ctx, full); err != nil || !retry {
		t.Fatal(retry, err)
	}
	if s = w.status(token); s.Failure.Message != full.Message || !strings.HasPrefix(s.Failure.Advice, "Free some room there") || s.Progress.Step != "waiting for room on a disk" {
		t.Errorf("waiting for room: %+v %+v", s.Failure, s.Progress)
	}
	w.advance(time.Hour) // and nobody ticked
	if s = w.status(token); s.QueuePosition == nil || *s.QueuePosition != 1 || !s.RetryAt.IsZero() || s.Progress.Step != "waiting for a worker" {
		t.Errorf("waiting again: %+v", s)
	}
	leases, err := w.queue.Claim(ctx, pipeline.Preprocess, "w", 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	m, manifest = w.complete(leases[0], m)
	for stage, more := pipeline.Preprocess.Next(); more; stage, more = stage.Next() {
		m, manifest = w.complete(w.claim(a.RequestID, stage, manifest), m)
	}
	s = w.status(token)
	if s.Status != pipeline.Completed || s.Progress.Percent != 100 || s.Progress.Step != "done" || len(s.Results) != 2 || len(s.Timings.Stages) != len(pipeline.Stages()) || s.ETAS != nil {
		t.Fatalf("done: %+v", s)
	}
	want := api.Result{Kind: "splat", FileName: "splat.ply", ContentType: "application/octet-stream", Size: 16, CRC32C: s.Results[0].CRC32C,
		URL: s.Results[0].URL, ExpiresAt: w.now().Add(15 * time.Minute)}
	if s.Results[0] != want || len(want.CRC32C) != 8 || !strings.HasPrefix(want.URL, "https://storage.test/artifacts/"+a.RequestID+"/export/") {
		t.Errorf("result %+v", s.Results[0])
	}
}

// TestCompletedNeedsTheFinalManifest: the seed called a request COMPLETED as soon as its output folder existed.
func TestCompletedNeedsTheFinalManifest(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	lease := w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1})
	m, manifest := w.complete(lease, nil)
	for stage, _ := pipeline.First().Next(); stage != pipeline.Last(); stage, _ = stage.Next() {
		m, manifest = w.complete(w.claim(a.RequestID, stage, manifest), m)
	}
	export := w.claim(a.RequestID, pipeline.Last(), manifest)
	if s := w.status(a.CallbackToken); s.Status != pipeline.Processing || s.Results != nil {
		t.Fatalf("although export runs: %s with %v", s.Status, s.Results)
	}
	w.complete(export, m)
	if s := w.status(a.CallbackToken); s.Status != pipeline.Completed {
		t.Fatal(s.Status)
	}
}

func TestPollingIsCheap(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	w.finish(a.RequestID)
	auth := "Authorization: Bearer " + a.CallbackToken
	first := w.call("GET", "/status", "", auth)
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "private, no-cache" {
		t.Fatalf("headers %v", first.Header())
	}
	again := w.call("GET", "/status", "", auth, "If-None-Match: "+tag)
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Fatalf("again: %d %s", again.Code, again.Body)
	}
	if w.signed != 2 {
		t.Errorf("%d links signed for two polls of two results", w.signed)
	}
	if other := w.call("GET", "/status", "", auth, `If-None-Match: W/"x"`); other.Code != 200 {
		t.Errorf("another tag: %d", other.Code)
	}
	// Before the links expire the tag changes, so that a client that polls gets fresh ones.
	w.advance(14 * time.Minute)
	fresh := w.call("GET", "/status", "", auth, "If-None-Match: "+tag)
	if fresh.Code != 200 {
		t.Fatalf("after 14 minutes: %d", fresh.Code)
	}
	if s := decode[api.Status](t, fresh); !s.Results[0].ExpiresAt.After(w.now().Add(7 * time.Minute)) {
		t.Errorf("link expires at %v, now %v", s.Results[0].ExpiresAt, w.now())
	}
}

func TestStatusNeedsItsToken(t *testing.T) {
	w := newWorld(t)
	a, b := w.trigger("a"), w.trigger("b")
	for name, c := range map[string]struct {
		target, auth string
		status       int
	}{
		"header":             {"/status", "Bearer " + a.CallbackToken, 200},
		"scheme in capitals": {"/status", "BEARER " + a.CallbackToken, 200},
		"query":              {"/status?callback_token=" + a.CallbackToken, "", 200},
		"by id":              {"/status/" + a.RequestID, "Bearer " + a.CallbackToken, 200},
		"another's id":       {"/status/" + b.RequestID, "Bearer " + a.CallbackToken, 404},
		"header wins":        {"/status?callback_token=" + a.CallbackToken, "Bearer x", 404},
		"none":               {"/status", "", 401},
		"empty":              {"/status?callback_token=", "", 401},
		"basic":              {"/status", "Basic " + a.CallbackToken, 401},
		"unknown":            {"/status", "Bearer " + strings.Repeat("A", 43), 404},
		"one off":            {"/status", "Bearer " + a.CallbackToken[:42], 404},
		"the request id":     {"/status", "Bearer " + a.RequestID, 404},
		"the hash":           {"/status", "Bearer " + pipeline.HashToken(a.CallbackToken), 404},
		"long":               {"/status?callback_token=" + strings.Repeat("x", 10_000), "", 404},
		"odd":                {"/status?callback_token=%00%ff*", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{}
			if c.auth != "" {
				headers = append(headers, "Authorization: "+c.auth)
			}
			rec := w.call("GET", c.target, "", headers...)
			if rec.Code != c.status {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			switch c.status {
			case 200:
				if s := decode[api.Status](t, rec); s.RequestID != a.RequestID || s.SessionID != "a" {
					t.Errorf("document of %s", s.RequestID)
				}
			case 401:
				if problem(t, rec, 401, "token_missing"); rec.Header().Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			case 404:
				problem(t, rec, 404, "unknown_request")
			}
		})
	}
}

// TestUnknownIsNotAFault: the seed turned its own 404 into a 500.
func TestUnknownIsNotAFault(t *testing.T) {
	w := newWorld(t)
	problem(t, w.call("GET", "/status?callback_token=unknown", ""), 404, "unknown_request")
	problem(t, w.call("GET", "/nowhere", ""), 404, "no_such_path")
	problem(t, w.call("GET", "/status/a/b", ""), 404, "no_such_path")
}

// TestNobodyCanSetAStatus: the seed took PUT /status from anybody.
func TestNobodyCanSetAStatus(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE"} {
		for _, path := range []string{"/status", "/status/" + a.RequestID} {
			rec := w.call(method, path, `{"status":"COMPLETED"}`, "Authorization: Bearer "+a.CallbackToken)
			if problem(t, rec, 405, "method_not_allowed"); rec.Header().Get("Allow") != "GET" {
				t.Errorf("%s: Allow %q", method, rec.Header().Get("Allow"))
			}
		}
	}
	if s := w.status(a.CallbackToken); s.Status != pipeline.Queued {
		t.Fatal(s.Status)
	}
}

func TestFaultsAreClosed(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	w.fail("lookup", true)
	problem(t, w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken), 503, "queue_unavailable")
	problem(t, w.call("POST", "/cancel", "", "Authorization: Bearer "+a.CallbackToken), 503, "queue_unavailable")
}

func TestStatusIsToldEvenWhenItsLinksCannotBeMade(t *testing.T) {
	for _, what := range []string{"open", "sign"} {
		w := newWorld(t)
		a := w.trigger("s")
		w.finish(a.RequestID)
		w.fail(what, true)
		rec := w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken)
		if s := decode[api.Status](t, rec); s.Status != pipeline.Completed || s.Results != nil {
			t.Fatalf("%s: %+v", what, s)
		}
		w.fail(what, false)
		again := w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken, "If-None-Match: "+rec.Header().Get("ETag"))
		if s := decode[api.Status](t, again); len(s.Results) != 2 {
			t.Fatalf("%s: no results afterwards: %+v", what, s)
		}
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	auth := "Authorization: Bearer " + a.CallbackToken
	problem(t, w.call("POST", "/cancel", ""), 401, "token_missing")
	problem(t, w.call("POST", "/cancel", "", "Authorization: Bearer x"), 404, "unknown_request")
	problem(t, w.call("GET", "/cancel", "", auth), 405, "method_not_allowed")
	for range 2 {
		if s := decode[api.Status](t, w.call("POST", "/cancel", "", auth)); s.Status != pipeline.Canceled || s.Progress.Step != "canceled" {
			t.Fatalf("%+v", s)
		}
	}
	b := w.trigger("s") // the session is free again
	w.finish(b.RequestID)
	problem(t, w.call("POST", "/cancel", "", "Authorization: Bearer "+b.CallbackToken), 409, "already_ended")
}

func TestTokensAreNeverLoggedAndStatusGivesNoWriteAccess(t *testing.T) {
	w := newWorld(t)
	a := w.trigger("s")
	w.call("GET", "/status?callback_token="+a.CallbackToken, "")
	w.call("GET", "/nowhere?callback_token="+a.CallbackToken, "")
	w.call("GET", "/status", "", "Authorization: Bearer "+a.CallbackToken)
	w.fail("lookup", true)
	w.call("GET", "/status?callback_token="+a.CallbackToken, "")
	w.fail("lookup", false)
	w.finish(a.RequestID)
	body := w.call("GET", "/status?callback_token="+a.CallbackToken, "").Body.String()
	if strings.Contains(body, a.CallbackToken) || strings.Contains(body, pipeline.HashToken(a.CallbackToken)) || strings.Contains(body, "inbox-") {
		t.Errorf("the document gives more than reading: %s", body)
	}
	w.call("POST", "/cancel?callback_token="+a.CallbackToken, "")
	logged := w.log.String()
	if strings.Contains(logged, a.CallbackToken) || strings.Contains(logged, "X-Goog-Signature=feed") {
		t.Errorf("logged:\n%s", logged)
	}
	if n := strings.Count(logged, "\n"); n < 7 {
		t.Errorf("only %d lines were logged: the check proves little", n)
	}
}

// A token that a queue does not know which has lost something is no final answer.
func TestUnknownTokenWhileTheQueueIsRebuilt(t *testing.T) {
	whole := false
	w := newWorld(t, func(c *trigger.Config) { c.Whole = func(context.Context) (bool, error) { return whole, nil } })
	rec := w.call("GET", "/status", "", "Authorization: Bearer unknown")
	if p := problem(t, rec, 503, "queue_rebuilding"); !p.Retryable || rec.Header().Get("Retry-After") != "10" {
		t.Errorf("%+v, Retry-After %s", p, rec.Header().Get("Retry-After"))
	}
	whole = true
	problem(t, w.call("GET", "/status", "", "Authorization: Bearer unknown"), 404, "unknown_request")
}

// A rebuild that ends between the look for a token and the look at the queue has brought the token back.
func TestTokenThatARebuildBringsBack(t *testing.T) {
	var w *world
	var hash string
	w = newWorld(t, func(c *trigger.Config) {
		c.Whole = func(ctx context.Context) (bool, error) {
			err := w.queue.Submit(ctx, pipeline.Request{ID: "06gztda6gn2bxw0r414dfn5d60", SessionID: "back", TokenHash: hash, CreatedAt: time.Now()})
			return true, err
		}
	})
	hash = pipeline.HashToken("token")
	if rec := w.call("GET", "/status", "", "Authorization: Bearer token"); rec.Code != 200 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
