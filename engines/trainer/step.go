package trainer

import (
	"fmt"
	"math"
)

// step is one iteration: decide about a visit to one view, have the machine make it, and learn from what it found out.
func (t *training) step(fraction float64) error {
	v := t.visit(fraction)
	m, err := t.machine.step(&v)
	if err != nil {
		return fmt.Errorf("train: iteration %d: %w", t.iteration, err)
	}
	if t.cfg.Exposure {
		t.exposure.move(&m, v.image, fraction)
	}
	if t.cfg.RefinePoses {
		t.poses.step(t.data, m.pose, v.image, t.PoseRate*math.Pow(t.PoseFinal, fraction))
	}
	return t.hear(false)
}

// hear follows the losses: all of them, or those that the machine knows already.
func (t *training) hear(all bool) error {
	losses, err := t.machine.losses(all)
	if err != nil {
		return fmt.Errorf("train: iteration %d: %w", t.iteration, err)
	}
	for _, loss := range losses {
		if t.lossMean == 0 { // the first
			t.lossMean = loss
		}
		t.lossMean += (loss - t.lossMean) * min(1, 1/float64(len(t.data.Train)))
	}
	return nil
}

// visit decides about the next iteration.
func (t *training) visit(fraction float64) visit {
	t.level = t.schedule.level(fraction, t.iteration/len(t.data.Train))
	image := t.nextView()
	v := visit{
		image: image, level: t.level, next: t.order[t.cursor:], prior: t.data.Train[image].prior(t.level), degree: t.degree(t.cfg.Degree, fraction),
		rates: t.lr, ssim: t.SSIM, depth: t.depthWeight(fraction) * t.data.Extent, poses: t.cfg.RefinePoses,
	}
	v.background, v.picture, v.once = t.scenery(image)
	v.camera = v.picture.Camera
	if t.cfg.RefinePoses {
		v.camera = t.poses.apply(&v.picture.Camera, image, t.data.Extent)
	}
	if t.cfg.Exposure {
		gains := t.exposure.factors(image)
		v.gains = &gains
	}
	t.rates(t.lr, fraction, t.data.Extent)
	return v
}

// nextView draws the training views without replacement, in a new order every epoch.
func (t *training) nextView() int {
	if t.cursor >= len(t.order) {
		t.cursor = 0
		if t.order == nil {
			for i := range t.data.Train {
				t.order = append(t.order, i)
			}
		}
		t.rng.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	}
	t.cursor++
	return t.order[t.cursor-1]
}
