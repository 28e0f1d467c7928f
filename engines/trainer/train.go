package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// Hooks is what the caller gives a run besides data and configuration. Clock is needed; the others may be nil.
type Hooks struct {
	// Clock is the time that the budget is measured in, since any fixed instant: wall time, or the process's CPU time
	// divided by the threads.
	Clock func() time.Duration
	// Events is called from the training goroutine.
	Events func(Event)
	// Save stores a checkpoint: it calls write once with where the bytes go, and puts them in place only when write
	// returns nil (a temporary file and a rename, or an object that appears when it is complete).
	Save func(write func(io.Writer) error) error
	// Device runs the iterations and refinements; nil: the processor does. Everything else happens on the processor. Train
	// does not close it.
	Device gpu.Device
	// KeepGaussians lets a run that is resumed have the Gaussians of its checkpoint where they are more than MaxGaussians; it adds
	// none to them.
	KeepGaussians bool
	// Stop, when closed, asks the run to save a checkpoint and return ErrStopped within one iteration and the time of
	// the save. Cancelling the context saves nothing.
	Stop <-chan struct{}
	// Preview receives what is trained so far, of degree 0 and at most PreviewGaussians: at once, then every few seconds, a bounded
	// number of times. It is called from the training goroutine, whose time it takes, and may keep the cloud.
	Preview func(*splat.Cloud)
}

// ErrStopped says that a run was stopped through Hooks.Stop; with Hooks.Save its state is saved.
var ErrStopped = errors.New("training was stopped before its end")

// Result is a finished training.
type Result struct {
	Cloud      *splat.Cloud  `json:"-"`
	Iterations int           `json:"iterations"`
	Elapsed    time.Duration `json:"elapsed"`              // of the clock, earlier runs that this one resumed included
	Held       *Quality      `json:"held"`                 // of the held-out images, or nil when none were held out
	Curve      []Evaluated   `json:"curve"`                // the held-out quality on the way
	NonFinite  int           `json:"non_finite"`           // Gaussians that were lost to NaN or infinities
	Relocated  int           `json:"relocated"`            // Gaussians that had become invisible and were used again
	Poses      []PoseChange  `json:"poses,omitempty"`      // with Config.RefinePoses
	Exposures  []Exposure    `json:"exposures,omitempty"`  // with Config.Exposure
	Transients []Transient   `json:"transients,omitempty"` // images of which a part did not count
	Sky        int           `json:"sky"`                  // Gaussians of the sphere that training started with
	Recolored  int           `json:"recolored"`            // training images that were drawn before another background at each visit
	Floaters   int           `json:"floaters"`             // Gaussians removed at the end because no training image needs them

	exposure exposures // as training left them, for Refit
	poses    poses
	hidden   [][]bool // of transients
}

// training is one run.
type training struct {
	*engine
	schedule
	cfg     Config
	data    *Dataset
	hooks   Hooks
	machine machine

	gaussians
	exposure   exposures
	poses      poses
	transients transients
	walk
	changes
	spending
	previews  previews
	level     int     // of the pyramid
	recolored Picture // scratch of scenery
}

// gaussians are what is trained, with the state of their optimiser.
type gaussians struct {
	params, m, v *raster.Params // and Adam's moments
	spare        *raster.Params // takes turns with them when they are laid out anew
	lr           []float32
	stats        statistics
	first        int // Gaussians at the start
	sky          int // of them, on the sphere
}

// walk is where training is on its way through the views.
type walk struct {
	pcg       *rand.PCG
	rng       *rand.Rand
	order     []int // of the views in this epoch
	cursor    int
	iteration int
	lossMean  float64 // of about the last epoch, of what the machine has reported
}

// changes are what happened to the Gaussians on the way, and how good they were.
type changes struct {
	rebuilt              int     // iteration of the last rebuild
	refinedAt            float64 // fraction of the last refinement
	relocated, nonFinite int
	curve                []Evaluated
	evaluatedAt          float64 // fraction
}

// spending is the time that training takes, and when it last reported and saved.
type spending struct {
	before  time.Duration // spent by the runs before this one
	started time.Duration // clock at the start of this one
	spoken  struct {
		at        time.Duration
		iteration int
	}
	saved time.Duration
}

