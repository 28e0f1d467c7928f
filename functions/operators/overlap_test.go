package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
	"github.com/splatworks/splatworks/pipeline"
)

// hooked is the store of a world as its service sees it.
type hooked struct {
	*memory.Store
	w *world
}

func (h hooked) operation() {
	if h.w.stored != nil {
		h.w.stored()
	}
}

func (h hooked) Put(ctx context.Context, bucket, name string, r io.Reader, o artifacts.PutOptions) (pipeline.Object, error) {
	h.operation()
	return h.Store.Put(ctx, bucket, name, r, o)
}

func (h hooked) Open(ctx context.Context, o pipeline.Object) (io.ReadCloser, error) {
	h.operation()
	return h.Store.Open(ctx, o)
}

func (h hooked) Copy(ctx context.Context, from pipeline.Object, bucket, name string) (pipeline.Object, error) {
	h.operation()
	return h.Store.Copy(ctx, from, bucket, name)
}

func (h hooked) Stat(ctx context.Context, bucket, name string) (pipeline.Object, error) {
	h.operation()
	return h.Store.Stat(ctx, bucket, name)
}

func (h hooked) List(ctx context.Context, bucket, prefix string) iter.Seq2[pipeline.Object, error] {
	return func(yield func(pipeline.Object, error) bool) {
		h.operation()
		h.Store.List(ctx, bucket, prefix)(yield)
	}
}

func (h hooked) Delete(ctx context.Context, o pipeline.Object) error {
	h.operation()
	return h.Store.Delete(ctx, o)
}

// during runs do before operation n of what is called next, and says whether it came so far.
func (w *world) during(n int, do func()) (came *bool) {
	came = new(bool)
	w.stored = func() {
		if n--; n < 0 {
			w.stored, *came = nil, true
			do()
		}
	}
	return came
}

const dayOld = `{"older_than_s":86400}`

// canceled is a request that ended before its second stage, two days ago.
func (w *world) canceled() pipeline.Request {
	w.t.Helper()
	r := w.submit("a", 0)
	w.enqueue(r.ID, pipeline.Filter)
	w.work(pipeline.Filter, nil)
	if err := w.queue.Cancel(w.t.Context(), r.ID); err != nil {
		w.t.Fatal(err)
	}
	w.time = w.time.Add(48 * time.Hour)
	return r
}

// named lists what the stage that a request waits for would read.
func (w *world) named(id string, s pipeline.Stage) (objects []pipeline.Object) {
	w.t.Helper()
	if s == pipeline.Filter {
		capture, err := artifacts.ReadCapture(w.t.Context(), w.store, pipeline.Object{Bucket: "inbox-filter", Name: artifacts.CaptureName(id)})
		if err != nil {
			w.t.Fatal(err)
		}
		return capture.Objects
	}
	m, err := artifacts.ReadManifest(w.t.Context(), w.store, pipeline.Object{Bucket: "inbox-preprocess", Name: artifacts.ManifestName(id, pipeline.Filter)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range m.Known() {
		objects = append(objects, a.Object)
	}
	return objects
}

// objects lists everything in all buckets.
func (w *world) objects() (all []pipeline.Object) {
	w.t.Helper()
	buckets := []string{w.buckets.Artifacts}
	for _, s := range pipeline.Stages() {
		buckets = append(buckets, w.buckets.Inbox[s])
	}
	for _, bucket := range buckets {
		for o, err := range w.store.List(w.t.Context(), bucket, "") {
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, o)
		}
	}
	return all
}

// TestPurgeAndRetryOverlap interrupts each by the other at every operation on the store: a promised retry finds what it
// reads, who was refused leaves nothing that waits, and what is left over the next purge takes.
func TestPurgeAndRetryOverlap(t *testing.T) {
	for _, stage := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess} {
		for _, purgeFirst := range []bool{false, true} {
			began, refused := 0, 0
			for n := 0; ; n++ {
				w := newWorld(t)
				old := w.canceled()
				var answer map[string]any
				retry := func() {
					rec := w.call("POST", "/retry/"+old.ID, `{"stage":"`+string(stage)+`"}`)
					if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
						t.Fatal(err)
					}
				}
				purge := func() { get[map[string]any](w, "POST", "/purge", dayOld, 200) }
				outer, inner := retry, purge
				if purgeFirst {
					outer, inner = purge, retry
				}
				came := w.during(n, inner)
				outer()
				w.stored = nil
				if !*came {
					break
				}
				switch id, code := answer["request_id"], answer["code"]; {
				case id != nil:
					began++
					for _, o := range w.named(id.(string), stage) {
						if _, err := w.store.Stat(t.Context(), o.Bucket, o.Name); err != nil {
							t.Fatalf("retry from %s, purge first %t, operation %d: %v", stage, purgeFirst, n, err)
						}
					}
				case code == "no_input":
					refused++
					if state, err := w.queue.LookupToken(t.Context(), old.TokenHash); err != nil || state.Status != pipeline.Canceled {
						t.Fatalf("%+v %v", state, err)
					}
				default:
					t.Fatalf("retry from %s, purge first %t, operation %d: %v", stage, purgeFirst, n, answer)
				}
				w.time = w.time.Add(25 * time.Hour)
				if _, err := w.queue.Reap(t.Context()); err != nil { // past its deadline
					t.Fatal(err)
				}
				w.time = w.time.Add(48 * time.Hour)
				purge()
				for _, o := range w.objects() {
					t.Fatalf("retry from %s, purge first %t, operation %d: %v is left", stage, purgeFirst, n, o)
				}
			}
			if began == 0 || refused == 0 {
				t.Errorf("retry from %s, purge first %t: %d began, %d were refused", stage, purgeFirst, began, refused)
			}
			t.Logf("retry from %s, purge first %t: %d began, %d were refused", stage, purgeFirst, began, refused)
		}
	}
}

