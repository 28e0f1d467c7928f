package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/functions/operators"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/serve/servetest"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// world is the operators' API on memory. The service of every stage is played by finish.
type world struct {
	t        testing.TB
	handler  http.Handler
	queue    *memq.Queue
	store    *memory.Store
	buckets  artifacts.Buckets
	time     time.Time
	random   io.Reader
	launched []pipeline.Stage
	ended    []pipeline.Status
	service  *operators.Service
	stored   func() // called before every operation of the service on the store
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: memory.New(), time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), random: rand.NewChaCha8([32]byte{1}),
		buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	for _, s := range pipeline.Stages() {
		w.buckets.Inbox[s] = "inbox-" + string(s)
	}
	w.start()
	return w
}

// start begins with an empty queue, on whatever the buckets hold.
func (w *world) start() {
	w.queue = memq.New(queue.Config{Now: w.now})
	log := slog.New(slog.DiscardHandler)
	limits := map[pipeline.Stage]int{}
	for _, s := range pipeline.Stages() {
		limits[s] = 2
	}
	staffing := stage.Staffing{Slots: w.queue, Launcher: w, Limit: limits, StartBudget: time.Minute}
	service, err := operators.New(operators.Config{Queue: w.queue, Reaper: &stage.Reaper{Queue: w.queue, Staffing: staffing, Log: log}, Staffing: staffing, Slots: limits,
		Store: hooked{w.store, w}, Buckets: w.buckets, Log: log, Now: w.now, Random: w.random, Also: w.deliveries(),
		Ended: func(_ context.Context, _ pipeline.Request, s pipeline.Status) error {
			w.ended = append(w.ended, s)
			return nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.service, w.handler = service, service.Handler()
}

func (w *world) now() time.Time { return w.time }

func (w *world) Launch(_ context.Context, s pipeline.Stage) error {
	w.launched = append(w.launched, s)
	return nil
}

// call holds every answer of a documented operation to the document.
func (w *world) call(method, target, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	w.handler.ServeHTTP(rec, r)
	if operation, ok := contract.Operation(method, r.URL.EscapedPath()); ok {
		contract.Check(w.t, operation, rec)
	}
	return rec
}

var contract *servetest.Contract

// TestMain also finds what is documented but never answered, when all tests ran.
func TestMain(m *testing.M) {
	document, err := os.ReadFile("openapi.json")
	if err == nil {
		contract, err = servetest.New(document)
	}
	if err != nil {
		panic(err)
	}
	code := m.Run()
	all := true
	flag.Visit(func(f *flag.Flag) {
		all = all && f.Name != "test.run" && f.Name != "test.fuzz" && f.Name != "test.skip" && f.Name != "test.list"
	})
	if missing := contract.Missing(); code == 0 && all && len(missing) > 0 {
		fmt.Fprintln(os.Stderr, "documented but never answered:", strings.Join(missing, "\n\t"))
		code = 1
	}
	os.Exit(code)
}

func get[T any](w *world, method, target, body string, status int) (v T) {
	w.t.Helper()
	rec := w.call(method, target, body)
	if rec.Code != status {
		w.t.Fatalf("%s %s: %d %s", method, target, rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		w.t.Fatalf("%s %s: %s: %v", method, target, rec.Body, err)
	}
	return v
}

func (w *world) refused(method, target, body string, status int, code string) {
	w.t.Helper()
	if p := get[serve.Problem](w, method, target, body, status); p.Code != code || p.Detail == "" || p.Advice == "" {
		w.t.Fatalf("%s %s: %+v, want %s", method, target, p, code)
	}
}

// submit does what functions/trigger and a client do: a request, its record and its upload.
func (w *world) submit(session string, priority int) pipeline.Request {
	w.t.Helper()
	w.time = w.time.Add(time.Second)
	id, err := pipeline.NewRequestID(w.time, w.random)
	if err != nil {
		w.t.Fatal(err)
	}
	r := pipeline.Request{ID: id, SessionID: session, TokenHash: pipeline.HashToken(session), Priority: priority, CreatedAt: w.time}
	if err := w.queue.Submit(context.Background(), r); err != nil {
		w.t.Fatal(err)
	}
	body, _ := json.Marshal(r)
	w.put("artifacts", artifacts.RequestName(id), string(body))
	w.put("inbox-filter", artifacts.UploadName(id, "input"), "capture")
	return r
}

func (w *world) put(bucket, name, body string) pipeline.Object {
	w.t.Helper()
	o, err := w.store.Put(context.Background(), bucket, name, strings.NewReader(body), artifacts.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// enqueue goes through the API.
func (w *world) enqueue(id string, s pipeline.Stage) {
	w.t.Helper()
	name := artifacts.UploadName(id, "input")
	if previous, ok := s.Previous(); ok {
		name = artifacts.ManifestName(id, previous)
	}
	body, _ := json.Marshal(map[string]any{"request_id": id, "stage": s, "input": map[string]string{"bucket": w.buckets.Inbox[s], "name": name, "generation": "0", "size": "0"}})
	if a := get[map[string]bool](w, "POST", "/enqueue", string(body), 202); !a["added"] {
		w.t.Fatalf("not added: %v", a)
	}
}

// work claims one task of a stage and completes it with an artifact and a manifest.
func (w *world) work(s pipeline.Stage, before *artifacts.Manifest) *artifacts.Manifest {
	w.t.Helper()
	ctx := context.Background()
	leases, err := w.queue.Claim(ctx, s, "w", 1)
	if err != nil || len(leases) != 1 {
		w.t.Fatalf("claim %s: %v %v", s, leases, err)
	}
	id := leases[0].Task().RequestID
	m := &artifacts.Manifest{Version: 1, Request: leases[0].Request(), Stage: s, Fence: leases[0].Fence(),
		Outputs: []artifacts.Artifact{{Kind: artifacts.Report, Object: w.put("artifacts", artifacts.Path(id, s, leases[0].Fence(), artifacts.Report), "x")}}}
	if before != nil {
		m.Inputs, m.History = before.Known(), before.History
	}
	m.History = append(m.History, artifacts.StageRecord{Stage: s, FinishedAt: w.time})
	o, err := artifacts.WriteManifest(ctx, w.store, w.buckets, m)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := leases[0].Complete(ctx, o); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) finish(id string) {
	w.t.Helper()
	var m *artifacts.Manifest
	for _, s := range pipeline.Stages() {
		w.enqueue(id, s)
		m = w.work(s, m)
	}
}

func (w *world) fail(id string, s pipeline.Stage, f *pipeline.Failure) {
	w.t.Helper()
	leases, err := w.queue.Claim(context.Background(), s, "w", 1)
	if err != nil || len(leases) != 1 || leases[0].Task().RequestID != id {
		w.t.Fatal(leases, err)
	}
	if _, err := leases[0].Fail(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

type list struct {
	Requests []operators.Request `json:"requests"`
	Next     string              `json:"next_cursor"`
}

// brokenOff is a body whose sender hangs up.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestABodyThatBreaksOffIsNotTooLarge(t *testing.T) {
	w := newWorld(t)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, httptest.NewRequest("POST", "/purge", brokenOff{}))
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), `"invalid_body"`) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

func TestOverviewAndEnqueue(t *testing.T) {
	w := newWorld(t)
	a, b := w.submit("a", 0), w.submit("b", 5)
	w.enqueue(a.ID, pipeline.Filter)
	w.enqueue(b.ID, pipeline.Filter)
	w.time = w.time.Add(30 * time.Second)
	type overview struct {
		Stages map[pipeline.Stage]struct {
			Ready, Leased, Workers, Slots int
			OldestReadyS                  float64 `json:"oldest_ready_s"`
		}
		Statuses map[pipeline.Status]int
	}
	o := get[overview](w, "GET", "/queue", "", 200)
	if f := o.Stages[pipeline.Filter]; f.Ready != 2 || f.OldestReadyS != 30 || f.Workers != 2 || f.Slots != 2 || len(o.Stages) != len(pipeline.Stages()) || o.Statuses[pipeline.Queued] != 2 || len(o.Statuses) != 5 {
		t.Fatalf("%+v", o)
	}
	if len(w.launched) != 2 {
		t.Errorf("launched %v", w.launched)
	}
	r := get[operators.Request](w, "GET", "/status/"+a.ID, "", 200)
	if r.RequestID != a.ID || r.Position != 2 || strings.Contains(w.call("GET", "/status/"+a.ID, "").Body.String(), a.TokenHash) {
		t.Errorf("%+v", r)
	}
	for body, code := range map[string]string{
		`{"request_id":"` + a.ID + `","stage":"filter","input":{"bucket":"elsewhere","name":"` + a.ID + `/input"}}`:                     "invalid_input",
		`{"request_id":"` + b.ID + `","stage":"filter","input":{"bucket":"inbox-filter","name":"` + a.ID + `/input"}}`:                  "invalid_input",
		`{"request_id":"` + a.ID + `","stage":"filter","input":{"bucket":"inbox-filter","name":"` + a.ID + `/none"}}`:                   "no_such_object",
		`{"request_id":"` + a.ID + `","stage":"filter","input":{"bucket":"inbox-filter","name":"` + a.ID + `/input","generation":"9"}}`: "no_such_object",
		`{"request_id":"` + a.ID + `","stage":"cook"}`:                                                                                  "invalid_stage",
		`{"nonsense":1}`: "invalid_body",
		`{} {}`:          "invalid_body",
		`[`:              "invalid_body",
	} {
		w.refused("POST", "/enqueue", body, 400, code)
	}
	w.refused("POST", "/enqueue", strings.Repeat(" ", 70_000), 413, "body_too_large")
	ask := func(id string) string {
		return `{"request_id":"` + id + `","stage":"filter","input":{"bucket":"inbox-filter","name":"` + id + `/input"}}`
	}
	lost, err := pipeline.NewRequestID(w.time, w.random)
	if err != nil {
		t.Fatal(err)
	}
	w.put("inbox-filter", artifacts.UploadName(lost, "input"), "capture")
	w.refused("POST", "/enqueue", ask(lost), 404, "unknown_request")
	if err := w.queue.Cancel(context.Background(), a.ID); err != nil {
		t.Fatal(err)
	}
	w.refused("POST", "/enqueue", ask(a.ID), 409, "already_ended")
}

// TestPeekTakesNothing: the seed's GET /next only looked, and its worker worked on what it saw. Here looking stays
// looking, and only a lease gives work.
func TestPeekTakesNothing(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.submit("a", 0), w.submit("b", 5), w.submit("c", 0)
	for _, r := range []pipeline.Request{a, b, c} {
		w.enqueue(r.ID, pipeline.Filter)
	}
	for range 2 {
		l := get[list](w, "GET", "/next?stage=filter&limit=2", "", 200)
		if len(l.Requests) != 2 || l.Requests[0].RequestID != b.ID || l.Requests[1].RequestID != a.ID {
			t.Fatalf("%+v", l)
		}
	}
	leases, err := w.queue.Claim(context.Background(), pipeline.Filter, "w", 3)
	if err != nil || len(leases) != 3 {
		t.Fatalf("%d leases (%v)", len(leases), err)
	}
	if l := get[list](w, "GET", "/next?stage=filter", "", 200); len(l.Requests) != 0 {
		t.Fatalf("claimed, but next: %+v", l)
	}
	w.refused("GET", "/next", "", 400, "invalid_stage")
	w.refused("GET", "/next?stage=filter&limit=0", "", 400, "invalid_limit")
}

func TestOnlyLegalTransitions(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.refused("PUT", "/status/"+a.ID, `{"status":`, 400, "invalid_body")
	w.refused("PUT", "/status/"+a.ID, strings.Repeat(" ", 70_000), 413, "body_too_large")
	for _, status := range []string{"QUEUED", "PROCESSING", "COMPLETED", "FAILED", "", "canceled"} {
		w.refused("PUT", "/status/"+a.ID, `{"status":"`+status+`"}`, 409, "illegal_transition")
	}
	for range 2 {
		if r := get[operators.Request](w, "PUT", "/status/"+a.ID, `{"status":"CANCELED"}`, 200); r.Status != pipeline.Canceled {
			t.Fatalf("%+v", r)
		}
	}
	if len(w.ended) != 1 {
		t.Errorf("announced %v", w.ended)
	}
	b := w.submit("b", 0)
	w.finish(b.ID)
	w.refused("PUT", "/status/"+b.ID, `{"status":"CANCELED"}`, 409, "already_ended")
	for _, id := range []string{"x", "..%2Fx", "01arz3ndektsv4rrffq69g5fav"} {
		w.refused("PUT", "/status/"+id, `{"status":"CANCELED"}`, 404, "unknown_request")
		w.refused("GET", "/status/"+id, "", 404, "unknown_request")
	}
	w.refused("DELETE", "/status/"+a.ID, "", 405, "method_not_allowed")
	w.refused("GET", "/nowhere", "", 404, "no_such_path")
}

func TestListFiltersAndPages(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for _, s := range []string{"a", "b", "c", "d", "e"} {
		ids = append(ids, w.submit(s, 0).ID)
	}
	if err := w.queue.Cancel(context.Background(), ids[2]); err != nil {
		t.Fatal(err)
	}
	var seen []string
	cursor := ""
	for pages := 1; ; pages++ {
		l := get[list](w, "GET", "/requests?limit=2&cursor="+cursor, "", 200)
		for _, r := range l.Requests {
			seen = append(seen, r.RequestID)
		}
		if cursor = l.Next; cursor == "" {
			break
		}
		if pages > 5 {
			t.Fatal("no end")
		}
	}
	if strings.Join(seen, " ") != strings.Join(ids, " ") {
		t.Fatalf("%v, want %v", seen, ids)
	}
	for query, want := range map[string]int{"status=CANCELED": 1, "status=QUEUED": 4, "session_id=d": 1, "stage=train": 0} {
		if l := get[list](w, "GET", "/requests?"+query, "", 200); len(l.Requests) != want {
			t.Errorf("%s: %d", query, len(l.Requests))
		}
	}
	// With a filter that little fits, a page ends after a number of requests, and the next one continues.
	found, cursor, pages := 0, "", 0
	w.service.PageLooks = 2
	for pages == 0 || cursor != "" {
		l := get[list](w, "GET", "/requests?session_id=e&cursor="+cursor, "", 200)
		found, cursor, pages = found+len(l.Requests), l.Next, pages+1
		if pages > 5 {
			t.Fatal("no end")
		}
	}
	if found != 1 || pages != 3 {
		t.Errorf("%d found on %d pages", found, pages)
	}
	w.refused("GET", "/requests?cursor=../x", "", 400, "invalid_cursor")
	w.refused("GET", "/requests?status=canceled", "", 400, "invalid_status")
	w.refused("GET", "/requests?stage=cook", "", 400, "invalid_stage")
	w.refused("GET", "/requests?limit=1000", "", 400, "invalid_limit")
}

func TestRedeliver(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.refused("POST", "/redeliver/unknown", "", 404, "unknown_request")
	w.refused("POST", "/redeliver/"+a.ID, "", 409, "still_active")
	w.finish(a.ID)
	w.refused("POST", "/redeliver/"+a.ID, "", 409, "no_webhook")
	w.put("artifacts", artifacts.WebhookTargetName(a.ID), "{}")
	w.put("artifacts", artifacts.WebhookLogName(a.ID), "{}")
	get[map[string]string](w, "POST", "/redeliver/"+a.ID, "", 202)
	if _, err := w.store.Stat(context.Background(), "artifacts", artifacts.WebhookLogName(a.ID)); !errors.Is(err, artifacts.ErrNotFound) || len(w.ended) != 1 || w.ended[0] != pipeline.Completed {
		t.Fatalf("%v, %v", err, w.ended)
	}
}

func TestRebuildAndReap(t *testing.T) {
	w := newWorld(t)
	get[map[string]any](w, "POST", "/reap", "", 200) // nothing to do
	a := w.submit("a", 0)
	w.enqueue(a.ID, pipeline.Filter)
	w.work(pipeline.Filter, nil)
	b := w.submit("b", 0)
	w.start() // with an empty queue
	rebuilt := get[map[string]int](w, "POST", "/rebuild", "", 200)
	if rebuilt["requests"] != 2 || rebuilt["tasks"] != 2 {
		t.Fatalf("%v", rebuilt)
	}
	if r := get[operators.Request](w, "GET", "/status/"+a.ID, "", 200); r.Stage != pipeline.Preprocess {
		t.Fatalf("%+v", r)
	}
	if r := get[operators.Request](w, "GET", "/status/"+b.ID, "", 200); r.Stage != pipeline.Filter {
		t.Fatalf("%+v", r)
	}
	w.launched = nil
	reaped := get[struct {
		Wanting map[pipeline.Stage]int
	}](w, "POST", "/reap", "", 200)
	if reaped.Wanting[pipeline.Filter] != 1 || reaped.Wanting[pipeline.Preprocess] != 1 {
		t.Errorf("%+v", reaped)
	}
	if len(w.launched) != 2 { // one for each stage with work
		t.Fatalf("launched %v", w.launched)
	}
}

// TestFaultsAreClosed: every call answers that the queue is away when it is.
func TestFaultsAreClosed(t *testing.T) {
	w := newWorld(t)
	a := w.submit("a", 0)
	w.time = w.time.Add(time.Second)
	service, err := operators.New(operators.Config{Queue: broken{w.queue}, Reaper: brokenReaper{}, Staffing: stage.Staffing{}, Slots: map[pipeline.Stage]int{}, Store: w.store, Buckets: w.buckets,
		Log: slog.New(slog.DiscardHandler), Now: w.now, Random: w.random})
	if err != nil {
		t.Fatal(err)
	}
	w.handler = service.Handler()
	bodies := map[string]string{"/purge": `{"older_than_s":86400}`, "/enqueue": `{"request_id":"` + a.ID + `","stage":"filter","input":{"bucket":"inbox-filter","name":"` + a.ID + `/input"}}`}
	for path, methods := range contract.Doc()["paths"].(map[string]any) {
		if strings.HasPrefix(path, "/keys") || path == "/config" {
			continue // these need no queue
		}
		for method := range methods.(map[string]any) {
			target := strings.ReplaceAll(path, "{id}", a.ID)
			if path == "/next" {
				target += "?stage=filter"
			}
			w.refused(strings.ToUpper(method), target, bodies[path], 503, "unavailable")
		}
	}
	if _, err := operators.New(operators.Config{}); err == nil {
		t.Error("missing dependencies accepted")
	}
}

// broken is a queue that is away.
type broken struct{ *memq.Queue }

var errAway = errors.New("refused")

func (broken) Lookup(context.Context, string) (queue.State, error) { return queue.State{}, errAway }

func (broken) Enqueue(context.Context, queue.Task) (bool, error) { return false, errAway }

func (broken) Restore(context.Context, []queue.Record) (queue.Rebuilt, error) {
	return queue.Rebuilt{}, errAway
}

func (broken) Next(context.Context, pipeline.Stage, int) ([]string, error) { return nil, errAway }

func (broken) Counts(context.Context) (map[pipeline.Stage]queue.StageCounts, error) {
	return nil, errAway
}

type brokenReaper struct{}

func (brokenReaper) Tick(context.Context) (queue.Reaped, error) { return queue.Reaped{}, errAway }