// Train runs the schedule from its beginning, or from a checkpoint when resume is not nil. A resumed run must have the
// same data and the same configuration, except Threads, MaxGaussians, MemoryBytes, MaxSide and the intervals. Cancelling the context ends it
// at once with the context's error; see Hooks.Stop for an end that can be resumed.
func Train(ctx context.Context, cfg Config, data *Dataset, resume io.Reader, hooks Hooks) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(data.Train) == 0 {
		return nil, errors.New("train: the dataset holds no training images")
	}
	if hooks.Clock == nil {
		return nil, errors.New("train: Hooks.Clock is needed")
	}
	if most := cfg.mostGaussians(); cfg.MaxGaussians > most {
		return nil, fmt.Errorf("train: max_gaussians %d needs %d MiB; memory_bytes leaves room for %d", cfg.MaxGaussians, 2*int64(cfg.MaxGaussians)*bytesPerGaussian>>20, most)
	}
	if hooks.Device != nil {
		if most := MostOnCard(hooks.Device.Memory()); cfg.MaxGaussians > most {
			return nil, fmt.Errorf("train: %w: max_gaussians is %d, it has room for %d", gpu.ErrMemory, cfg.MaxGaussians, most)
		}
	}
	t := newTraining(cfg, data, hooks)
	defer t.machine.close()
	if resume == nil {
		t.start()
	} else if err := t.read(resume); err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	t.started = hooks.Clock()
	t.spoken.iteration = t.iteration
	t.spoken.at, t.saved = t.before, t.before
	return t.run(ctx)
}

func newTraining(cfg Config, data *Dataset, hooks Hooks) *training {
	own := *data // what is hidden of the images is hidden from this run alone
	own.Train = slices.Clone(data.Train)
	t := &training{engine: newEngine(&cfg), schedule: defaultSchedule, cfg: cfg, data: &own, hooks: hooks, level: -1}
	t.transients.whole = data.Train
	data = &own
	t.pcg = rand.NewPCG(cfg.Seed, 0x5eed)
	t.rng = rand.New(t.pcg)
	if cfg.Exposure {
		t.exposure = newExposures(data)
	}
	if cfg.RefinePoses {
		t.poses = newPoses(len(data.Train))
	}
	if t.machine = newProcessor(t.engine, &cfg, data); hooks.Device != nil {
		t.machine = newDevice(hooks.Device, &cfg, data)
	}
	for _, array := range []**raster.Params{&t.params, &t.m, &t.v, &t.spare} {
		*array = raster.NewParams(0, cfg.Degree, cfg.Mode)
		(*array).Reserve(cfg.MaxGaussians + cfg.MaxGaussians/8) // a refinement adds before it takes away
	}
	return t
}

func (t *training) start() {
	sky, spacing := skyPoints(t.data, t.cfg.Sky, t.cfg.MaxGaussians/4)
	solid := t.cfg
	solid.MaxGaussians -= len(sky)
	initialise(t.params, t.data, &solid, t.InitialOpacity, t.rng)
	t.addSky(sky, spacing)
	t.sky = len(sky)
	t.first = t.params.Len()
	t.m.Resize(t.first)
	t.v.Resize(t.first)
	t.prune()
}

// begin hands the model to the machine; run does it first.
func (t *training) begin() error {
	t.lr = make([]float32, t.params.Rows())
	if err := t.machine.put(&t.gaussians); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// elapsed is the time spent on training, in this run and the ones before.
func (t *training) elapsed() time.Duration { return t.before + t.hooks.Clock() - t.started }

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
	return float64(t.elapsed()) / float64(t.cfg.Budget)
}

func (t *training) run(ctx context.Context) (*Result, error) {
	if err := t.begin(); err != nil {
		return nil, err
	}
	for fraction := t.fraction(); fraction < 1; fraction = t.fraction() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		select {
		case <-t.hooks.Stop:
			if err := t.save(fraction); err != nil {
				return nil, err
			}
			return nil, ErrStopped
		default:
		}
		if err := t.look(fraction); err != nil {
			return nil, err
		}
		if err := t.step(fraction); err != nil {
			return nil, err
		}
		t.iteration++
		if t.refineDue(fraction) {
			if err := t.refine(fraction); err != nil {
				return nil, err
			}
		}
		if err := t.report(fraction); err != nil {
			return nil, err
		}
	}
	return t.finish()
}

// get brings the model back from the machine. It must not be changed after it unless it is put again.
func (t *training) get() error {
	if err := t.machine.get(); err != nil {
		return fmt.Errorf("train: iteration %d: %w", t.iteration, err)
	}
	return nil
}