// TestAPurgeThatDiedIsContinued: wherever it dies, the next one deletes the rest, and a rebuild in between takes nothing up.
func TestAPurgeThatDiedIsContinued(t *testing.T) {
	for n := 0; ; n++ {
		w := newWorld(t)
		done := w.submit("a", 0)
		w.finish(done.ID)
		w.start() // the end is known from the buckets only
		w.time = w.time.Add(48 * time.Hour)
		ctx, die := context.WithCancel(t.Context())
		came := w.during(n, die)
		w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "POST", "/purge", strings.NewReader(dayOld)))
		w.stored = nil
		die()
		if !*came {
			break
		}
		if rebuilt := get[map[string]int](w, "POST", "/rebuild", "", 200); rebuilt["tasks"] != 0 {
			t.Fatalf("operation %d: %v", n, rebuilt)
		}
		w.time = w.time.Add(48 * time.Hour) // a rebuild may have taken it for ended just now
		get[map[string]any](w, "POST", "/purge", dayOld, 200)
		for _, o := range w.objects() {
			if o.Name != artifacts.FinishedPrefix+done.ID+"/export.manifest.json" { // without its record it is nothing
				t.Fatalf("operation %d: %v is left", n, o)
			}
		}
	}
}

// TestRetryOutlivesWhatItContinues: a retry copies what it reads, as it was, so that it runs to its end, and is retried itself, when
// the older request is purged.
func TestRetryOutlivesWhatItContinues(t *testing.T) {
	for _, from := range []pipeline.Stage{pipeline.Filter, pipeline.Preprocess} {
		w := newWorld(t)
		old := w.canceled()
		before := map[string]pipeline.Object{}
		for _, o := range w.objects() {
			before[path.Base(o.Name)] = o
		}
		id := get[map[string]string](w, "POST", "/retry/"+old.ID, `{"stage":"`+string(from)+`","deadline_s":2592000}`, 202)["request_id"]
		for _, o := range w.named(id, from) {
			source := before[path.Base(o.Name)]
			if !strings.HasPrefix(o.Name, id+"/") || o.Bucket != source.Bucket || !o.SameBytes(source) || o.Generation == source.Generation {
				t.Errorf("from %s: %+v is no copy of %+v", from, o, source)
			}
		}
		if a := get[map[string]any](w, "POST", "/purge", dayOld, 200); a["requests"] != 1.0 {
			t.Errorf("from %s: %v", from, a)
		}
		var m *artifacts.Manifest
		if previous, ok := from.Previous(); ok {
			m, _ = artifacts.ReadManifest(t.Context(), w.store, pipeline.Object{Bucket: w.buckets.Inbox[from], Name: artifacts.ManifestName(id, previous)})
		}
		m = w.work(from, m)
		for s, more := from.Next(); more; s, more = s.Next() {
			w.enqueue(id, s)
			m = w.work(s, m)
		}
		again := get[map[string]string](w, "POST", "/retry/"+id, `{"stage":"export","session_id":"again","deadline_s":2592000}`, 202)["request_id"]
		w.time = w.time.Add(48 * time.Hour)
		if from == pipeline.Preprocess { // purged while the third one waits
			get[map[string]any](w, "POST", "/purge", dayOld, 200)
			m, _ = artifacts.ReadManifest(t.Context(), w.store, pipeline.Object{Bucket: w.buckets.Inbox[pipeline.Export], Name: artifacts.ManifestName(again, pipeline.Train)})
		}
		for _, a := range m.Known() {
			if _, err := w.store.Stat(t.Context(), a.Object.Bucket, a.Object.Name); err != nil {
				t.Errorf("from %s: %v", from, err)
			}
		}
		for _, o := range w.objects() {
			if strings.Contains(o.Name, old.ID) {
				t.Errorf("from %s: %v is left", from, o)
			}
		}
	}
}

