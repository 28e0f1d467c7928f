// Package train is the stage that turns undistorted images and sparse points into Gaussians. It resumes from the newest
// checkpoint that any worker saved, and saves one when it is stopped.
package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/clean"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Config of the machine that trains.
type Config struct {
	Threads int              // 0: all processors
	Now     func() time.Time // the clock that budgets are measured in

	Device   cards.Driver                           // where to train; empty: cards.Auto
	OpenCard func(cards.Driver) (gpu.Device, error) // nil: cards.Open
	Expected bool                                   // a card, because it is paid for: a request that trained without one is warned
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	// A GPU job on Cloud Run ends after an hour.
	return stage.Definition{Stage: pipeline.Train, Run: c.run, Budget: 50 * time.Minute, Saves: true}
}

// garbagePercent of the live heap may be garbage before the collector runs. What training holds is a few hundred megabytes
// in arrays without pointers, which cost nothing to mark, and it leaves little behind: the default would only double the
// memory.
const garbagePercent = 10

func (c Config) run(ctx context.Context, job *stage.Job) error {
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	job.Progress(pipeline.Progress{Step: "fetching the scene"})
	scene, err := job.FetchBundle(ctx, artifacts.Scene)
	if err != nil {
		return err
	}
	cfg, err := c.plan(job)
	if err != nil {
		return err
	}
	job.Progress(pipeline.Progress{Step: "reading images", Percent: 1})
	data, err := load(ctx, job, scene, &cfg)
	if err != nil {
		return err
	}
	cfg.Exposure = cfg.Exposure || data.ExposureVaries()
	if cfg.BackgroundMode == trainer.BackgroundEmpty && !data.CutOut() {
		job.Warn(pipeline.Warning{Code: "no_masks", Message: "The background is to stay empty, but no image has a mask that says where it is.",
			Advice: "Send masks, or photos with transparent parts; without them leave background_mode out."})
	}
	on, err := c.choose(job, &cfg, data)
	if err != nil {
		return err
	}
	side := cfg.MaxSide
	on.fit(&cfg, job.Request, job.Smaller)
	if cfg.MaxSide > side && data.Larger {
		if data, err = load(ctx, job, scene, &cfg); err != nil {
			return errors.Join(err, on.close())
		}
	}
	c.warn(job, on, &cfg)
	job.WarnAll(data.Warnings...)
	trial, err := c.tried(ctx, job, &cfg, data, on)
	var result *trainer.Result
	var report *clean.Report
	if err == nil {
		result, err = c.train(ctx, job, cfg, data, on)
	}
	if err == nil {
		report, err = tidy(ctx, job, cfg, data, result, on)
	}
	err = errors.Join(cardFailure(err), on.close())
	if errors.Is(err, trainer.ErrStopped) {
		return stage.ErrStopped
	}
	if err != nil {
		return err
	}
	return publish(ctx, job, cfg, data, result, report, trial, on)
}

// load reads the scene at the size of the configuration, with its depth maps.
func load(ctx context.Context, job *stage.Job, scene string, cfg *trainer.Config) (*trainer.Dataset, error) {
	data, err := trainer.Load(scene, cfg)
	if err != nil {
		return nil, fmt.Errorf("load scene: %w", err)
	}
	return data, attachDepth(ctx, job, data)
}

// fewImages is the number below which every image is needed for training: quality is measured in a trial then, or on those
// images, and the report says so.
const fewImages = 16

// Percent of the stage where training begins, and what follows it.
const (
	percentTraining = 2
	percentSaving   = 98
)

// tidying is about what measuring and a safe cleaning take after the training (4 to 10 s on two cores).
const tidying = 6 * time.Second

// percentTrained is where training ends. A strong cleaning takes up to half as long as the training.
func percentTrained(cfg *trainer.Config, cleanup string) float64 {
	training, after := cfg.Budget, tidying
	if cleanup == pipeline.CleanupStrong {
		after += training / 2
	}
	return percentTraining + (percentSaving-percentTraining)*float64(training)/float64(training+after)
}

// leastBudget is the shortest training time of which anything can come.
const leastBudget = time.Second / 10

// evaluateEvery so much of the budget the held-out images are measured on the way: a curve in the report, for about a
// hundredth of the time.
const evaluateEvery = 0.2

