package trainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/splatworks/splatworks/engines/splat"
)

// Preset is a named point on the line between time and quality.
type Preset string

const (
	Preview  Preset = "preview"  // a first look
	Standard Preset = "standard" // what a request gets when it asks for nothing
	High     Preset = "high"     // where more time stops paying on a small capture
)

// PosesCost is how long an iteration takes with Config.RefinePoses, over one without. The budget stays, so fewer fit into it.
const PosesCost = 4. / 3

// Config is everything that decides what training does. Two runs with the same Config, an iteration budget, the same
// data and the same instruction set write the same bytes, whatever the number of threads.
type Config struct {
	// Budget is the training time by the clock that Train is given; Iterations, when not 0, takes its place as the
	// measure of the schedules, and makes the run reproducible.
	Budget     time.Duration `json:"budget"`
	Iterations int           `json:"iterations"`

	MaxGaussians int              `json:"max_gaussians"` // never exceeded, and reached when there is something to add
	MemoryBytes  int64            `json:"memory_bytes"`  // bound on images and model; larger captures are trained smaller
	MaxSide      int              `json:"max_side"`      // longest image side in pixels; larger images are shrunk
	Degree       int              `json:"sh_degree"`     // final SH degree, 0..3
	Mode         splat.RenderMode `json:"render_mode"`
	Background   [3]float32       `json:"background"`
	// BackgroundMode and Sky say what is behind the scene.
	BackgroundMode BackgroundMode `json:"background_mode"`
	Sky            SkyMode        `json:"sky"`

	HoldOut  int    `json:"hold_out"` // every HoldOut-th image, from the first by name, is for evaluation; 0: none
	Threads  int    `json:"threads"`  // 0: all processors
	Seed     uint64 `json:"seed"`
	Exposure bool   `json:"exposure"` // compensate brightness and white balance of each training image
	// RefinePoses moves the cameras of the training images along with the Gaussians, where structure from motion was off
	// by a pixel or so. An iteration takes PosesCost times as long, and that pays only there.
	RefinePoses bool `json:"refine_poses"`

	// HideTransients keeps from the training what only one image shows, or a few.
	HideTransients bool `json:"hide_transients"`

	// CheckpointEvery is the time between checkpoints by the clock; 0: only when stopped.
	CheckpointEvery time.Duration `json:"checkpoint_every"`
	// EvaluateEvery is the fraction of the budget between held-out evaluations on the way; 0: only at the end.
	EvaluateEvery float64 `json:"evaluate_every"`
}

// GaussiansFor is the number of Gaussians that a time budget can make use of on two cores at a quarter of a megapixel:
// about 1500 a second at first, then less and less; with more, too few iterations are left for each. Measured on one capture for
// 10 to 150 s.
func GaussiansFor(budget time.Duration) int {
	s := budget.Seconds()
	return int(min(max(1500*min(s, 20)+800*min(max(s-20, 0), 60)+100*max(s-80, 0), 5_000), 500_000))
}

// GaussiansOnCard is GaussiansFor of a graphics card. By the bytes and instructions of an iteration (docs/gpu.md) a card of 300 GB/s
// such as an L4 then makes some 7 500 iterations in the 75 s of the standard preset; it was not measured.
func GaussiansOnCard(budget time.Duration) int {
	s := budget.Seconds()
	return int(min(max(15_000*min(s, 20)+12_000*min(max(s-20, 0), 60)+9_000*max(s-80, 0), 5_000), 3_000_000))
}

// StepOnCard is about the time of an iteration of such a card, by what is read and written of each Gaussian and each pixel.
func StepOnCard(gaussians, pixels int) time.Duration {
	const gaussian, pixel, perSecond = 2000, 1100, 300e9 // bytes
	return time.Duration((gaussian*float64(gaussians) + pixel*float64(pixels)) / perSecond * float64(time.Second))
}

// OnCard makes c what it is on a graphics card with that memory, in bytes: as many Gaussians as are asked for, or, where that is 0, as
// the budget can make use of there, as far as the card has room for them, and the memory of the host that they take.
func (c *Config) OnCard(memory int64, asked int) {
	if asked == 0 {
		asked = GaussiansOnCard(c.Budget)
	}
	c.MaxGaussians = min(asked, MostOnCard(memory))
	c.makeRoom(c.MaxGaussians)
}

// Ask bounds the Gaussians by what is asked for, and by what the memory has room for.
func (c *Config) Ask(gaussians int) { c.MaxGaussians = min(gaussians, c.mostGaussians()) }

// Takeover prepares c for the rest of a run that a card of unknown memory has begun: Hooks.KeepGaussians then keeps what the card
// made.
func (c *Config) Takeover() { c.makeRoom(GaussiansOnCard(c.Budget)) }

func (c *Config) makeRoom(gaussians int) {
	c.MemoryBytes = max(c.MemoryBytes, 2*(int64(gaussians)+1)*bytesPerGaussian)
}

// Defaults is the Config of a preset. A caller that changes Budget should take MaxGaussians from GaussiansFor.
func Defaults(p Preset) (Config, error) {
	c := Config{
		MemoryBytes: 2 << 30, MaxSide: 1280, Degree: 3, Mode: splat.Mip, HoldOut: 8, Seed: 1, HideTransients: true,
		CheckpointEvery: 30 * time.Second,
	}
	switch p {
	case Preview:
		c.Budget, c.MaxSide = 20*time.Second, 640
	case Standard, "":
		c.Budget = 75 * time.Second
	case High:
		c.Budget = 300 * time.Second
	default:
		return c, fmt.Errorf("preset %q is not known: use preview, standard or high", p)
	}
	c.MaxGaussians = GaussiansFor(c.Budget)
	return c, nil
}

// Validate reports every field that cannot work.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Iterations >= 0, "iterations: %d is negative", c.Iterations)
	check(c.Iterations > 0 || c.Budget > 0, "budget: give a time or a number of iterations")
	check(c.Budget >= 0, "budget: %v is negative", c.Budget)
	check(c.MaxGaussians >= 100 && c.MaxGaussians <= 10_000_000, "max_gaussians: %d is outside 100..10000000", c.MaxGaussians)
	check(c.MemoryBytes >= 64<<20, "memory_bytes: %d is below 64 MiB", c.MemoryBytes)
	check(c.MaxSide >= 32, "max_side: %d px is below 32", c.MaxSide)
	check(c.Degree >= 0 && c.Degree <= splat.MaxDegree, "sh_degree: %d is outside 0..3", c.Degree)
	check(c.Mode == splat.Classic || c.Mode == splat.Mip, "render_mode: %v is not known", c.Mode)
	check(c.HoldOut == 0 || c.HoldOut >= 2, "hold_out: %d would leave nothing to train on", c.HoldOut)
	check(c.Threads >= 0, "threads: %d is negative", c.Threads)
	check(c.CheckpointEvery >= 0, "checkpoint_every: %v is negative", c.CheckpointEvery)
	check(c.EvaluateEvery >= 0 && c.EvaluateEvery <= 1, "evaluate_every: %v is outside 0..1", c.EvaluateEvery)
	check(slices.Contains([]BackgroundMode{BackgroundAuto, BackgroundFixed, BackgroundRandom, BackgroundEmpty}, c.BackgroundMode), "background_mode: %q is not known", c.BackgroundMode)
	check(slices.Contains([]SkyMode{SkyAuto, SkyOn, SkyOff}, c.Sky), "sky: %q is not known", c.Sky)
	for _, b := range c.Background {
		check(b >= 0 && b <= 1, "background: %v is outside 0..1", b)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("training configuration: %w", err)
	}
	return nil
}
