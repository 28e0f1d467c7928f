// Package clean removes from a trained cloud what the capture does not support, and proves what that costs.
//
// It runs after engines/trainer. Every Gaussian is judged by the training images: how many pixels it fills, and by how much the
// squared error would grow without it (raster.Evidence). One that makes the images worse is a floater, whatever it looks like;
// one that fills nothing cannot be missed. Each step is measured on images that training never saw, and undone where it costs
// more than its bound.
package clean

import (
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// Level says how much may be removed.
type Level string

const (
	Off    Level = "off"
	Safe   Level = "safe"   // what no image supports, or the images are better without
	Strong Level = "strong" // and what they hardly miss: up to half the Gaussians, where the bound allows
)

// Reason of a step.
type Reason string

const (
	Unseen  Reason = "unseen"        // fills no pixel of any training image
	Before  Reason = "before_camera" // floats nearer to a camera than anything that was matched there, and the images are better without
	Floater Reason = "floater"       // the images are better without
	Shape   Reason = "shape"         // a needle or a giant that the images do not need
	Outside Reason = "outside"       // beyond what was captured, and hardly seen by any image: no background
	Spare   Reason = "spare"         // what the images miss least; the others were trained once more
)

// Step is one kind of removal, with what it cost.
type Step struct {
	Reason  Reason  `json:"reason"`
	Removed int     `json:"removed"` // Gaussians
	Before  float64 `json:"psnr_before_db"`
	After   float64 `json:"psnr_after_db"`
	Undone  bool    `json:"undone,omitempty"` // it cost more than its bound, so nothing was removed
}

// Report is what was done. PSNR is of the held-out images, or of the training images where none were held out.
type Report struct {
	Level   Level   `json:"level"`
	HeldOut int     `json:"held_out"` // images measured on; 0: the training images
	Before  int     `json:"gaussians_before"`
	After   int     `json:"gaussians_after"`
	PSNR    float64 `json:"psnr_before_db"`
	Cleaned float64 `json:"psnr_after_db"`
	Steps   []Step  `json:"steps"` // those that found something
}

const (
	unseenWeight = 0.05 // pixels, of all images together
	// A Gaussian that was never there explains the whole error at its pixels: without it the error falls by its effect, and Gain is
	// -1 of it. Of a trained one it is about 1, with noise: training weighs structure and absolute differences, not squares. Below
	// -1.5 the error there is mostly another one's; it is looked at again when that one is gone.
	another = 1.5

	// plain is the least effect on a pixel that a floater fills, |C'−C|²: a twentieth in each channel. Fainter ones are haze that
	// training laid over the images together; taking each away is good for the images, taking all away is not.
	plain = 3 * 0.05 * 0.05

	needle = 30.0 // times as long as the second axis
	giant  = 0.5  // of the extent: standard deviation
	long   = 0.02 // of the extent: shorter needles do no harm
)

// floats are the shares of rounds of looking for floaters.
var floats = []float64{0.7, 0.5, 0.3}

// roundsFrom are the shares at which each round begins of the work without consolidation. Most clouds need one or two.
var roundsFrom = [...]float64{0.1, 0.6, 0.75, 0.85}

// bounds are how many dB a step may cost.
var bounds = map[Level]float64{Safe: 0.02, Strong: 0.05}

// Refit trains what is left of a cloud for some iterations, without adding Gaussians. It calls each before every one of them.
type Refit func(c *splat.Cloud, iterations int, each func() error) (*splat.Cloud, error)

// ParseLevel is the inverse of the constants.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); slices.Contains([]Level{Off, Safe, Strong}, l) {
		return l, nil
	}
	return Off, fmt.Errorf("cleanup %q is not known: use off, safe or strong", s)
}

// cleaning is one run.
type cleaning struct {
	data   *trainer.Dataset
	cfg    *trainer.Config
	views  []*trainer.View
	space  *space
	report *Report
	refit  Refit
	watch  func(share float64) error
	// The part of the work that is at hand, as shares of all of it, and the images looked at in it.
	from, to float64
	usual    float64 // images that the part most likely looks at
	images   int

	cloud   *splat.Cloud
	quality *trainer.Quality
	found   []evidence // about cloud
}

// Run cleans a cloud that was trained on data with cfg. It returns the cloud that remains, its quality, and what was done; the
// cloud that came in is unchanged. refit is for Strong. watch is called before each image that is looked at and each iteration, with
// the share of the work that is done: it never falls, leaps where a part is not needed, and ends the work with its error.
func Run(c *splat.Cloud, data *trainer.Dataset, cfg *trainer.Config, level Level, refit Refit, watch func(share float64) error) (*splat.Cloud, *trainer.Quality, *Report, error) {
	k := &cleaning{data: data, cfg: cfg, views: data.Test, space: spaceOf(data), cloud: c, refit: refit, watch: watch}
	k.report = &Report{Level: level, HeldOut: len(data.Test), Before: c.Len(), After: c.Len(), Steps: []Step{}}
	if len(k.views) == 0 {
		k.views = data.Train
	}
	var err error
	k.part(0, k.early()*roundsFrom[0])
	if k.quality, err = k.measure(c); err != nil {
		return nil, nil, nil, err
	}
	k.report.PSNR = k.quality.PSNR
	if level != Off && len(k.quality.Views) > 0 { // masks may hide every image: nothing could be proved
		if err := k.steps(level); err != nil {
			return nil, nil, nil, err
		}
	}
	k.report.After, k.report.Cleaned = k.cloud.Len(), k.quality.PSNR
	return k.cloud, k.quality, k.report, nil
}

