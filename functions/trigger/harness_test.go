package trigger_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
	"github.com/splatworks/splatworks/queue/queuetest"
)

// world is a whole request API on memory, with a clock moved by hand and switches that break one thing each.
type world struct {
	t         testing.TB
	handler   http.Handler
	queue     queuetest.Queue
	store     *memory.Store
	artifacts artifacts.Store // where finish writes: store, or what a test put in its place
	buckets   artifacts.Buckets
	log       *lockedBuffer

	mu        sync.Mutex
	time      time.Time
	published []trigger.Announcement
	hooks     []string
	signed    int     // download links
	took      float64 // seconds of each stage that finish completes
	timers    map[time.Duration]chan time.Time
	broken    error // what everything named in broke fails with
	broke     map[string]bool
}

// newQueue makes the queue of a world: in memory, unless a test has put another in its place.
var newQueue = func(_ testing.TB, c queue.Config) queuetest.Queue { return memq.New(c) }

func newWorld(t testing.TB, change ...func(*trigger.Config)) *world {
	w := &world{t: t, store: memory.New(), log: &lockedBuffer{}, time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		broken: errors.New("connection refused"), broke: map[string]bool{}, timers: map[time.Duration]chan time.Time{},
		buckets: artifacts.Buckets{Inbox: map[pipeline.Stage]string{}, Artifacts: "artifacts"}}
	for _, stage := range pipeline.Stages() {
		w.buckets.Inbox[stage] = "inbox-" + string(stage)
	}
	w.artifacts = w.store
	w.queue = newQueue(t, queue.Config{Now: w.now})
	config := trigger.Config{
		Queue: brokenQueue{w.queue, w}, Store: brokenStore{w.store, w}, Buckets: w.buckets, Signer: signer{w}, Publisher: publisher{w}, Webhooks: webhooks{w}, Mails: mails{w}, Sources: []string{"sources"},
		Limiter: brokenLimiter{ratelimittest.NewMemory(ratelimit.Limit{Calls: 1000, Window: time.Minute}, w.now), w},
		Log:     serve.NewLogger(w.log, "", slog.LevelDebug), Now: w.now, After: w.timer, News: w.queue, Random: &lockedRandom{r: rand.NewChaCha8(sha256.Sum256([]byte(t.Name())))},
	}
	for _, c := range change {
		c(&config)
	}
	service, err := trigger.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = serve.Hardening{Log: config.Log, Now: w.now}.Wrap(service.Handler())
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

// timer is the API's time.After: it fires only by fire.
func (w *world) timer(d time.Duration) <-chan time.Time { return w.timerOf(d) }

func (w *world) timerOf(d time.Duration) chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timers[d] == nil {
		w.timers[d] = make(chan time.Time)
	}
	return w.timers[d]
}

// fire ends one wait of length d, as soon as somebody waits that long.
func (w *world) fire(d time.Duration) {
	w.t.Helper()
	select {
	case w.timerOf(d) <- w.now():
	case <-time.After(10 * time.Second):
		w.t.Fatalf("nobody waits for %v", d)
	}
}

// fail makes one part fail from now on, or work again.
func (w *world) fail(what string, broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broke[what] = broken
}

func (w *world) fault(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broke[what] {
		return w.broken
	}
	return nil
}

// call sends one request; header lines are "Name: value".
func (w *world) call(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if method == http.MethodPost && body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// trigger submits a session and expects to be let in.
func (w *world) trigger(session string) api.Accepted {
	w.t.Helper()
	rec := w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`"}`)
	if rec.Code != http.StatusAccepted {
		w.t.Fatalf("trigger %s: %d %s", session, rec.Code, rec.Body)
	}
	return decode[api.Accepted](w.t, rec)
}

// put stores an object as somebody else would.
func (w *world) put(bucket, name, content string) pipeline.Object {
	w.t.Helper()
	o, err := w.artifacts.Put(context.Background(), bucket, name, strings.NewReader(content), artifacts.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// captured is the Capture of a request; nil when there is none.
func (w *world) captured(requestID string) []pipeline.Object {
	w.t.Helper()
	o, err := w.artifacts.Stat(context.Background(), "inbox-filter", artifacts.CaptureName(requestID))
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := artifacts.ReadCapture(context.Background(), w.artifacts, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Objects
}

// status reads a status document.
func (w *world) status(token string) api.Status {
	w.t.Helper()
	rec := w.call("GET", "/status", "", "Authorization: Bearer "+token)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("status: %d %s", rec.Code, rec.Body)
	}
	return decode[api.Status](w.t, rec)
}

func decode[T any](t testing.TB, rec *httptest.ResponseRecorder) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answer %d %q: %v", rec.Code, rec.Body, err)
	}
	return v
}

