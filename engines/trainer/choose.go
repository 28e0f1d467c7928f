package trainer

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
)

// DeviceTrial is what a visit to one view, at full size and from the same start, was on a device and on the processor.
type DeviceTrial struct {
	Device, Processor time.Duration // the quickest of a few
	LossApart         float64       // of the processor's loss
	GradientApart     float64       // ‖difference‖ / ‖processor's‖
}

// What approximate units and another order of sums may change in a visit.
const (
	mostLossApart     = 1e-3
	mostGradientApart = 1e-2
)

// TryDevice makes it. What the device holds is released again.
func TryDevice(cfg Config, data *Dataset, d gpu.Device, clock func() time.Duration) (trial DeviceTrial, err error) {
	cfg.RefinePoses = false
	run := newTraining(cfg, data, Hooks{Clock: clock})
	run.start()
	run.lr = make([]float32, run.params.Rows())
	v := run.visit(1)
	card := newDevice(d, &cfg, data)
	defer card.close()
	got, loss, took, err := run.try(card, &v)
	if err != nil {
		return trial, fmt.Errorf("try %s: %w", d.Name(), err)
	}
	want, wantedLoss, limit, err := run.try(run.machine, &v)
	if err != nil {
		return trial, err
	}
	off, norm := 0.0, 0.0
	for i, w := range want.Data() {
		diff := float64(got.Data()[i]) - float64(w)
		off += diff * diff
		norm += float64(w) * float64(w)
	}
	return DeviceTrial{Device: took, Processor: limit, LossApart: math.Abs(loss-wantedLoss) / wantedLoss, GradientApart: math.Sqrt(off / norm)}, nil
}

// try has a machine make a visit a few times. It returns the first moments and the loss of the first: a tenth of the gradient.
func (t *training) try(m machine, v *visit) (moments *raster.Params, loss float64, quickest time.Duration, err error) {
	model := t.gaussians.clone()
	if err := m.put(model); err != nil {
		return nil, 0, 0, err
	}
	for i := range 3 {
		start := t.hooks.Clock()
		seen, err := m.step(v)
		if err != nil {
			return nil, 0, 0, err
		}
		took := t.hooks.Clock() - start
		if i == 0 {
			if err := m.get(); err != nil {
				return nil, 0, 0, err
			}
			loss, quickest = seen.loss, took
			moments = model.m.Clone()
		}
		quickest = min(quickest, took)
	}
	return moments, loss, quickest, nil
}

// Agrees says whether the device computes what the processor does.
func (t DeviceTrial) Agrees() bool {
	return t.LossApart <= mostLossApart && t.GradientApart <= mostGradientApart
}

// clone copies what the steps change.
func (g *gaussians) clone() *gaussians {
	return &gaussians{
		params: g.params.Clone(), m: g.m.Clone(), v: g.v.Clone(),
		stats: statistics{slices.Clone(g.stats.gradient), slices.Clone(g.stats.views), slices.Clone(g.stats.extent)},
	}
}
