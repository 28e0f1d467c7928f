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