// problem checks an error answer's form and returns its content.
func problem(t testing.TB, rec *httptest.ResponseRecorder, status int, code string) serve.Problem {
	t.Helper()
	if rec.Code != status || rec.Header().Get("Content-Type") != serve.ContentType {
		t.Fatalf("answer %d %s %s, want %d %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body, status, code)
	}
	p := decode[serve.Problem](t, rec)
	if p.Code != code || p.Status != status || p.Detail == "" || p.Advice == "" || p.Title == "" {
		t.Fatalf("problem %+v, want code %s", p, code)
	}
	return p
}

// finish takes a request through all stages as workers would and returns the final manifest's outputs.
func (w *world) finish(requestID string) []artifacts.Artifact {
	w.t.Helper()
	input := pipeline.Object{Bucket: w.buckets.Inbox[pipeline.Filter], Name: artifacts.UploadName(requestID, "input"), Generation: 1, Size: 1}
	var m *artifacts.Manifest
	for _, stage := range pipeline.Stages() {
		lease := w.claim(requestID, stage, input)
		m, input = w.complete(lease, m)
	}
	return m.Outputs
}

// delete takes away what finish wrote last, as a purge or a lifecycle rule does.
func (w *world) delete(requestID string) {
	w.t.Helper()
	o := pipeline.Object{Bucket: "artifacts", Name: artifacts.ManifestName(requestID, pipeline.Export)}
	if err := w.store.Delete(context.Background(), o); err != nil {
		w.t.Fatal(err)
	}
}

// claim enqueues and claims the task of a stage.
func (w *world) claim(requestID string, stage pipeline.Stage, input pipeline.Object) queue.Lease {
	w.t.Helper()
	ctx := context.Background()
	if _, err := w.queue.Enqueue(ctx, queue.Task{RequestID: requestID, Stage: stage, Input: input}); err != nil {
		w.t.Fatal(err)
	}
	leases, err := w.queue.Claim(ctx, stage, "worker", 1)
	if err != nil || len(leases) != 1 || leases[0].Task().RequestID != requestID {
		w.t.Fatalf("claim %s of %s: %v %v", stage, requestID, leases, err)
	}
	return leases[0]
}

// complete writes an artifact and the manifest of a claimed task and ends it.
func (w *world) complete(lease queue.Lease, before *artifacts.Manifest) (*artifacts.Manifest, pipeline.Object) {
	w.t.Helper()
	ctx := context.Background()
	task := lease.Task()
	kind := map[pipeline.Stage]artifacts.Kind{pipeline.Filter: artifacts.Selection, pipeline.Preprocess: artifacts.Scene,
		pipeline.Depth: artifacts.DepthReport, pipeline.Train: artifacts.Trained, pipeline.Export: artifacts.Splat}[task.Stage]
	o, err := w.artifacts.Put(ctx, w.buckets.Artifacts, artifacts.Path(task.RequestID, task.Stage, lease.Fence(), kind),
		strings.NewReader("content of "+string(kind)), artifacts.PutOptions{ContentType: kind.ContentType()})
	if err != nil {
		w.t.Fatal(err)
	}
	m := &artifacts.Manifest{Version: artifacts.ManifestVersion, Request: lease.Request(), Stage: task.Stage, Fence: lease.Fence(),
		Outputs: []artifacts.Artifact{{Kind: kind, Object: o}}}
	if before != nil {
		m.Inputs, m.History = before.Known(), before.History
	}
	record := artifacts.StageRecord{Stage: task.Stage, Attempt: lease.Attempt(), StartedAt: w.now(), FinishedAt: w.now(), CostUSD: 0.01, WallS: w.took}
	if task.Stage == pipeline.First() {
		record.Report = []byte(`{"images":{"input":40,"used":40}}`)
	}
	m.History = append(m.History, record)
	manifest, err := artifacts.WriteManifest(ctx, w.artifacts, w.buckets, m)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := lease.Complete(ctx, manifest); err != nil {
		w.t.Fatal(err)
	}
	return m, manifest
}

type brokenQueue struct {
	queuetest.Queue
	w *world
}

func (q brokenQueue) Promise(ctx context.Context, p queue.Promise) ([]int64, error) {
	if err := q.w.fault("promise"); err != nil {
		return nil, err
	}
	return q.Queue.Promise(ctx, p)
}

func (q brokenQueue) Submit(ctx context.Context, r pipeline.Request) error {
	if err := q.w.fault("submit"); err != nil {
		return err
	}
	return q.Queue.Submit(ctx, r)
}

func (q brokenQueue) LookupToken(ctx context.Context, hash string) (queue.State, error) {
	if err := q.w.fault("lookup"); err != nil {
		return queue.State{}, err
	}
	return q.Queue.LookupToken(ctx, hash)
}

func (q brokenQueue) Cancel(ctx context.Context, id string) error {
	if err := q.w.fault("cancel"); err != nil {
		return err
	}
	return q.Queue.Cancel(ctx, id)
}

type brokenStore struct {
	artifacts.Store
	w *world
}

func (s brokenStore) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	if err := s.w.fault("put"); err != nil {
		return pipeline.Object{}, err
	}
	if err := s.w.fault("capture"); err != nil && artifacts.IsCapture(name) {
		return pipeline.Object{}, err
	}
	return s.Store.Put(ctx, bucket, name, r, o)
}

