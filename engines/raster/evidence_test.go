package raster

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Evidence is compared with its definition: each Gaussian is taken away, the rest is drawn by the reference, and the squared
// errors are compared. Where a Gaussian hid others so well that its pixel stopped at T = 1e-4, they show without it; and 0.99 is
// the most that one may hide. Both are small beside what is measured: 2 % of the largest.
func TestEvidenceIsTheErrorWithoutTheGaussian(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	cam := testCamera(rng, 40, 30)
	const degree, n = 1, 60
	gs := randomGaussians(rng, cam, n, 3)
	r := NewRenderer(2, simd.Best().Kernels())
	opt := Options{Degree: degree, Background: [3]float32{0.2, 0.1, 0.4}}
	frame := r.Forward(Pack(cloudOf(gs, degree, splat.Mip)), cam, opt)

	pixels := cam.Width * cam.Height
	mask := make([]uint8, pixels)
	var image [3][]float32
	for channel := range image {
		image[channel] = make([]float32, pixels)
	}
	for i := range pixels {
		mask[i] = uint8(255 * rng.IntN(2))
		for channel := range image {
			image[channel][i] = frame.Color[channel][i] + float32(0.2*rng.NormFloat64())
		}
	}
	got := make([]Evidence, n)
	r.Evidence(&image, mask, got)

	set := defaultSettings[float64](splat.Mip, degree)
	set.background = [3]float64{0.2, 0.1, 0.4}
	whole, _ := referenceForward(gs, newView[float64](cam), set)
	want := make([]Evidence, n)
	var most Evidence
	for i := range gs {
		without := append(append([]Gaussian[float64]{}, gs[:i]...), gs[i+1:]...)
		rest, _ := referenceForward(without, newView[float64](cam), set)
		for at := range pixels {
			for channel := range 3 {
				if mask[at] < 128 {
					continue
				}
				truth := float64(image[channel][at])
				with, left := whole.color[3*at+channel], rest.color[3*at+channel]
				want[i].Effect += (left - with) * (left - with)
				want[i].Gain += (left-truth)*(left-truth) - (with-truth)*(with-truth)
			}
		}
		most.Effect, most.Gain = max(most.Effect, want[i].Effect), max(most.Gain, math.Abs(want[i].Gain))
	}
	if !(most.Effect > 1) {
		t.Fatalf("no Gaussian matters: %+v", most)
	}
	filled := 0.0
	for i, e := range got {
		if !(math.Abs(e.Effect-want[i].Effect) <= 0.02*most.Effect) || !(math.Abs(e.Gain-want[i].Gain) <= 0.02*most.Gain) {
			t.Errorf("Gaussian %d: %+v, without it %+v", i, e, want[i])
		}
		filled += e.Weight
	}
	for at := range pixels {
		if mask[at] >= 128 {
			filled -= whole.alpha[at]
		}
	}
	if !(math.Abs(filled) < 0.1) {
		t.Errorf("the weights differ from the image's opacity by %g pixels", filled)
	}
}
