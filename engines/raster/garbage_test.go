package raster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

var garbage = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, 1e38, -1e38, 1e-38, 100, -100,
}

// Garbage in one Gaussian stays there: the image is finite and the gradients of its neighbours too, whatever parameter
// holds what value. Quaternions of zeros and centres behind or at the camera come with the values.
func TestGarbageDoesNotSpread(t *testing.T) {
	for _, level := range simd.Levels() {
		for _, mode := range []splat.RenderMode{splat.Classic, splat.Mip} {
			t.Run(fmt.Sprintf("%v/%v", level, mode), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(9, 9))
				cam := testCamera(rng, 48, 32)
				r := NewRenderer(2, level.Kernels())
				clean := Pack(cloudOf(randomGaussians(rng, cam, 60, 3), 3, mode))
				up, _ := randomUpstream(rng, cam)
				for row := range clean.Rows() {
					for _, value := range garbage {
						p := Pack(clean.Cloud())
						for i := 5; i < p.Len(); i += 16 {
							*p.At(i, row) = value
							*p.At(i+1, (row+1)%p.Rows()) = value
						}
						checkFinite(t, r, p, cam, up, fmt.Sprintf("row %d = %g", row, value))
					}
				}
			})
		}
	}
}

func FuzzRendererSurvives(f *testing.F) {
	f.Add(uint64(1), uint8(4), float32(math.NaN()), true)
	f.Add(uint64(2), uint8(58), float32(math.Inf(1)), false)
	f.Fuzz(func(t *testing.T, seed uint64, row uint8, value float32, mip bool) {
		rng := rand.New(rand.NewPCG(seed, 9))
		cam := testCamera(rng, 1+rng.IntN(40), 1+rng.IntN(40))
		mode := splat.Classic
		if mip {
			mode = splat.Mip
		}
		p := Pack(cloudOf(randomGaussians(rng, cam, 1+rng.IntN(40), 4*rng.Float64()), 3, mode))
		for i := range p.Len() {
			if rng.IntN(3) == 0 {
				*p.At(i, int(row)%p.Rows()) = value
			}
		}
		up, _ := randomUpstream(rng, cam)
		for _, level := range simd.Levels() {
			checkFinite(t, NewRenderer(1, level.Kernels()), p, cam, up, level.String())
		}
	})
}

func checkFinite(t *testing.T, r *Renderer, p *Params, cam *Camera, up *Upstream, what string) {
	t.Helper()
	frame := r.Forward(p, cam, Options{Degree: 3, Depth: true, Abs: true, Transmittance: true})
	for _, plane := range [][]float32{frame.Color[0], frame.Color[1], frame.Color[2], frame.InverseDepth, frame.Transmittance} {
		for i, v := range plane {
			if v-v != 0 {
				t.Fatalf("%s: pixel %d is %v", what, i, v)
			}
		}
	}
	r.Backward(up, func(_ int, g *GroupGradient) {
		for i, v := range g.Rows {
			n, lane := g.Group*simd.GroupLanes+i%simd.GroupLanes, i%simd.GroupLanes
			if v-v != 0 && n < p.Len() && isFinite(p, n) && g.Lanes>>lane&1 != 0 {
				t.Errorf("%s: gradient row %d of Gaussian %d is %v", what, i/simd.GroupLanes, n, v)
			}
		}
	})
}

// isFinite says whether a Gaussian's parameters are numbers of a size that training can produce.
func isFinite(p *Params, i int) bool {
	for row := range p.Rows() {
		if v := *p.At(i, row); !(math.Abs(float64(v)) < 50) {
			return false
		}
	}
	return true
}