// plan turns the client's wishes into the trainer's configuration.
func (c Config) plan(job *stage.Job) (trainer.Config, error) {
	cfg, err := trainer.Defaults(trainer.Preset(job.Options.Preset))
	if err != nil {
		return cfg, err
	}
	if s := job.Options.TrainBudgetS; s > 0 {
		if s < leastBudget.Seconds() {
			return cfg, pipeline.Invalid("train_budget_too_short", fmt.Sprintf("A training time of %g seconds is too short for anything.", s),
				fmt.Sprintf("Give train_budget_s at least %g, or leave it out.", leastBudget.Seconds()))
		}
		cfg.Budget = time.Duration(s * float64(time.Second))
		cfg.MaxGaussians = trainer.GaussiansFor(cfg.Budget)
	}
	if most := job.Options.MaxGaussians; most > 0 {
		cfg.Ask(most)
	}
	if job.Options.Seed != 0 {
		cfg.Seed = job.Options.Seed
	}
	// What a lost worker costs at most: a sixth of the budget, or half a minute.
	cfg.CheckpointEvery = min(cfg.CheckpointEvery, max(cfg.Budget/6, time.Second))
	cfg.EvaluateEvery = evaluateEvery
	cfg.MaxSide = job.Options.LongEdgePx
	cfg.Threads = c.Threads
	if job.Options.Sky != pipeline.SkyAuto {
		cfg.Sky = trainer.SkyMode(job.Options.Sky)
	}
	cfg.BackgroundMode = trainer.BackgroundMode(job.Options.BackgroundMode)
	cfg.RefinePoses, cfg.Exposure = job.Options.RefinePoses, job.Options.CompensateExposure
	known, err := job.ReportSoFar()
	if err != nil {
		return cfg, err
	}
	if known.Images != nil && known.Images.Registered < fewImages {
		cfg.HoldOut = 0
	}
	if job.Smaller {
		cfg.MemoryBytes /= 2
		cfg.MaxGaussians /= 2
	}
	return cfg, nil
}

func (c Config) train(ctx context.Context, job *stage.Job, cfg trainer.Config, data *trainer.Dataset, on device) (*trainer.Result, error) {
	started, previews := c.Now(), newPreviews(job)
	defer previews.wait()
	hooks := trainer.Hooks{
		Clock:         func() time.Duration { return c.Now().Sub(started) },
		Device:        on.card,
		Stop:          job.Stopping(),
		Events:        func(e trainer.Event) { forward(job, &cfg, e) },
		Preview:       func(cloud *splat.Cloud) { previews.publish(ctx, cloud) },
		KeepGaussians: on.keeps,
		Save: func(write func(io.Writer) error) error {
			// A checkpoint must reach the store even while the work is being given up.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			state, w := io.Pipe()
			defer state.Close()
			go func() { w.CloseWithError(write(w)) }()
			return job.SaveCheckpoint(ctx, state)
		},
	}
	checkpoint, err := job.OpenCheckpoint(ctx)
	if errors.Is(err, artifacts.ErrNotFound) {
		return trainer.Train(ctx, cfg, data, nil, hooks)
	}
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	first, resumed := true, hooks
	resumed.Events = func(e trainer.Event) {
		if p, ok := e.(trainer.Progress); ok && first {
			job.Metric("resumed_at", p.Fraction)
			first = false
		}
		forward(job, &cfg, e)
	}
	result, err := trainer.Train(ctx, cfg, data, checkpoint, resumed)
	if errors.Is(err, trainer.ErrCheckpoint) || errors.Is(err, artifacts.ErrDamaged) {
		job.Warn(pipeline.Warning{Code: "checkpoint_unusable", Message: "A saved state could not be used, so training began anew."})
		return trainer.Train(ctx, cfg, data, nil, hooks)
	}
	return result, err
}

// forward passes on the trainer's events.
func forward(job *stage.Job, cfg *trainer.Config, e trainer.Event) {
	switch e := e.(type) {
	case trainer.Progress:
		job.Progress(pipeline.Progress{
			Step: "training", Done: float64(e.Iteration), Total: float64(e.TotalIterations), Percent: percentTraining + (percentTrained(cfg, job.Options.Cleanup)-percentTraining)*e.Fraction,
			Message: fmt.Sprintf("%d Gaussians, %.0f steps a second", e.Gaussians, e.IterationsPerSec),
			Metrics: map[string]float64{"gaussians": float64(e.Gaussians), "loss": e.Loss, "iterations_per_s": e.IterationsPerSec},
		})
	case trainer.Warned:
		job.WarnAll(fault.Warning(e))
	case trainer.Evaluated:
		job.Metric("psnr_db", e.PSNR)
		job.Metric("ssim", e.SSIM)
	}
}

func publish(ctx context.Context, job *stage.Job, cfg trainer.Config, data *trainer.Dataset, result *trainer.Result, cleanup *clean.Report, trial *trial, on device) error {
	job.Progress(pipeline.Progress{Step: "saving the splat", Percent: percentSaving})
	if err := publishCloud(ctx, job, artifacts.Trained, result.Cloud); err != nil {
		return err
	}
	if err := job.PublishJSON(ctx, artifacts.TrainReport, struct {
		Config  trainer.Config  `json:"config"`
		Result  *trainer.Result `json:"result"`
		Cleanup *clean.Report   `json:"cleanup,omitempty"`
	}{cfg, result, cleanup}); err != nil {
		return err
	}
	job.Metric("iterations", float64(result.Iterations))
	job.Metric("gaussians", float64(result.Cloud.Len()))
	q, heldOut, cloud, views := result.Held, 0, result.Cloud, data.Test
	if trial != nil {
		q, cloud, views = trial.quality, trial.cloud, trial.views
	}
	if q != nil {
		heldOut = len(q.Views)
	} else {
		var err error
		if q, err = trainer.Evaluate(result.Cloud, data.Train, &cfg); err != nil {
			return fmt.Errorf("measure quality: %w", err)
		}
	}
	var pairs []artifacts.Pair
	if len(q.Views) > 0 { // masks may hide every view
		if heldOut == 0 {
			views = data.Train
		}
		var err error
		if pairs, err = publishViews(ctx, job, &cfg, cloud, views, q); err != nil {
			return err
		}
		judge(job, q, heldOut, cfg.Exposure)
		passedBy(job, result.Transients, len(data.Train))
	}
	document := artifacts.ReportDocument{Training: expected(cfg, result, on), Quality: &artifacts.QualityReport{
		PSNRdB: q.PSNR, CorrectedPSNRdB: q.ColorFitPSNR, SSIM: q.SSIM, HeldOut: heldOut, Trial: trial != nil, Width: q.Width, Height: q.Height, Iterations: result.Iterations, Pairs: pairs,
	}}
	if cleanup != nil {
		document.Cleanup = cleanup
	}
	return job.Report(document)
}

