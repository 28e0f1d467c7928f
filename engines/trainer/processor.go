package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// processor is the machine that is always there. It works on the model itself, so that nothing is copied.
type processor struct {
	*engine
	model     *gaussians
	level     int // of the pyramid, in the last visit
	moments   moments
	most      int // Gaussians
	depthGrad []float32
	parts     []raster.Pose[float32] // of the groups
	known     []float64              // losses
}

func newProcessor(e *engine, cfg *Config, data *Dataset) *processor {
	return &processor{engine: e, level: -1, most: cfg.MaxGaussians, moments: moments{room: roomForMoments(cfg, data), kept: make([]*[3]simd.Truth, len(data.Train))}}
}

func (p *processor) put(model *gaussians) error {
	p.model = model
	return nil
}

func (p *processor) get() error { return nil }

func (p *processor) close() {}

func (p *processor) draw(cam *raster.Camera, background [3]float32) (*raster.Frame, error) {
	return p.paint(p.model.params)(cam, background)
}

func (p *processor) step(v *visit) (m measured, err error) {
	if v.level != p.level {
		p.level = v.level
		p.moments.forget()
	}
	truth := p.truth(v)
	f := p.renderer.Forward(p.model.params, &v.camera, raster.Options{Degree: v.degree, Background: v.background, Depth: v.prior != nil, Abs: true})
	if v.gains != nil {
		expose(p.renderer.Workers(), f, v.gains)
	}
	cover(f, v.picture)
	l1, ssim := p.loss.measure(f, truth, v.ssim)
	p.loss.hide(v.picture.Mask)
	loss := (1-v.ssim)*l1 + v.ssim*(1-ssim)
	up := raster.Upstream{Color: p.loss.grad}
	if v.prior != nil {
		var depth float64
		depth, up.InverseDepth = p.depthLoss(f, v.prior, v.picture.solid(), v.depth)
		loss += depth
	}
	p.known = append(p.known, loss)
	if v.gains != nil {
		m.drawn, m.shown = unexpose(p.renderer.Workers(), f, &p.loss.grad, &v.picture.Pix, v.gains)
	}
	p.update(&up, f, v)
	if v.poses {
		m.pose = p.parts
	}
	return m, nil
}

func (p *processor) losses(bool) ([]float64, error) {
	known := p.known
	p.known = nil
	return known, nil
}

func (p *processor) refine(r *refinement) (refined, error) {
	return p.model.refine(r, p.renderer.Workers()), nil
}

// update differentiates, and moves each group as soon as its gradient is there.
func (p *processor) update(up *raster.Upstream, f *raster.Frame, v *visit) {
	g := p.model
	if v.poses {
		p.clearParts(g.params.Groups())
	}
	rows := simd.GroupRows(v.degree)
	floats := rows * simd.GroupLanes
	rates := v.rates[:rows]
	adam := simd.NewAdamStep(0)
	halfW, halfH := float32(f.Width)/2, float32(f.Height)/2
	longer := float32(max(f.Width, f.Height))
	p.renderer.Backward(up, func(_ int, grad *raster.GroupGradient) {
		if v.poses {
			p.parts[grad.Group] = p.renderer.PoseGradient(grad)
		}
		p.kernels.Adam(g.params.Group(grad.Group)[:floats], g.m.Group(grad.Group)[:floats], g.v.Group(grad.Group)[:floats], grad.Rows, rates, grad.Lanes, &adam)
		for lane := range simd.GroupLanes {
			if grad.Lanes>>lane&1 == 0 {
				continue
			}
			i := grad.Group*simd.GroupLanes + lane
			// Absolute sums (AbsGS, Ye et al. 2024): pulls in opposite directions do not cancel. +0.15 dB at equal count.
			u, v := grad.AbsU[lane]*halfW, grad.AbsV[lane]*halfH
			g.stats.gradient[i] += float32(math.Sqrt(float64(u*u + v*v)))
			g.stats.views[i]++
			g.stats.extent[i] = max(g.stats.extent[i], grad.ExtentPx[lane]/longer)
		}
	})
}

// clearParts makes room for the parts of the groups; those of groups that are not seen stay zero.
func (p *processor) clearParts(groups int) {
	if cap(p.parts) < groups {
		p.parts = make([]raster.Pose[float32], groups+groups/4)
	}
	p.parts = p.parts[:groups]
	clear(p.parts)
}

// truth is the visit's picture as the loss needs it.
func (p *processor) truth(v *visit) *[3]simd.Truth {
	m := &p.moments
	if v.once {
		p.loss.truth(v.picture, &m.spare)
		return &m.spare
	}
	if m.kept[v.image] != nil {
		return m.kept[v.image]
	}
	truth := &m.spare
	room := m.room - max(0, p.renderer.Bytes()-int64(p.most)*bytesPerDrawn)
	if m.used > room {
		m.forget()
	}
	if size := int64(3 * bytesPerMoment * len(v.picture.Pix[0])); m.used+size <= room {
		m.used += size
		truth = new([3]simd.Truth)
		m.kept[v.image] = truth
	}
	p.loss.truth(v.picture, truth)
	return truth
}