// TestARetryLeavesASourceWhereItIs: it is in a bucket of somebody else.
func TestARetryLeavesASourceWhereItIs(t *testing.T) {
	w := newWorld(t)
	old := w.submit("a", 0)
	source := w.put("somebody", "walk.mp4", "capture")
	if err := artifacts.WriteCapture(t.Context(), w.store, w.buckets, old.ID, []pipeline.Object{source}); err != nil {
		t.Fatal(err)
	}
	if err := w.queue.Cancel(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Second)
	id := get[map[string]string](w, "POST", "/retry/"+old.ID, `{"stage":"filter"}`, 202)["request_id"]
	if read := w.named(id, pipeline.Filter); len(read) != 1 || read[0] != source {
		t.Errorf("%v", read)
	}
}

// TestALateRetryNeedsNoUpload: uploads are deleted before artifacts are, and only the first two stages read them.
func TestALateRetryNeedsNoUpload(t *testing.T) {
	w := newWorld(t)
	old := w.submit("a", 0)
	upload, err := w.store.Stat(t.Context(), "inbox-filter", artifacts.UploadName(old.ID, "input"))
	if err != nil {
		t.Fatal(err)
	}
	m := &artifacts.Manifest{Inputs: []artifacts.Artifact{{Kind: artifacts.Upload, Object: upload}}}
	for s := pipeline.First(); s != pipeline.Train; s, _ = s.Next() {
		w.enqueue(old.ID, s)
		m = w.work(s, m)
	}
	if err := w.queue.Cancel(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Second)
	early := get[map[string]string](w, "POST", "/retry/"+old.ID, `{"stage":"preprocess"}`, 202)["request_id"]
	if o := w.named(early, pipeline.Preprocess)[0]; o.Name != artifacts.PartName(early, "input") || !o.SameBytes(upload) {
		t.Errorf("%+v is no copy of %+v", o, upload)
	}
	if err := errors.Join(w.store.Delete(t.Context(), upload), w.queue.Cancel(t.Context(), early)); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Second)
	w.refused("POST", "/retry/"+old.ID, `{"stage":"preprocess"}`, 409, "no_input")
	late := get[map[string]string](w, "POST", "/retry/"+old.ID, `{"stage":"train"}`, 202)["request_id"]
	copied, err := artifacts.ReadManifest(t.Context(), w.store, pipeline.Object{Bucket: "inbox-train", Name: artifacts.ManifestName(late, pipeline.Depth)})
	if err != nil || len(copied.Known()) != len(m.Known())-1 {
		t.Fatalf("%+v %v", copied, err)
	}
	for _, a := range copied.Known() {
		if _, err := w.store.Stat(t.Context(), a.Object.Bucket, a.Object.Name); err != nil || !strings.HasPrefix(a.Object.Name, late+"/") {
			t.Errorf("%v: %v", a, err)
		}
	}
}
