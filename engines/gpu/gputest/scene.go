// Package gputest is what every gpu.Device must pass: its contract, and the kernels on it against plain Go.
package gputest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// camera looks along z at a cloud around the origin.
func camera(width, height int) *raster.Camera {
	s, c := math.Sincos(0.3)
	return &raster.Camera{
		R: [3][3]float64{{c, 0, s}, {0, 1, 0}, {-s, 0, c}}, T: [3]float64{0.1, -0.05, 3},
		Fx: float64(width), Fy: float64(width), Cx: 0.52 * float64(width), Cy: 0.47 * float64(height), Width: width, Height: height, Near: 0.5,
	}
}

// cloud is n Gaussians of about size world units in a ball, some of them faint, opaque, flat, behind or out of sight.
func cloud(n, degree int, mode splat.RenderMode, size float64) *raster.Params {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	p := raster.NewParams(n, degree, mode)
	for i := range n {
		for k := range 3 {
			*p.At(i, simd.RowMean+k) = float32(0.6 * rng.NormFloat64())
			*p.At(i, simd.RowScale+k) = float32(math.Log(size) + 0.5*rng.NormFloat64())
		}
		for k := range 4 {
			*p.At(i, simd.RowRotation+k) = float32(rng.NormFloat64())
		}
		*p.At(i, simd.RowOpacity) = float32(2 * rng.NormFloat64())
		if i%20 == 0 {
			*p.At(i, simd.RowOpacity) = 7 // over the cap of alpha
		}
		for row := simd.RowDC; row < p.Rows(); row++ {
			*p.At(i, row) = float32(0.3 * rng.NormFloat64())
		}
		if i%9 == 8 {
			*p.At(i, simd.RowMean+2) = -4 // behind the camera
		}
	}
	return p
}

// state is a model on a device with its host's copy.
type state struct {
	params, m, v *raster.Params
	stats        gpu.Statistics
	model        gpu.Model
}

func upload(t testing.TB, e *gpu.Engine, p *raster.Params) *state {
	t.Helper()
	n := p.Len()
	s := &state{
		params: p, m: raster.NewParams(n, p.Degree, p.Mode), v: raster.NewParams(n, p.Degree, p.Mode),
		stats: gpu.Statistics{Pulls: make([]float32, n), Views: make([]uint32, n), Extents: make([]float32, n)},
	}
	if err := e.Put(&s.model, s.params, s.m, s.v, &s.stats); err != nil {
		t.Fatal(err)
	}
	return s
}

// noise is three planes of a gradient of the size that a mean over values has.
func noise(seed uint64, width, height int) (up raster.Upstream) {
	rng := rand.New(rand.NewPCG(seed, 3))
	plane := func() []float32 {
		p := make([]float32, width*height)
		for i := range p {
			p[i] = float32(rng.NormFloat64()) / float32(3*len(p))
		}
		return p
	}
	for k := range up.Color {
		up.Color[k] = plane()
	}
	up.InverseDepth = plane()
	return up
}

// rms is the root of the mean square of a difference; NaN anywhere gives NaN.
func rms(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum / float64(max(1, len(a))))
}

// apart is ‖a−b‖/‖b‖.
func apart(a, b []float32) float64 {
	square := 0.0
	for _, v := range b {
		square += float64(v) * float64(v)
	}
	return rms(a, b) / math.Sqrt(max(square/float64(max(1, len(b))), 1e-300))
}

// fields are the parameters that are compared together.
var fields = []struct {
	name        string
	first, last int
}{
	{"mean", simd.RowMean, simd.RowScale}, {"scale", simd.RowScale, simd.RowRotation}, {"rotation", simd.RowRotation, simd.RowOpacity},
	{"opacity", simd.RowOpacity, simd.RowDC}, {"DC", simd.RowDC, simd.RowRest}, {"rest", simd.RowRest, 59},
}

// field takes rows of one kind out of data in the layout of Params.
func field(data []float32, rows, first, last int) (out []float32) {
	for group := 0; group < len(data); group += rows * simd.GroupLanes {
		out = append(out, data[group+min(first, rows)*simd.GroupLanes:group+min(last, rows)*simd.GroupLanes]...)
	}
	return out
}