// report says where the run is, evaluates and saves, each when it is due.
func (t *training) report(fraction float64) error {
	if t.cfg.EvaluateEvery > 0 && fraction-t.evaluatedAt >= t.cfg.EvaluateEvery {
		t.evaluatedAt = fraction
		if _, err := t.evaluate(fraction); err != nil {
			return err
		}
	}
	now := t.elapsed()
	if now-t.spoken.at >= 500*time.Millisecond {
		t.say(t.progress(fraction, now))
		t.spoken.at, t.spoken.iteration = now, t.iteration
	}
	if err := t.show(now, fraction); err != nil {
		return err
	}
	if t.cfg.CheckpointEvery > 0 && now-t.saved >= t.cfg.CheckpointEvery {
		return t.save(fraction)
	}
	return nil
}

func (t *training) progress(fraction float64, now time.Duration) Progress {
	rate := float64(t.iteration-t.spoken.iteration) / (now - t.spoken.at).Seconds()
	p := Progress{
		Fraction: fraction, Elapsed: now, Iteration: t.iteration, Gaussians: t.params.Len(), Loss: t.lossMean,
		IterationsPerSec: rate, Downscale: 1 << t.level,
	}
	if t.cfg.Iterations > 0 {
		p.TotalIterations = t.cfg.Iterations
		p.Remaining = time.Duration(float64(t.cfg.Iterations-t.iteration) / rate * float64(time.Second))
	} else {
		p.Remaining = max(0, t.cfg.Budget-now)
		p.TotalIterations = t.iteration + int(rate*p.Remaining.Seconds())
	}
	return p
}

// save stores a checkpoint when the caller can.
func (t *training) save(fraction float64) error {
	t.saved = t.elapsed()
	if t.hooks.Save == nil {
		return nil
	}
	if err := errors.Join(t.hear(true), t.get()); err != nil {
		return err
	}
	if err := t.hooks.Save(t.write); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	t.say(Checkpointed{t.iteration, fraction})
	return nil
}

// evaluate measures the model as the machine has it.
func (t *training) evaluate(fraction float64) (*Quality, error) {
	if len(t.data.Test) == 0 {
		return nil, nil
	}
	q, err := evaluate(t.loss, t.machine.draw, t.data.Test, &t.cfg)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	e := Evaluated{fraction, t.elapsed(), t.iteration, t.params.Len(), q.PSNR, q.SSIM}
	t.curve = append(t.curve, e)
	t.say(e)
	return q, nil
}

// finish removes what no image needs and measures the result.
func (t *training) finish() (*Result, error) {
	elapsed := t.elapsed()
	if err := t.get(); err != nil {
		return nil, err
	}
	floaters := t.removeFloaters()
	t.prune()
	if t.params.Len() == 0 {
		return nil, errors.New("train: every Gaussian vanished; the images show nothing that can be reconstructed (all black, or not of one scene)")
	}
	if err := t.machine.put(&t.gaussians); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	held, err := t.evaluate(1)
	if err != nil {
		return nil, err
	}
	if t.nonFinite > 0 {
		t.say(Warned(fault.Warn("training", "", "%d Gaussians became NaN or infinite during training and were removed", t.nonFinite)))
	}
	cloud := t.params.Cloud()
	normalise(cloud)
	recolored := 0
	for _, v := range t.data.Train {
		if t.cfg.BackgroundMode.changing(&v.Levels[0]) {
			recolored++
		}
	}
	return &Result{
		Cloud: cloud, Iterations: t.iteration, Elapsed: elapsed, Held: held, Curve: t.curve, Sky: t.sky, Recolored: recolored,
		Poses: t.poses.changes(t.data), Exposures: t.exposure.changes(t.data), Transients: t.transients.changes(t.data), NonFinite: t.nonFinite, Relocated: t.relocated, Floaters: floaters,
		exposure: t.exposure, poses: t.poses, hidden: t.transients.hidden,
	}, nil
}

// refineDue is true after an epoch or so, in which every Gaussian was seen; on a slow machine, or with large images,
// twenty times in the budget, so that the model grows there too.
func (t *training) refineDue(fraction float64) bool {
	since := t.iteration - t.rebuilt
	return fraction < t.RefineUntil &&
		(since >= min(t.RefineMost, max(t.RefineLeast, len(t.data.Train)/2)) || since >= 10 && fraction-t.refinedAt >= 0.05)
}

// workers is the number of goroutines that a configuration asks for.
func workers(cfg *Config) int {
	if cfg.Threads > 0 {
		return cfg.Threads
	}
	return runtime.GOMAXPROCS(0)
}
