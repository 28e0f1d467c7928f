package stage_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestCostIsWhatTheMachineCosts: the manifest holds the whole, the progress what it came to at the last news, and a worker
// without a price makes no estimate.
func TestCostIsWhatTheMachineCosts(t *testing.T) {
	for _, price := range []float64{0.0002, 0} {
		var w *world
		var reported *artifacts.ReportDocument
		w = newWorld(t, func(ctx context.Context, job *stage.Job) (err error) {
			w.advance(20 * time.Second)
			job.Progress(pipeline.Progress{Step: "half", Percent: 50})
			for ctx.Err() == nil && w.state(job.Request.ID).Progress.Percent < 50 {
				runtime.Gosched() // the heartbeat runs on its own
			}
			w.advance(10 * time.Second)
			reported, err = job.ReportSoFar()
			return err
		})
		w.worker.USDPerS = price
		id := w.submit()
		seen := make(chan float64, 1)
		run := w.worker.Definition.Run
		w.worker.Definition.Run = func(ctx context.Context, job *stage.Job) error {
			err := run(ctx, job)
			seen <- w.state(id).Progress.CostUSD
			return err
		}
		w.work()
		m := w.manifest(id, pipeline.Filter)
		if m == nil {
			t.Fatal("no manifest")
		}
		if got := <-seen; !(math.Abs(got-20*price) < 1e-12) {
			t.Errorf("at 20 s of work the queue got %v USD at %v a second", got, price)
		}
		if got := m.History[0].CostUSD; !(math.Abs(got-30*price) < 1e-12) {
			t.Errorf("the manifest of 30 s of work says %v USD at %v a second", got, price)
		}
		if !(math.Abs(reported.CostUSD-30*price) < 1e-12) {
			t.Errorf("report.json says %v USD", reported.CostUSD)
		}
	}
}

// TestACostLimitEndsARequestWhereItsNextStageBegins: what has finished stays, the failure is not retried, and a request that has cost
// exactly what it may continues. An attempt that failed counts.
func TestACostLimitEndsARequestWhereItsNextStageBegins(t *testing.T) {
	for limit, ends := range map[float64]bool{0: false, 20: false, 19.9: true} {
		var w *world
		var begun []pipeline.Stage
		w = newWorld(t, nil)
		w.worker.Definition.Run = func(_ context.Context, job *stage.Job) error {
			w.advance(10 * time.Second)
			begun = append(begun, w.worker.Definition.Stage)
			if len(begun) == 1 {
				return &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky", Message: "It failed.", Advice: "Nothing."}
			}
			return nil
		}
		w.worker.USDPerS, w.worker.MaxUSD = 1, limit
		id := w.submit()
		w.work()
		w.advance(time.Hour)
		w.work()
		m, err := w.store.Stat(t.Context(), w.buckets.Inbox[pipeline.Preprocess], artifacts.ManifestName(id, pipeline.Filter))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Preprocess, Input: m}); err != nil {
			t.Fatal(err)
		}
		w.worker.Definition.Stage = pipeline.Preprocess
		w.work()
		s := w.state(id)
		if ends {
			if f := s.Failure; s.Status != pipeline.Failed || f.Code != "cost_limit_exceeded" || f.Stage != pipeline.Preprocess || len(begun) != 2 || w.manifest(id, pipeline.Filter) == nil ||
				f.Message != "The request has cost 20 USD so far, by estimate, and 19.9 are allowed for one." {
				t.Errorf("limit %v: %s, %+v after %v", limit, s.Status, f, begun)
			}
		} else if len(begun) != 3 || s.Status == pipeline.Failed {
			t.Errorf("limit %v: %s after %v", limit, s.Status, begun)
		}
	}
}
