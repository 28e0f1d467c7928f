// Package trainer turns posed images and sparse points into a Gaussian cloud: initialisation, loss, optimiser,
// densification, schedules, checkpoints and the measurement of quality.
//
// It stands at the end of the engines: engines/scene gives the cameras, engines/raster draws and differentiates,
// engines/splat is what it returns. It reads images and a COLMAP model from folders that it is told, keeps no other
// state outside its arguments, and takes time from a clock that the caller passes in.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Hooks is what the caller gives a run besides data and configuration.
type Hooks struct {
	// Clock is the time that the budget is measured in, since any fixed instant: wall time, or the process's CPU time
	// divided by the threads.
	Clock func() time.Duration
	// Events, when not nil, is called from the training goroutine.
	Events func(Event)
}

// Result is a finished training.
type Result struct {
	Cloud      *splat.Cloud
	Iterations int
	Elapsed    time.Duration
	Held       *Quality // nil when nothing was held out
	NonFinite  int      // Gaussians that were lost to NaN or infinities
}

// training is one run.
type training struct {
	*engine
	cfg   Config
	data  *Dataset
	hooks Hooks

	params, m, v *raster.Params // and Adam's moments
	first        int            // Gaussians at the start
	stats        statistics
	pcg          *rand.PCG
	rng          *rand.Rand
	order        []int // of the views in this epoch
	cursor       int
	iteration    int
	lr           []float32
	level        int
	nonFinite    int

	started  time.Duration // clock at fraction zero
	lossMean float64
}

// Train runs the whole schedule. The context cancels it.
func Train(ctx context.Context, cfg Config, data *Dataset, hooks Hooks) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(data.Train) == 0 {
		return nil, errors.New("train: the dataset holds no training images")
	}
	t := &training{engine: newEngine(&cfg), cfg: cfg, data: data, hooks: hooks}
	t.pcg = rand.NewPCG(cfg.Seed, 0x5eed)
	t.rng = rand.New(t.pcg)
	t.params = initialise(data, &t.cfg, t.rng)
	t.first = t.params.Len()
	t.m = raster.NewParams(t.first, cfg.Degree, cfg.Mode)
	t.v = raster.NewParams(t.first, cfg.Degree, cfg.Mode)
	t.stats.reset(t.first)
	t.lr = make([]float32, t.params.Rows())
	t.level = -1
	t.started = t.clock()
	return t.run(ctx)
}

func (t *training) clock() time.Duration {
	if t.hooks.Clock == nil {
		return 0
	}
	return t.hooks.Clock()
}

func (t *training) say(e Event) {
	if t.hooks.Events != nil {
		t.hooks.Events(e)
	}
}

// fraction of the budget that is spent.
func (t *training) fraction() float64 {
	if t.cfg.Iterations > 0 {
		return float64(t.iteration) / float64(t.cfg.Iterations)
	}
	return float64(t.clock()-t.started) / float64(t.cfg.Budget)
}

func (t *training) run(ctx context.Context) (*Result, error) {
	var spoken time.Duration
	spokenIteration := 0
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		fraction := t.fraction()
		if fraction >= 1 {
			break
		}
		if err := t.step(fraction); err != nil {
			return nil, err
		}
		t.iteration++
		if t.iteration%t.refineInterval() == 0 && fraction < 0.95 {
			t.nonFinite += t.refine(fraction)
		}
		if now := t.clock() - t.started; now-spoken >= 500*time.Millisecond {
			t.say(t.progress(fraction, now, float64(t.iteration-spokenIteration)/(now-spoken).Seconds()))
			spoken, spokenIteration = now, t.iteration
		}
	}
	res := &Result{Iterations: t.iteration, Elapsed: t.clock() - t.started, NonFinite: t.nonFinite}
	t.nonFinite += t.prune()
	res.Cloud = t.params.Cloud()
	if len(t.data.Test) > 0 {
		q, err := evaluate(t.engine, t.params, t.data.Test, &t.cfg)
		if err != nil {
			return nil, err
		}
		res.Held = q
		t.say(Evaluated{1, t.iteration, t.params.Len(), q.PSNR, q.SSIM})
	}
	return res, nil
}

// prune drops what cannot be drawn, without growing.
func (t *training) prune() int {
	keep := make([]int32, 0, t.params.Len())
	lost := 0
	for i := range t.params.Len() {
		switch {
		case !t.finite(i):
			lost++
		case sigmoid(*t.params.At(i, simd.RowOpacity)) >= pruneOpacity:
			keep = append(keep, int32(i))
		}
	}
	t.rebuild(keep, nil)
	return lost
}

func (t *training) refineInterval() int {
	return min(refineEvery, max(50, len(t.data.Train)/2))
}

func (t *training) progress(fraction float64, elapsed time.Duration, rate float64) Progress {
	p := Progress{
		Fraction: fraction, Elapsed: elapsed, Iteration: t.iteration, Gaussians: t.params.Len(), Loss: t.lossMean,
		IterationsPerSec: rate, Downscale: 1 << t.level, TotalIterations: t.cfg.Iterations,
	}
	if t.cfg.Iterations > 0 {
		p.Remaining = time.Duration(float64(t.cfg.Iterations-t.iteration) / rate * float64(time.Second))
	} else {
		p.Remaining = max(0, t.cfg.Budget-elapsed)
		p.TotalIterations = t.iteration + int(rate*p.Remaining.Seconds())
	}
	return p
}

// workers is the number of goroutines that a configuration asks for.
func workers(cfg *Config) int {
	if cfg.Threads > 0 {
		return cfg.Threads
	}
	return runtime.GOMAXPROCS(0)
}
