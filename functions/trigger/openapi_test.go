package trigger_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/serve/servetest"
	"github.com/splatworks/splatworks/pipeline"
)

type object = map[string]any

func openapi(t *testing.T) object {
	t.Helper()
	contract, err := servetest.New(newWorld(t).call("GET", "/openapi.json", "").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return contract.Doc()
}

// TestEveryDocumentedAnswerIsGiven makes every operation of the document give every answer that the document names, with
// every code, and checks each against its schema. What is not exercised here must not be in the document.
func TestEveryDocumentedAnswerIsGiven(t *testing.T) {
	const post = "POST /trigger-reconstruction"
	contract, err := servetest.New(newWorld(t).call("GET", "/openapi.json", "").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	check := func(operation string, rec *httptest.ResponseRecorder) {
		t.Helper()
		contract.Check(t, operation, rec, map[string]string{post: "Idempotency-Replayed", "GET /status": "Retry-After"}[operation])
	}

	w := newWorld(t)
	submit := func(w *world, body string, headers ...string) *httptest.ResponseRecorder {
		rec := w.call("POST", "/trigger-reconstruction", body, headers...)
		check(post, rec)
		return rec
	}
	a := decode[api.Accepted](t, submit(w, `{"session_id":"s","priority":1,"options":{"preset":"high","train_budget_s":1,"max_images":3,"long_edge_px":64,"seed":1,"depth":"off","outputs":["sog","glb"],"projection":"flat","sky":"on","background_mode":"random","cleanup":"strong","refine_poses":true,"compensate_exposure":true},"content_type":"video/mp4","callback_url":"https://client.example/hook","email":"ada@example.org"}`, "Idempotency-Key: "+longKey("k")))
	for _, body := range []string{`{`, `{"x":1}`, `{"session_id":"/"}`, `{"session_id":"s","priority":-1}`, `{"session_id":"s","options":{"preset":"x"}}`,
		`{"session_id":"s","content_type":"x"}`, `{"session_id":"s","source":"x"}`, `{"session_id":"s","uploads":"x"}`, `{"session_id":"s","callback_url":"http://x"}`, `{"session_id":"s","email":"x"}`, `{"session_id":"` + strings.Repeat("x", 70_000) + `"}`, `{"session_id":"s"}`} {
		submit(w, body)
	}
	submit(w, `{"session_id":"s"}`, "Idempotency-Key: "+longKey("k"))
	submit(w, `{"session_id":"t"}`, "Idempotency-Key: ")
	submit(w, `{"session_id":"t"}`, "Content-Type: text/plain")
	submit(newWorld(t, func(c *trigger.Config) {
		c.Caller = func(*http.Request) (string, error) { return "", http.ErrNoCookie }
	}), `{"session_id":"t"}`)
	limited := newWorld(t, func(c *trigger.Config) {
		c.Limiter = ratelimittest.NewMemory(ratelimit.Limit{Calls: 1, Window: time.Minute}, c.Now)
	})
	submit(limited, `{"session_id":"t"}`)
	submit(limited, `{"session_id":"u"}`)
	for _, what := range []string{"limiter", "sign", "submit", "put"} {
		w.fail(what, true)
		submit(w, `{"session_id":"broken-`+what+`"}`)
		w.fail(what, false)
	}

	check("GET /deployment", w.call("GET", "/deployment", ""))
	checkUploads(t, check)
	checkLimits(t, check)
	checkShares(t, check)
	checkNotes(t, check)
	checkEstimates(t, check)
	checkKeys(t, check)
	checkQuota(t, check)
	checkDay(t, check)

	done := w.trigger("done")
	w.finish(done.RequestID)
	tokens := map[string]string{"waiting": a.CallbackToken, "done": done.CallbackToken, "unknown": "x", "none": ""}
	read := func(operation, target, token string, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		method, _, _ := strings.Cut(operation, " ")
		if tokens[token] != "" {
			headers = append(headers, "Authorization: Bearer "+tokens[token])
		}
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		r := httptest.NewRequest(method, target, nil).WithContext(ctx)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		check(operation, rec)
		return rec
	}
	for _, operation := range []string{"GET /status", "GET /status/{request_id}", "GET /events", "GET /result/{kind}", "POST /cancel"} {
		_, target, _ := strings.Cut(operation, " ")
		target = strings.NewReplacer("{request_id}", done.RequestID, "{kind}", "splat").Replace(target)
		read(operation, target, "none")
		read(operation, target, "unknown")
		w.fail("lookup", true)
		read(operation, target, "done")
		w.fail("lookup", false)
		rec := read(operation, target, "done")
		if strings.HasPrefix(operation, "GET /status") {
			read(operation, target, "done", "If-None-Match: "+rec.Header().Get("ETag"))
			read(operation, target+"?wait=x", "done")
		}
	}
	read("GET /events", "/events", "done", "Last-Event-ID: ended-x")
	read("GET /result/{kind}", "/result/none", "done")
	read("GET /result/{kind}", "/result/splat", "waiting")
	w.advance(time.Hour) // links must be made anew
	w.fail("sign", true)
	read("GET /result/{kind}", "/result/splat", "done")
	w.fail("sign", false)
	w.delete(done.RequestID)
	read("GET /result/{kind}", "/result/splat", "done")
	// A status with everything in it.
	lease := w.claim(a.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: a.RequestID + "/input", Generation: 1})
	w.advance(30 * time.Second)
	if err := lease.Heartbeat(context.Background(), pipeline.Progress{Stage: pipeline.Filter, Step: "s", Done: 1, Total: 2, Percent: 100, Message: "m", Metrics: map[string]float64{"m": 1},
		Warning: &pipeline.Warning{Code: "c", Stage: pipeline.Filter, Message: "m", Advice: "a"}}); err != nil {
		t.Fatal(err)
	}
	if s := decode[api.Status](t, read("GET /status", "/status", "waiting")); s.ETAS == nil || len(s.Warnings) != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := lease.Fail(context.Background(), &pipeline.Failure{Kind: pipeline.Transient, Code: "c", Stage: pipeline.Filter, Message: "m", Advice: "a"}); err != nil {
		t.Fatal(err)
	}
	if s := decode[api.Status](t, read("GET /status", "/status", "waiting")); s.Failure == nil || s.RetryAt.IsZero() {
		t.Errorf("%+v", s)
	}
	read("POST /cancel", "/cancel", "waiting")

	for _, answer := range contract.Missing() {
		t.Errorf("documented but not given: %s", answer)
	}
}

// checkUploads gets every answer of the two operations for several uploads.
func checkUploads(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, func(c *trigger.Config) {
		c.MaxUploadBytes = 10
		c.Changes = brokenChanges{ratelimittest.NewMemory(ratelimit.Limit{Calls: 1000, Window: time.Minute}, c.Now), c.Limiter.(brokenLimiter).w}
	})
	begin := func(session string) api.Accepted {
		rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`","uploads":"several"}`)
		check("POST /trigger-reconstruction", rec)
		return decode[api.Accepted](t, rec)
	}
	const ask = `{"files":[{"name":"1.jpg","content_type":"image/jpeg"}]}`
	a, full, single := begin("a"), begin("full"), w.trigger("single")
	for _, path := range []string{"/uploads", "/uploads/complete"} { // in this order: the second ends what the first does
		good := map[string]string{"/uploads": ask, "/uploads/complete": `{"names":["1.jpg"]}`}[path]
		post := func(a api.Accepted, body string, headers ...string) {
			t.Helper()
			check("POST "+path, w.call("POST", path, body, append(headers, "Authorization: Bearer "+a.CallbackToken)...))
		}
		check("POST "+path, w.call("POST", path, good))
		post(api.Accepted{CallbackToken: "unknown"}, good)
		post(a, `{`)
		post(a, `{"x":1}`)
		post(a, `{"names":["`+strings.Repeat("x", 600<<10)+`"]}`)
		post(a, good, "Content-Type: text/plain")
		for _, what := range []string{"lookup", "list", "changes", "sign", "promise"} {
			if (what == "sign" || what == "promise") && path != "/uploads" {
				continue
			}
			w.fail(what, true)
			post(a, good)
			w.fail(what, false)
		}
		if path == "/uploads" {
			post(a, `{"files":[]}`)
			post(a, good)
			w.put("inbox-filter", artifacts.PartName(full.RequestID, "0.jpg"), strings.Repeat("x", 11))
			post(full, good)
			continue
		}
		post(a, good)
		post(full, "{}")
		w.put("inbox-filter", artifacts.PartName(a.RequestID, "1.jpg"), "photo")
		post(a, good)
	}
	for path, body := range map[string]string{"/uploads": ask, "/uploads/complete": ""} {
		begun := a
		if body == "" {
			w.claim(single.RequestID, pipeline.Filter, pipeline.Object{Bucket: "inbox-filter", Name: single.RequestID + "/input", Generation: 1})
			begun = single
		}
		check("POST "+path, w.call("POST", path, body, "Authorization: Bearer "+begun.CallbackToken))
	}
}

