package trainer

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
)

// DeviceTrial is what a visit to one view, at full size and from the same start, was on a device and on the processor.
type DeviceTrial struct {
	Device, Processor time.Duration // the quickest of a few
	LossApart         float64       // of the processor's loss
	GradientApart     float64       // ‖difference‖ / ‖processor's‖
	PoseApart         float64       // the same of the gradient by the camera, with Config.RefinePoses
}

// What approximate units and another order of sums may change in a visit.
const (
	mostLossApart     = 1e-3
	mostGradientApart = 1e-2
)

// TryDevice makes it. What the device holds is released again.
func TryDevice(cfg Config, data *Dataset, d gpu.Device, clock func() time.Duration) (trial DeviceTrial, err error) {
	run := newTraining(cfg, data, Hooks{Clock: clock})
	run.start()
	run.lr = make([]float32, run.params.Rows())
	v := run.visit(1)
	card := newDevice(d, &cfg, data)
	defer card.close()
	got, err := run.try(card, &v)
	if err != nil {
		return trial, fmt.Errorf("try %s: %w", d.Name(), err)
	}
	want, err := run.try(run.machine, &v)
	if err != nil {
		return trial, err
	}
	trial = DeviceTrial{Device: got.quickest, Processor: want.quickest, LossApart: math.Abs(got.loss-want.loss) / want.loss}
	trial.GradientApart = normApart(got.moments, want.moments)
	if cfg.RefinePoses {
		trial.PoseApart = normApart(got.pose[:], want.pose[:])
	}
	return trial, nil
}

// normApart is ‖got − want‖ / ‖want‖.
func normApart[F float32 | float64](got, want []F) float64 {
	off, norm := 0.0, 0.0
	for i, w := range want {
		diff := float64(got[i]) - float64(w)
		off += diff * diff
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(off / norm)
}

// tried is what a machine made of a visit.
type tried struct {
	moments  []float32 // the first, of every Gaussian: a tenth of the gradient
	loss     float64
	pose     [6]float64 // gradient by the camera
	quickest time.Duration
}

// try has a machine make a visit a few times. It returns what the first found, and the time of the quickest.
func (t *training) try(m machine, v *visit) (first tried, err error) {
	model := t.gaussians.clone()
	if err := m.put(model); err != nil {
		return first, err
	}
	for i := range 3 {
		start := t.hooks.Clock()
		seen, err := m.step(v)
		if err != nil {
			return first, err
		}
		losses, err := m.losses(true)
		if err != nil {
			return first, err
		}
		took := t.hooks.Clock() - start
		if i == 0 {
			first = tried{loss: losses[0], pose: poseGradient(seen.pose, t.data.Extent), quickest: took}
			if err := m.get(); err != nil {
				return first, err
			}
			first.moments = slices.Clone(model.m.Data())
		}
		first.quickest = min(first.quickest, took)
	}
	return first, nil
}

// Agrees says whether the device computes what the processor does.
func (t DeviceTrial) Agrees() bool {
	return t.LossApart <= mostLossApart && t.GradientApart <= mostGradientApart && t.PoseApart <= mostGradientApart
}

// clone copies what the steps change.
func (g *gaussians) clone() *gaussians {
	return &gaussians{
		params: g.params.Clone(), m: g.m.Clone(), v: g.v.Clone(),
		stats: statistics{slices.Clone(g.stats.gradient), slices.Clone(g.stats.views), slices.Clone(g.stats.extent)},
	}
}
