package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
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
				if _, err := w.store.Stat(t.Context(), "artifacts", artifacts.PurgeName); !errors.Is(err, artifacts.ErrNotFound) {
					t.Fatalf("the claim is left: %v", err)
				}
				w.time = w.time.Add(25 * time.Hour)
				if _, err := w.queue.Reap(t.Context()); err != nil { // past its deadline
					t.Fatal(err)
				}
				w.time = w.time.Add(48 * time.Hour)
				purge()
				for o := range w.store.List(t.Context(), "artifacts", "") {
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

// TestPurgesDoNotOverlap: a second one is refused, until the first has ended or must be dead; then it continues with what that left.
func TestPurgesDoNotOverlap(t *testing.T) {
	w := newWorld(t)
	old := w.canceled()
	second := w.during(20, func() { w.refused("POST", "/purge", dayOld, 409, "purge_running") })
	get[map[string]any](w, "POST", "/purge", dayOld, 200)
	if !*second {
		t.Fatal("the purge was over")
	}

	old = w.submit("b", 0)
	w.put("artifacts", artifacts.Path(old.ID, pipeline.Train, 1, artifacts.Splat), "left")
	if err := w.store.Delete(t.Context(), pipeline.Object{Bucket: "artifacts", Name: artifacts.RequestName(old.ID)}); err != nil {
		t.Fatal(err)
	}
	since, _ := json.Marshal(w.time)
	w.put("artifacts", artifacts.PurgeName, `{"since":`+string(since)+`,"requests":["`+old.ID+`"]}`)
	w.refused("POST", "/purge", dayOld, 409, "purge_running")
	w.time = w.time.Add(time.Hour)
	if a := get[map[string]any](w, "POST", "/purge", dayOld, 200); a["requests"] != 1.0 || a["objects"] != 2.0 {
		t.Fatalf("%v", a)
	}
}