// publishViews leaves measured views beside what the splat shows there: two as a sheet to look at, some for pages to compare.
func publishViews(ctx context.Context, job *stage.Job, cfg *trainer.Config, cloud *splat.Cloud, views []*trainer.View, q *trainer.Quality) ([]artifacts.Pair, error) {
	var sheet bytes.Buffer
	if err := trainer.WriteComparison(&sheet, cloud, views, q, cfg); err != nil {
		return nil, err
	}
	if err := job.PublishFrom(ctx, artifacts.Comparison, &sheet); err != nil {
		return nil, err
	}
	sheet.Reset()
	drawn, err := trainer.WritePairs(&sheet, cloud, views, q, cfg)
	if err != nil {
		return nil, err
	}
	var pairs []artifacts.Pair
	for _, p := range drawn {
		pairs = append(pairs, artifacts.Pair{Name: p.Name, PSNRdB: p.PSNR, SSIM: p.SSIM, X: p.X, Y: p.Y, Width: p.Width, Height: p.Height})
	}
	return pairs, job.PublishFrom(ctx, artifacts.Pairs, &sheet)
}

// What a splat must reach on images that training never saw for a person not to be disappointed by it: below, views between
// the images fall apart.
const (
	lowPSNR = 20 // dB
	lowSSIM = 0.6
)

// fewTransients is the number of images below which parts that only they show are nothing to warn of.
const fewTransients = 3

// passedBy says that something moved while the images were taken.
func passedBy(job *stage.Job, found []trainer.Transient, images int) {
	if len(found) < fewTransients { // a reflection, or an image that is off
		return
	}
	job.Warn(pipeline.Warning{Code: "moving_subject", Message: fmt.Sprintf("Parts of %d of %d images show something that moves, or that no other image shows. Training ignored these parts.", len(found), images),
		Advice: "Where something is missing or smeared, take the images again while nothing moves, or send masks of what moves."})
}

// judge says in plain words when the measured quality is bad, or says little. Where exposures were compensated, a held-out image has one that the
// splat cannot know, so its colours are fitted first.
func judge(job *stage.Job, q *trainer.Quality, heldOut int, compensated bool) {
	psnr := q.PSNR
	if compensated {
		psnr = max(psnr, q.ColorFitPSNR)
	}
	if heldOut == 0 {
		job.Warn(pipeline.Warning{Code: "not_held_out", Message: fmt.Sprintf("Quality was measured on the %d images that training saw, which says nothing about views between them.", len(q.Views)),
			Advice: fmt.Sprintf("Look at the film, or send %d images or more: then some are left out for measuring.", fewestForTrial)})
	}
	if !(psnr >= lowPSNR && q.SSIM >= lowSSIM) {
		job.Warn(pipeline.Warning{Code: "low_quality", Message: fmt.Sprintf("The result hardly looks like the images it is measured on (PSNR %.1f dB, SSIM %.2f): expect blur, fog or holes.", psnr, q.SSIM),
			Advice: "Send more images with smaller steps in between, of something that stands still, in the same light; refine_poses helps where poses are off."})
	}
}

// expected says what came of the options about the capture.
func expected(cfg trainer.Config, result *trainer.Result, on device) *artifacts.TrainingReport {
	r := &artifacts.TrainingReport{BackgroundMode: string(cfg.BackgroundMode), SkyGaussians: result.Sky, RefinedPoses: len(result.Poses), Device: on.name, DeviceReason: on.reason}
	var turns []float64
	for _, p := range result.Poses {
		turns = append(turns, 180/math.Pi*math.Hypot(p.Omega[0], math.Hypot(p.Omega[1], p.Omega[2])))
	}
	if slices.Sort(turns); len(turns) > 0 {
		r.RefinedDeg = turns[len(turns)/2]
	}
	r.PartlyHidden = len(result.Transients)
	for _, x := range result.Exposures {
		r.ExposureStops = max(r.ExposureStops, math.Abs(x.Stops[0]+x.Stops[1]+x.Stops[2])/3)
	}
	return r
}
