package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// exposures holds a gain and an offset per colour channel for each training image, applied to the render before the
// loss: C' = exp(g)·C + b. A phone changes exposure and white balance while it walks; without this, the splats learn the
// changes as fog and as view-dependent colour. Held-out images are compared without it.
//
// The gauge is fixed after every step: the mean over images of each gain and offset is taken off all of them, so that
// no common colour cast can move from the splats into the exposures.
type exposures struct {
	values, m, v []float32 // 6 for each image: three log gains, three offsets; and Adam's moments
	grad         [exposureRows]float32
}

const (
	exposureRows      = 6
	exposureRate      = 5e-3
	exposureRateFinal = 0.1 // of it, at the end
)

func newExposures(images int) exposures {
	n := images * exposureRows
	return exposures{values: make([]float32, n), m: make([]float32, n), v: make([]float32, n)}
}

// apply changes the frame's colours to what the camera of this image would have shown.
func (e *exposures) apply(workers int, f *raster.Frame, image int) {
	a := e.values[image*exposureRows:]
	raster.Each(workers, 3, func(_, channel int) {
		gain, offset := float32(math.Exp(float64(a[channel]))), a[3+channel]
		plane := f.Color[channel]
		for i, x := range plane {
			plane[i] = gain*x + offset
		}
	})
}

// backward turns ∂L by the changed colours into ∂L by the drawn ones, in place, restores the frame, and steps the
// image's exposure.
func (e *exposures) backward(workers int, f *raster.Frame, grad *[3][]float32, image int, fraction float64) {
	a := e.values[image*exposureRows:][:exposureRows]
	raster.Each(workers, 3, func(_, channel int) {
		gain, offset := float32(math.Exp(float64(a[channel]))), a[3+channel]
		inverse := 1 / gain
		plane, g := f.Color[channel], grad[channel]
		var sumGain, sumOffset float64
		for i, x := range plane {
			scaled := x - offset // gain·C
			sumGain += float64(g[i] * scaled)
			sumOffset += float64(g[i])
			plane[i] = scaled * inverse
			g[i] *= gain
		}
		e.grad[channel], e.grad[3+channel] = float32(sumGain), float32(sumOffset)
	})
	rate := exposureRate * math.Pow(exposureRateFinal, fraction)
	adam := simd.NewAdamStep(0)
	for k := range a {
		m, v := &e.m[image*exposureRows+k], &e.v[image*exposureRows+k]
		*m += (1 - adam.Beta1) * (e.grad[k] - *m)
		*v += (1 - adam.Beta2) * (e.grad[k]*e.grad[k] - *v)
		a[k] -= float32(rate) * *m / (float32(math.Sqrt(float64(*v))) + adam.Epsilon)
	}
	e.fixGauge()
}

func (e *exposures) fixGauge() {
	images := len(e.values) / exposureRows
	for k := range exposureRows {
		mean := 0.0
		for i := range images {
			mean += float64(e.values[i*exposureRows+k]) / float64(images)
		}
		for i := range images {
			e.values[i*exposureRows+k] -= float32(mean)
		}
	}
}
