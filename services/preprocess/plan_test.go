package preprocess

import (
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/pipeline"
)

func decide(t *testing.T, c Config, options pipeline.Options, smaller bool, report frames.Report, images int) work {
	t.Helper()
	trainPx := 0
	if c.Card {
		trainPx = options.CardLongEdgePx()
	}
	w, err := c.decide(options.WithDefaults(), trainPx, smaller, report, images, false)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestPlanOfAVideo(t *testing.T) {
	video := frames.Report{DurationS: 20, Width: 1080, Height: 1920}
	w := decide(t, Config{Threads: 2}, pipeline.Options{}, false, video, 50)
	p := w.plan
	if p.Preset != pipeline.Standard || p.Images != 50 || p.Width != 378 || p.Height != 672 || p.Matcher != "sequential" || p.Threads != 2 || p.Smaller {
		t.Errorf("plan %+v", p)
	}
	if p.TrainBudgetS != 75 || !(p.Iterations > 1000 && p.Iterations < 20_000) || p.Gaussians <= 0 || p.Features <= 0 || p.Pairs <= 0 {
		t.Errorf("plan %+v", p)
	}
	if len(p.Stages) != 3 || p.Stages[0].Stage != pipeline.Preprocess || !(p.Stages[0].PlannedWallS > 10 && p.Stages[0].PlannedWallS < 300) || p.Stages[0].PlannedMemoryBytes < 100<<20 {
		t.Errorf("stages %+v", p.Stages)
	}
	// Training ends with its budget, and cameras that move leave time for fewer steps.
	refined := decide(t, Config{Threads: 2}, pipeline.Options{RefinePoses: true}, false, video, 50).plan
	if ratio := float64(p.Iterations) / float64(refined.Iterations); !(math.Abs(ratio-trainer.PosesCost) < 0.01) || refined.WallS() != p.WallS() {
		t.Errorf("refined poses: %d steps in %v s, without %d in %v s", refined.Iterations, refined.WallS(), p.Iterations, p.WallS())
	}
	budget := decide(t, Config{Threads: 2}, pipeline.Options{TrainBudgetS: 10}, false, video, 50)
	if budget.plan.TrainBudgetS != 10 || budget.plan.Gaussians >= p.Gaussians {
		t.Errorf("ten seconds: %+v", budget.plan)
	}
}

// Where a card trains, images are larger and the plan names a card's count; what was asked for stays.
func TestPlanForACard(t *testing.T) {
	photos := frames.Report{Width: 4000, Height: 3000}
	for preset, edge := range map[pipeline.Preset]int{pipeline.Preview: 960, pipeline.Standard: 1280, pipeline.High: 1600} {
		o := pipeline.Options{Preset: preset}
		w := decide(t, Config{Threads: 4, Card: true}, o, false, photos, 40)
		if w.longEdgePx != edge || w.plan.Gaussians != trainer.GaussiansOnCard(time.Duration(o.TrainS()*float64(time.Second))) || !(w.plan.Iterations > 3000 && w.plan.Iterations < 30_000) {
			t.Errorf("%s: %d pixels, plan %+v", preset, w.longEdgePx, w.plan)
		}
		// Poses are found as they would be for the processor: larger images only take longer to undistort, by 0.1 s of a core each.
		processor := decide(t, Config{Threads: 4}, o, false, photos, 40)
		if more := w.plan.Stages[0].PlannedWallS - processor.plan.Stages[0].PlannedWallS; w.first() != processor.first() || w.plan.Features != processor.plan.Features || !(more >= 0 && more <= 40*0.2/4) {
			t.Errorf("%s: poses take %.0f s longer than for the processor, with %d features instead of %d: %+v", preset, more, w.plan.Features, processor.plan.Features, w.first())
		}
		if r := w.first(); w.imagesPx(r) != withMargin(edge) || r.plan(40).MaxImageSize != r.edgePx || undistortedSize(w.longEdgePx, w.imagesPx(r)) != edge {
			t.Errorf("%s: images of %d pixels, features in %d of them", preset, w.imagesPx(r), r.plan(40).MaxImageSize)
		}
	}
	o := pipeline.Options{LongEdgePx: 500, MaxGaussians: 20_000}
	for _, card := range []bool{false, true} {
		if w := decide(t, Config{Threads: 4, Card: card}, o, false, photos, 40); w.longEdgePx != 500 || w.plan.Gaussians != 20_000 {
			t.Errorf("card %v: %d pixels, %d Gaussians", card, w.longEdgePx, w.plan.Gaussians)
		}
	}
}

// Each preset does more than the one before.
func TestPlansGrowWithThePreset(t *testing.T) {
	photos := frames.Report{Width: 4000, Height: 3000}
	last := work{}
	for _, preset := range []pipeline.Preset{pipeline.Preview, pipeline.Standard, pipeline.High} {
		w := decide(t, Config{Threads: 4}, pipeline.Options{Preset: preset}, false, photos, 40)
		if w.longEdgePx <= last.longEdgePx || w.features <= last.features || w.plan.Features <= last.plan.Features ||
			!(w.plan.WallS() > last.plan.WallS()) || w.plan.Stages[0].PlannedMemoryBytes <= 0 || w.plan.Matcher != "exhaustive" {
			t.Errorf("%s: %+v after %+v", preset, w, last)
		}
		last = w
	}
}

// After memory ran out everything that takes memory is less; with little memory threads are.
func TestPlanAfterMemoryRanOut(t *testing.T) {
	photos := frames.Report{Width: 4000, Height: 3000}
	options := pipeline.Options{Preset: pipeline.High}
	whole := decide(t, Config{Threads: 8}, options, false, photos, 100)
	smaller := decide(t, Config{Threads: 8}, options, true, photos, 100)
	if !smaller.plan.Smaller || smaller.longEdgePx >= whole.longEdgePx || smaller.threads != 4 || smaller.features >= whole.features {
		t.Errorf("%+v after %+v", smaller, whole)
	}
	tiny := options
	tiny.LongEdgePx = 208
	if small := decide(t, Config{Threads: 8}, tiny, true, photos, 100); small.longEdgePx != 208 || !small.plan.Smaller {
		t.Errorf("images of 208 pixels become %d: nothing is saved", small.longEdgePx)
	}
	if 2*smaller.plan.Stages[0].PlannedMemoryBytes > whole.plan.Stages[0].PlannedMemoryBytes {
		t.Errorf("the smaller plan takes %d of %d bytes", smaller.plan.Stages[0].PlannedMemoryBytes, whole.plan.Stages[0].PlannedMemoryBytes)
	}
	const memory = 1 << 30
	if tight := decide(t, Config{Threads: 8, MemoryBytes: memory}, options, false, photos, 100); tight.threads >= 8 || tight.plan.Stages[0].PlannedMemoryBytes > memory {
		t.Errorf("in 1 GiB: %+v", tight)
	}
}

// A frame of a spherical video is six square images.
func TestPlanOfASphericalVideo(t *testing.T) {
	w := decide(t, Config{Threads: 2}, pipeline.Options{}, false, frames.Report{DurationS: 20, Width: 1280, Height: 640, Views: 6}, 20)
	if p := w.plan; p.Images != 120 || p.Width != 407 || p.Height != 407 || p.Pairs != (19+18+16+12+4)*36 {
		t.Errorf("plan %+v", p)
	}
}