// checkLimits gets what a flood of calls is answered.
func checkLimits(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, func(c *trigger.Config) {
		c.Changes = brokenChanges{ratelimittest.NewMemory(ratelimit.Limit{Calls: 1, Window: time.Minute}, c.Now), c.Limiter.(brokenLimiter).w}
		c.Waiting = 1
	})
	a := w.trigger("a")
	auth := "Authorization: Bearer " + a.CallbackToken
	w.fail("changes", true)
	check("POST /cancel", w.call("POST", "/cancel", "", auth))
	w.fail("changes", false)
	w.call("POST", "/uploads/complete", "", auth) // one is admitted
	check("POST /uploads", w.call("POST", "/uploads", `{"files":[{"name":"1.jpg"}]}`, auth))
	check("POST /uploads/complete", w.call("POST", "/uploads/complete", "", auth))
	check("POST /cancel", w.call("POST", "/cancel", "", auth))
	w.stream(t, a.CallbackToken, "")
	check("GET /events", w.call("GET", "/events", "", auth))
	lost := newWorld(t, func(c *trigger.Config) { c.Whole = func(context.Context) (bool, error) { return false, nil } })
	for operation, target := range map[string]string{"GET /status": "/status", "GET /status/{request_id}": "/status/" + a.RequestID, "GET /events": "/events", "POST /cancel": "/cancel"} {
		method, _, _ := strings.Cut(operation, " ")
		check(operation, lost.call(method, target, "", auth))
	}
}

