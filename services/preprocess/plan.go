package preprocess

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// work is what this stage is going to do, decided before any of it starts.
type work struct {
	longEdgePx int // of the undistorted images
	posesPx    int // of the images in which poses are first looked for: the processor's, whatever trains
	threads    int
	features   int
	// source is the capture: its images, of the size of its pictures.
	source       colmap.Size
	given        bool    // poses came with the capture
	posesBudgetS float64 // what further tries for poses may take, see rung
	plan         pipeline.Plan
}

// size is the capture with a number of frames or photos, as pictures of edgePx at most.
func (w work) size(images, edgePx int) colmap.Size {
	s := w.source
	s.Images = images * max(s.PerFrame, 1)
	if longer := max(s.Width, s.Height); longer > edgePx {
		s.Width, s.Height = s.Width*edgePx/longer, s.Height*edgePx/longer
	}
	return s
}

const (
	// usable is the part of the memory that commands are planned for; the rest is the system's and this program's.
	usable = 0.7
	// What the later stages take, measured: the trainer's iterations on one core at a quarter of a megapixel, and export
	// with its film.
	iterationS      = 0.03
	iterationPixels = 640 * 360
	exportCPUS      = 5.4
	// tidyS is what loading, measuring and cleaning take beside the training itself, on two cores (measured 4 to 10 s on cores of 0.6).
	tidyS = 4
	// cardBytes is the memory of the least card that a deployment can have, an L4.
	cardBytes = 24 << 30
	// smallestEdgePx is where making images smaller saves no memory worth having, and costs poses.
	smallestEdgePx = 320
)

func (c Config) speed() float64 {
	if c.CoreSpeed == nil {
		return 1
	}
	return c.CoreSpeed()
}

// decide makes the plan from what filter found out about the capture. trainPx is the longer side of a card's images, 0 where none trains.
func (c Config) decide(options pipeline.Options, trainPx int, smaller bool, report frames.Report, images int, located bool) (work, error) {
	w := work{longEdgePx: max(options.LongEdgePx, trainPx), posesPx: options.LongEdgePx, threads: cmp.Or(c.Threads, runtime.NumCPU()), features: options.Features()}
	if smaller {
		for _, px := range []*int{&w.longEdgePx, &w.posesPx} {
			*px = min(*px, max(*px*2/3, smallestEdgePx))
		}
		w.threads, w.features = max(1, w.threads/2), w.features/2
	}
	width, height, views := report.Width, report.Height, max(report.Views, 1)
	if views > 1 {
		// A radian of the sphere, twice, is what a view of 90 degrees has.
		width = int(math.Round(float64(report.Width) / math.Pi))
		height = width
	}
	w.source = colmap.Size{Images: images * views, Width: width, Height: height, Frames: report.DurationS > 0, Located: located, PerFrame: views, Speed: c.speed()}
	w.posesBudgetS = options.PosesBudgetS()
	size := w.size(images, w.imagesPx(w.first()))
	width, height = size.Width, size.Height
	w.given = report.Poses != ""
	engine := w.first().plan(size.Images)
	if c.MemoryBytes > 0 {
		w.threads = engine.ThreadsWithin(int64(usable*float64(c.MemoryBytes)), size, w.threads)
	}
	e := engine.Estimate(size, w.threads)

	training, err := trainer.Defaults(trainer.Preset(options.Preset))
	if err != nil {
		return w, err
	}
	if s := options.TrainBudgetS; s > 0 {
		training.Budget = time.Duration(s * float64(time.Second))
		training.MaxGaussians = trainer.GaussiansFor(training.Budget)
	}
	budgetS, cores := training.Budget.Seconds(), float64(w.threads)
	stepS := iterationS * float64(max(width*height, 1)) / iterationPixels / cores
	if most := options.MaxGaussians; c.Card {
		training.OnCard(cardBytes, most)
		stepS = trainer.StepOnCard(training.MaxGaussians, width*height).Seconds()
	} else if most > 0 {
		training.Ask(most)
	}
	if options.RefinePoses {
		stepS *= trainer.PosesCost
	}
	w.plan = pipeline.Plan{
		Preset: options.Preset, Images: size.Images, Width: width, Height: height, Features: e.Features,
		Matcher: string(e.Matcher), Pairs: e.Pairs,
		TrainBudgetS: budgetS, Gaussians: training.MaxGaussians, Threads: w.threads, Smaller: smaller,
		Iterations: int(budgetS / stepS),
		Stages: []pipeline.StagePlan{
			{Stage: pipeline.Preprocess, PlannedWallS: e.WallS, PlannedMemoryBytes: e.MemoryBytes},
			{Stage: pipeline.Train, PlannedWallS: budgetS + tidyS/c.speed(), PlannedMemoryBytes: training.MemoryBytes},
			{Stage: pipeline.Export, PlannedWallS: exportCPUS / cores / c.speed()},
		},
	}
	return w, nil
}

// counted makes the plan anew with the features that were found and the tries that were made.
func (w *work) counted(found outcome) {
	if e := found.attempt.result.Expected; e.Features > 0 {
		w.plan.Features, w.plan.Pairs, w.plan.Matcher = e.Features, e.Pairs, string(e.Matcher)
	}
	planned := 0.0
	for _, t := range found.tries {
		planned += t.PlannedWallS
	}
	if planned > 0 {
		w.plan.Stages[0].PlannedWallS = planned
	}
}

// announce reports to the client what is going to happen.
func (w work) announce(job *stage.Job) {
	if w.plan.Smaller {
		job.Warn(pipeline.Warning{Code: "planned_smaller", Message: fmt.Sprintf("Memory or disk ran out, so the images were made smaller: %d pixels.", w.longEdgePx),
			Advice: "Ask for fewer images (max_images) or a shorter long_edge_px."})
	}
	job.Progress(pipeline.Progress{Step: "planning", Message: fmt.Sprintf("%d images of %dx%d, %s matching of %d pairs: the splat should be ready in about %s",
		w.plan.Images, w.plan.Width, w.plan.Height, w.plan.Matcher, w.plan.Pairs, roughly(w.plan.WallS()))})
}

// roughly rounds a time for people.
func roughly(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(5 * time.Second)
	}
	return d.Round(30 * time.Second)
}