// part says which share of the whole work comes next.
func (k *cleaning) part(from, to float64) {
	k.from, k.to, k.images = from, to, 0
	k.usual = float64(len(k.data.Train) + len(k.views))
}

// early is the share of the work that comes before consolidation.
func (k *cleaning) early() float64 {
	if k.report.Level == Strong {
		return 0.3
	}
	return 1
}

// looked is called before each image. How often that will be is not known: the steps that find nothing measure nothing. So the share
// comes ever nearer to the end of the part, half of it by its usual number of images.
func (k *cleaning) looked() error {
	share := k.from + (k.to-k.from)*float64(k.images)/(float64(k.images)+k.usual)
	k.images++
	return k.watch(share)
}

func (k *cleaning) measure(c *splat.Cloud) (*trainer.Quality, error) {
	q, err := trainer.EvaluateWatched(c, k.views, k.cfg, k.looked)
	if err != nil {
		return nil, fmt.Errorf("measure quality: %w", err)
	}
	return q, nil
}

// gather looks at all training images.
func (k *cleaning) gather() (err error) {
	k.found, err = gather(k.cloud, k.data, k.cfg, k.looked)
	return err
}

func (k *cleaning) steps(level Level) error {
	bound := bounds[level]
	for round := range floats {
		k.part(k.early()*roundsFrom[round], k.early()*roundsFrom[round+1])
		if err := k.gather(); err != nil {
			return err
		}
		removed, last := 0, round == len(floats)-1
		for _, step := range []struct {
			reason Reason
			takes  func(i int) bool
		}{
			{Unseen, func(i int) bool { return k.found[i].Weight < unseenWeight }},
			{Before, func(i int) bool {
				return k.harms(i, 0) && (last || !k.harms(i, another)) && k.space.beforeCamera(k.place(i))
			}},
			{Floater, func(i int) bool { return k.harms(i, floats[round]) && !k.harms(i, another) && k.visible(i) }},
			{Shape, func(i int) bool { return k.harms(i, 0) && k.misshapen(i) }},
			{Outside, func(i int) bool { return k.found[i].views == 0 && k.space.outside(k.place(i)) }},
		} {
			n, err := k.step(step.reason, bound, step.takes)
			if err != nil {
				return err
			}
			removed += n
		}
		if removed*200 <= k.cloud.Len() || last { // another look costs as much as the first
			break
		}
	}
	if level == Strong {
		return k.consolidate()
	}
	return nil
}

// harms is true when the images are better without Gaussian i, by more than a share of what it changes.
func (k *cleaning) harms(i int, share float64) bool {
	return k.found[i].Gain < -share*k.found[i].Effect
}

// visible is true when Gaussian i changes the pixels that it fills so much that it is seen.
func (k *cleaning) visible(i int) bool { return k.found[i].Effect > plain*k.found[i].Weight }

func (k *cleaning) place(i int) [3]float64 {
	m := k.cloud.Means[3*i : 3*i+3]
	return [3]float64{float64(m[0]), float64(m[1]), float64(m[2])}
}

func (k *cleaning) misshapen(i int) bool {
	l := slices.Sorted(slices.Values(k.cloud.LogScales[3*i : 3*i+3]))
	longest := math.Exp(float64(l[2]))
	return longest > giant*k.space.extent || float64(l[2]-l[1]) > math.Log(needle) && longest > long*k.space.extent
}

// step removes what takes says, unless that costs more than bound. It returns how many are gone.
func (k *cleaning) step(reason Reason, bound float64, takes func(i int) bool) (int, error) {
	var keep []int
	for i := range k.cloud.Len() {
		if !takes(i) {
			keep = append(keep, i)
		}
	}
	removed := k.cloud.Len() - len(keep)
	if removed == 0 || len(keep) == 0 {
		return 0, nil
	}
	left := k.cloud.Picked(keep)
	q, err := k.measure(left)
	if err != nil {
		return 0, err
	}
	s := Step{Reason: reason, Removed: removed, Before: k.quality.PSNR, After: q.PSNR}
	if !(q.PSNR >= k.quality.PSNR-bound) {
		s.Removed, s.Undone, removed = 0, true, 0
		s.After = s.Before
		k.report.Steps = append(k.report.Steps, s)
		return 0, nil
	}
	k.report.Steps = append(k.report.Steps, s)
	k.cloud, k.quality = left, q
	found := make([]evidence, len(keep))
	for to, from := range keep {
		found[to] = k.found[from]
	}
	k.found = found
	return removed, nil
}
