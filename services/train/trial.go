package train

import (
	"context"
	"time"

	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// A small capture needs every image in the splat and cannot keep any for measuring. So a trial comes first: a part of the budget
// trains without every trialEvery-th image and measures on these. The splat itself has more images and more time, so that what was
// measured is a little less than what it reaches, but true of views that training never saw.
const (
	fewestForTrial = 9 // with fewer, two images less make another scene of it
	trialEvery     = 5 // images: two of 9, three of 13
	trialShare     = 0.25
)

// trial is what such a training measured.
type trial struct {
	quality *trainer.Quality
	cloud   *splat.Cloud
	views   []*trainer.View
}

// tried makes the trial of a small capture and takes its time from cfg's budget; nil where there is none to make.
func (c Config) tried(ctx context.Context, job *stage.Job, cfg *trainer.Config, data *trainer.Dataset, on device) (*trial, error) {
	n := len(data.Train)
	if len(data.Test) > 0 || n < fewestForTrial || n >= fewImages {
		return nil, nil
	}
	short := *cfg
	short.Budget = time.Duration(trialShare * float64(cfg.Budget))
	short.MaxGaussians = min(cfg.MaxGaussians, on.gaussians(short.Budget))
	short.EvaluateEvery = 0
	cfg.Budget -= short.Budget
	// The first and the last image may be the ends of a path, beyond which nobody can see.
	some := data.LeaveOut(func(i int) bool { return i%trialEvery == trialEvery/2 })
	started := c.Now()
	result, err := trainer.Train(ctx, short, some, nil, trainer.Hooks{
		Clock:  func() time.Duration { return c.Now().Sub(started) },
		Device: on.card,
		Stop:   job.Stopping(),
		Events: func(e trainer.Event) {
			if p, ok := e.(trainer.Progress); ok {
				job.Progress(pipeline.Progress{Step: "measuring on images left out", Done: float64(p.Iteration), Total: float64(p.TotalIterations),
					Percent: percentTraining + (100*trialShare-percentTraining)*p.Fraction})
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if result.Held == nil || len(result.Held.Views) == 0 { // masks may hide them
		return nil, nil
	}
	job.Metric("trial_iterations", float64(result.Iterations))
	return &trial{quality: result.Held, cloud: result.Cloud, views: some.Test}, nil
}