// TestDocumentHasEveryField compares the schemas with the Go types, both ways.
func TestDocumentHasEveryField(t *testing.T) {
	doc := openapi(t)
	for name, v := range map[string]any{"Trigger": api.Trigger{}, "Options": pipeline.Options{}, "Accepted": api.Accepted{}, "Upload": api.Upload{}, "Status": api.Status{},
		"Progress": api.Progress{}, "StageProgress": api.StageProgress{}, "Timings": api.Timings{}, "StageTiming": api.StageTiming{}, "Warning": pipeline.Warning{},
		"Failure": api.Failure{}, "Result": api.Result{}, "UploadsAsked": api.UploadsAsked{}, "File": api.File{}, "Uploads": api.Uploads{}, "NamedUpload": api.NamedUpload{}, "Complete": api.Complete{}, "ShareAsked": api.ShareAsked{}, "Share": api.Share{}, "Shares": api.Shares{}, "Shared": api.Shared{}, "Deployment": api.Deployment{}, "Problem": serve.Problem{}} {
		want := fieldsOf(reflect.TypeOf(v))
		got := slices.Sorted(maps.Keys(servetest.At(doc, "components", "schemas", name, "properties").(object)))
		if !slices.Equal(got, want) {
			t.Errorf("%s: documented %v, has %v", name, got, want)
		}
	}
	// The client's own form of a problem lacks only the type.
	if got, want := fieldsOf(reflect.TypeOf(api.Problem{})), fieldsOf(reflect.TypeOf(serve.Problem{})); !slices.Equal(append(got, "type"), want) {
		t.Errorf("a client sees %v of %v", got, want)
	}
}

func fieldsOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fieldsOf(f.Type)...)
		case name != "-" && name != "":
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestDocumentationPageNeedsNothingFromElsewhere(t *testing.T) {
	rec := newWorld(t).call("GET", "/docs", "")
	page := rec.Body.String()
	if rec.Code != 200 || !strings.Contains(page, "POST /trigger-reconstruction") || !strings.Contains(page, `id="Status"`) || !strings.Contains(page, "queue_position") {
		t.Fatalf("%d %.300s", rec.Code, page)
	}
	if regexp.MustCompile(`(?i)(src|href)="?(https?:)?//|<script|@import|url\(`).MatchString(page) || strings.Contains(page, "ZgotmplZ") {
		t.Error("the page fetches something, or was not rendered safely")
	}
	if !strings.Contains(rec.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error(rec.Header())
	}
}
