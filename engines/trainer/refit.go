package trainer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// refitFrom is the fraction of the schedule at which a refit begins: all images are at full size there, all degrees in use.
const refitFrom = 0.7

// Refit trains a cloud for some more iterations with the end of the schedule, without adding Gaussians: what is left of a result
// when some were removed learns to replace them. The images' exposures and poses continue from the result's, and what was hidden of them stays so. A card
// that is not nil runs the iterations, as in Hooks. each is called before every iteration and ends the work with its error. The cloud
// must have the degree and the render mode of the configuration, and remains as it is.
func (r *Result) Refit(cfg Config, data *Dataset, cloud *splat.Cloud, iterations int, card gpu.Device, each func() error) (*splat.Cloud, error) {
	if cloud.Degree != cfg.Degree || cloud.Mode != cfg.Mode {
		return nil, fmt.Errorf("refit: the cloud has degree %d and mode %v, the configuration %d and %v", cloud.Degree, cloud.Mode, cfg.Degree, cfg.Mode)
	}
	cfg.Iterations = int(math.Ceil(float64(iterations) / (1 - refitFrom)))
	cfg.MaxGaussians = cloud.Len()
	t := newTraining(cfg, data, Hooks{Device: card})
	defer t.machine.close()
	t.params = raster.Pack(cloud)
	t.resize(cloud.Len())
	t.iteration = cfg.Iterations - iterations
	if cfg.Exposure && r.exposure.gains != nil {
		t.exposure.gains = slices.Clone(r.exposure.gains)
	}
	if cfg.RefinePoses && r.poses.state != nil {
		t.poses.state = slices.Clone(r.poses.state)
	}
	if len(r.hidden) == len(data.Train) {
		t.hide(r.hidden)
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	for done := 1; done <= iterations; done++ {
		if err := each(); err != nil {
			return nil, err
		}
		t.Pace = refitPace(done, iterations)
		if err := t.step(t.fraction()); err != nil {
			return nil, err
		}
		t.iteration++
	}
	if err := t.get(); err != nil {
		return nil, err
	}
	t.prune()
	if t.params.Len() == 0 {
		return nil, errors.New("refit: every Gaussian vanished")
	}
	left := t.params.Cloud()
	normalise(left)
	return left, nil
}

// refitPace is the factor of all rates at a step. Moments begin at zero, which training leaves as it is: the steps are up to three
// times too long at first, and shake the cloud into a place of its own. A trained one is to stay: its steps have Adam's correction of
// that (Kingma and Ba 2015, section 3), and become shorter towards the end.
func refitPace(step, of int) float64 {
	corrected := math.Sqrt(1-math.Pow(0.999, float64(step))) / (1 - math.Pow(0.9, float64(step)))
	return corrected * math.Pow(refitEnd, float64(step)/float64(of))
}

const refitEnd = 0.1 // of the pace, at the last step
