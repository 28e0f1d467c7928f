package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Defaults are what a deployment fills in where a client leaves an option open. The zero value fills in nothing.
type Defaults struct {
	Presets map[Preset]Effort
	Depth   Shares // of the requests that name no depth model
}

// Effort is what a preset stands for in a deployment; 0 is as everywhere.
type Effort struct {
	TrainBudgetS float64 `json:"train_budget_s,omitempty"`
	MaxImages    int     `json:"max_images,omitempty"`
	LongEdgePx   int     `json:"long_edge_px,omitempty"`
	MaxGaussians int     `json:"max_gaussians,omitempty"`
}

// options are the options that say the same.
func (e Effort) options(p Preset) Options {
	return Options{Preset: p, TrainBudgetS: e.TrainBudgetS, MaxImages: e.MaxImages, LongEdgePx: e.LongEdgePx, MaxGaussians: e.MaxGaussians}
}

// Check says what is wrong with d.
func (d Defaults) Check() error {
	for _, p := range slices.Sorted(maps.Keys(d.Presets)) {
		if err := d.Presets[p].options(p).Validate(); err != nil {
			return fmt.Errorf("preset %s: %w", p, err)
		}
	}
	return d.Depth.Check()
}

// Fill is o with the defaults for the request with that id. What the client said stays; DepthAuto says nothing.
func (d Defaults) Fill(requestID string, o Options) Options {
	e := d.Presets[o.WithDefaults().Preset]
	fill(&o.TrainBudgetS, e.TrainBudgetS)
	fill(&o.MaxImages, e.MaxImages)
	fill(&o.LongEdgePx, e.LongEdgePx)
	fill(&o.MaxGaussians, e.MaxGaussians)
	if len(d.Depth) > 0 && (o.Depth == "" || o.Depth == DepthAuto) {
		o.Depth = d.Depth.Choose(requestID)
	}
	return o
}

func fill[T int | float64](field *T, preset T) {
	if *field == 0 {
		*field = preset
	}
}

// Shares say which percentage of requests gets what, by name. None: nobody gets anything.
type Shares map[string]float64

// shareTolerance is how far the sum of shares may be from 100: that of a third written with six digits.
const shareTolerance = 1e-4

// Check says what is wrong with s: every share is above 0, and together they are 100.
func (s Shares) Check() error {
	sum := 0.0
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if name == DepthAuto || name == DepthOff {
			return fmt.Errorf("a share of %s: name a model", name)
		}
		if err := (Options{Depth: name}).Validate(); err != nil || name == "" {
			return fmt.Errorf("%q is not the name of a model", name)
		}
		if !(s[name] > 0 && s[name] <= 100) {
			return fmt.Errorf("the share of %s must be above 0 and at most 100 %%, not %g", name, s[name])
		}
		sum += s[name]
	}
	if len(s) > 0 && !(math.Abs(sum-100) <= shareTolerance) {
		return fmt.Errorf("the shares must add up to 100 %%, and they add up to %g", sum)
	}
	return nil
}

// Choose is the name that a request gets: the same for the same id and shares. Of many requests each name gets its share. Empty
// without shares.
func (s Shares) Choose(requestID string) (name string) {
	sum := sha256.Sum256([]byte("share of " + requestID))
	place := 100 * float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53) // in [0, 100)
	for _, name = range slices.Sorted(maps.Keys(s)) {
		if place -= s[name]; place < 0 {
			break
		}
	}
	return name // the last one, where rounding leaves something
}