func (s brokenStore) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	if err := s.w.fault("open"); err != nil {
		return nil, err
	}
	return s.Store.Open(ctx, o)
}

func (s brokenStore) Stat(ctx context.Context, bucket, name string) (pipeline.Object, error) {
	if err := s.w.fault("stat"); err != nil {
		return pipeline.Object{}, err
	}
	return s.Store.Stat(ctx, bucket, name)
}

func (s brokenStore) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	if err := s.w.fault("list"); err != nil {
		return func(yield func(pipeline.Object, error) bool) { yield(pipeline.Object{}, err) }
	}
	return s.Store.List(ctx, bucket, prefix)
}

type brokenLimiter struct {
	trigger.Limiter
	w *world
}

func (l brokenLimiter) Admit(ctx context.Context, caller string) (time.Duration, error) {
	if err := l.w.fault("limiter"); err != nil {
		return 0, err
	}
	return l.Limiter.Admit(ctx, caller)
}

// brokenChanges is a limiter of changes.
type brokenChanges struct {
	trigger.Limiter
	w *world
}

func (l brokenChanges) Admit(ctx context.Context, who string) (time.Duration, error) {
	if err := l.w.fault("changes"); err != nil {
		return 0, err
	}
	return l.Limiter.Admit(ctx, who)
}

type publisher struct{ w *world }

func (p publisher) PublishRequested(_ context.Context, a trigger.Announcement) error {
	if err := p.w.fault("publish"); err != nil {
		return err
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.published = append(p.w.published, a)
	return nil
}

type signer struct{ w *world }

func (s signer) SignUpload(_ context.Context, u trigger.UploadSpec) (trigger.SignedRequest, error) {
	if err := s.w.fault("sign"); err != nil {
		return trigger.SignedRequest{}, err
	}
	return trigger.SignedRequest{Method: "POST", URL: "https://storage.test/" + u.Bucket + "/" + u.Name + "?X-Goog-Signature=feed",
		Headers: map[string]string{"Content-Type": u.ContentType, "x-goog-resumable": "start"}}, nil
}

func (s signer) SignDownload(_ context.Context, o pipeline.Object, name string, expires time.Duration) (string, error) {
	if err := s.w.fault("sign"); err != nil {
		return "", err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.signed++
	return "https://storage.test/" + o.Bucket + "/" + o.Name + "?X-Goog-Signature=" + s.w.time.Add(expires).Format("150405") + "&name=" + name, nil
}

// webhooks takes only one address.
type webhooks struct{ w *world }

func (h webhooks) Check(_ context.Context, url string) error {
	if url != "https://client.example/hook" {
		return errors.New("its host is not on the public internet")
	}
	return nil
}

func (h webhooks) Register(_ context.Context, requestID, url string) (string, error) {
	if err := h.w.fault("register"); err != nil {
		return "", err
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.hooks = append(h.w.hooks, requestID+" "+url)
	return "whsec_of_" + requestID, nil
}

// mails keeps addresses in the store, as the real one does.
type mails struct{ w *world }

func (m mails) CheckAddress(address string) error {
	if !strings.HasSuffix(address, "@example.org") {
		return errors.New("it must be one address")
	}
	return nil
}

func (m mails) RegisterAddress(ctx context.Context, requestID, address string) error {
	if err := m.w.fault("register"); err != nil {
		return err
	}
	_, err := artifacts.PutJSON(ctx, m.w.store, "artifacts", artifacts.MailTargetName(requestID), map[string]string{"address": address}, artifacts.PutOptions{DoesNotExist: true})
	if errors.Is(err, artifacts.ErrExists) {
		return nil
	}
	return err
}

func (m mails) Unsubscribe(_ context.Context, token string) (bool, error) {
	return token == "token", m.w.fault("register")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type lockedRandom struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedRandom) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}
