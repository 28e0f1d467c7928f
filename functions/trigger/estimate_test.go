package trigger_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

func (w *world) estimate(body string) api.Estimate {
	w.t.Helper()
	rec := w.call("POST", "/estimate", body)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("%s: %d %s", body, rec.Code, rec.Body)
	}
	return decode[api.Estimate](w.t, rec)
}

// TestEstimateLearnsFromFinishedRequests: rules of thumb at first; then what a request took here decides, with its cost.
func TestEstimateLearnsFromFinishedRequests(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.Models = func() []string { return nil } })
	first := w.estimate(`{"images":40,"options":{"preset":"preview"}}`)
	if first.BasedOn.Requests != 0 || first.CostUSD != nil || first.Images != (api.Interval{Low: 40, Likely: 40, High: 40}) || len(first.Stages) != len(pipeline.Stages()) {
		t.Errorf("%+v", first)
	}
	if depth := first.Stages[2]; depth.Stage != pipeline.Depth || depth.Seconds.High != 0 {
		t.Errorf("no model is here: %+v", depth)
	}
	for _, session := range []string{"a", "b", "c", "d"} {
		done := decode[api.Accepted](t, w.call("POST", "/trigger-reconstruction", `{"session_id":"`+session+`","options":{"preset":"preview"}}`))
		w.took = 10
		w.finish(done.RequestID)
	}
	w.advance(time.Hour)
	learned := w.estimate(`{"images":40,"options":{"preset":"preview"}}`)
	if learned.BasedOn != (api.EstimateBasis{Requests: 4, Alike: 4}) || !(learned.Seconds.Likely < first.Seconds.Likely) {
		t.Errorf("%+v after %+v", learned, first)
	}
	train := learned.Stages[3]
	if train.Seconds.Likely != 10 || train.CostUSD == nil || train.CostUSD.Likely < 0.0099 || train.CostUSD.Likely > 0.0101 || learned.CostUSD == nil {
		t.Errorf("%+v, of all %+v", train, learned.CostUSD)
	}
	if longer := w.estimate(`{"images":40,"options":{"preset":"preview","train_budget_s":200}}`); longer.Stages[3].Seconds.Likely != 100 {
		t.Errorf("a training ten times as long: %+v", longer.Stages[3])
	}
}

// TestEstimatesTakeWhatRequestsTake: limits, defaults below them, and keys are those of POST /trigger-reconstruction.
func TestEstimatesTakeWhatRequestsTake(t *testing.T) {
	key, entry := newKey(t, "app")
	w := newWorld(t, func(c *trigger.Config) {
		asks(c, entry)
		c.Limits = trigger.Limits{TrainBudgetS: 300, Images: 50, LongEdgePx: 640}
	})
	ask := func(body string) *httptest.ResponseRecorder {
		return w.call("POST", "/estimate", body, "X-Api-Key: "+key)
	}
	if rec := ask(`{"images":400}`); decode[api.Estimate](t, rec).Images.Likely != 50 {
		t.Errorf("%s", rec.Body)
	}
	for _, body := range []string{`{"images":40,"options":{"max_images":51}}`, `{"images":40,"options":{"train_budget_s":301}}`} {
		if rec := ask(body); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "may be at most") {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	if code := w.call("POST", "/estimate", `{"images":40}`).Code; code != http.StatusUnauthorized {
		t.Errorf("without a key: %d", code)
	}
}

func checkEstimates(t *testing.T, check func(operation string, rec *httptest.ResponseRecorder)) {
	t.Helper()
	w := newWorld(t, func(c *trigger.Config) {
		c.Changes = brokenChanges{ratelimittest.NewMemory(ratelimit.Limit{Calls: 3, Window: time.Minute}, c.Now), c.Limiter.(brokenLimiter).w}
	})
	call := func(w *world, want int, body string, headers ...string) {
		t.Helper()
		rec := w.call("POST", "/estimate", body, headers...)
		if check("POST /estimate", rec); rec.Code != want {
			t.Errorf("%.60s: %d %s", body, rec.Code, rec.Body)
		}
	}
	for _, body := range []string{`{`, `{"x":1}`, `{}`, `{"images":2}`, `{"images":1e9}`, `{"video_s":-1}`, `{"images":9,"options":{"preset":"x"}}`} {
		call(w, http.StatusBadRequest, body)
	}
	call(w, http.StatusRequestEntityTooLarge, `{"x":"`+strings.Repeat("x", 70_000)+`"}`)
	call(w, http.StatusUnsupportedMediaType, `{"images":9}`, "Content-Type: text/plain")
	call(newWorld(t, func(c *trigger.Config) {
		c.Caller = func(*http.Request) (string, error) { return "", http.ErrNoCookie }
	}), http.StatusUnauthorized, `{"images":9}`)
	for _, broken := range []string{"changes", "list"} {
		w.fail(broken, true)
		call(w, http.StatusServiceUnavailable, `{"images":9}`)
		w.fail(broken, false)
	}
	w.took = 5
	w.finish(w.trigger("a").RequestID)
	call(w, http.StatusOK, `{"images":9,"video_s":12.5,"options":{"preset":"high"}}`) // with a cost
	call(w, http.StatusOK, `{"images":9}`)
	call(w, http.StatusTooManyRequests, `{"images":9}`)
}

// TestWhatIsLeftIsLearned: once the images are counted, the time that is left is that of other requests here, whatever the pace of the
// stage at hand, and it never grows while stages finish.
func TestWhatIsLeftIsLearned(t *testing.T) {
	w := newWorld(t, func(c *trigger.Config) { c.Models = func() []string { return nil } })
	w.took = 10
	for _, session := range []string{"a", "b", "c", "d", "e"} {
		w.finish(w.trigger(session).RequestID)
	}
	mine := w.trigger("mine")
	input := pipeline.Object{Bucket: w.buckets.Inbox[pipeline.Filter], Name: artifacts.UploadName(mine.RequestID, "input"), Generation: 1, Size: 1}
	var m *artifacts.Manifest
	last := 1e9
	look := func(want float64) {
		t.Helper()
		s := w.status(mine.CallbackToken)
		if s.ETAS == nil || !(math.Abs(*s.ETAS-want) <= 0.5 && *s.ETAS <= last) || s.ETAConfidence != "high" {
			t.Fatalf("%s at %.0f %%: eta %v %s, after %v, want %v", s.Stage, s.Progress.Percent, s.ETAS, s.ETAConfidence, last, want)
		}
		last = *s.ETAS
	}
	takes := map[pipeline.Stage]float64{pipeline.Filter: 10, pipeline.Preprocess: 10, pipeline.Train: 10, pipeline.Export: 10} // no model is here for depth
	after := 40.0
	for _, stage := range pipeline.Stages() {
		lease := w.claim(mine.RequestID, stage, input)
		after -= takes[stage]
		for _, p := range []pipeline.Progress{{Percent: 25}, {Percent: 30, Metrics: map[string]float64{"left_s": 0.3 * takes[stage]}}} {
			w.advance(25 * time.Second) // slow, which does not count
			p.Stage, p.Step = stage, "at work"
			if err := lease.Heartbeat(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if stage == pipeline.Filter {
				continue // how many images there are is not known
			}
			if p.Metrics == nil {
				look(after + 0.75*takes[stage])
			} else {
				look(after + 0.3*takes[stage])
			}
		}
		m, input = w.complete(lease, m)
	}
	if s := w.status(mine.CallbackToken); s.ETAS != nil {
		t.Errorf("completed, and %v s are left", *s.ETAS)
	}
}
