package trainer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// chain is a walk along a wall: every image shares points with its neighbours only. It was taken with the given gains;
// a part of the looks is of something else.
func chain(gains []float64, wrong float64, seed uint64) (looks []look, points int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	const perImage, reach = 40, 3
	for image := range gains {
		for range perImage {
			own := math.Log(20 + 200*rng.Float64())
			for other := image; other < min(len(gains), image+reach); other++ {
				at := own + gains[other] + 0.03*rng.NormFloat64()
				if rng.Float64() < wrong {
					at = math.Log(20 + 200*rng.Float64())
				}
				looks = append(looks, look{int32(other), int32(points), at, 1})
			}
			points++
		}
	}
	return looks, points
}

func TestMatchedPointsTellTheGains(t *testing.T) {
	gains := make([]float64, 60)
	for i := range gains { // a cloud passes, and every third image is darker
		gains[i] = 0.4*math.Sin(float64(i)/8) - 0.3*float64(i%3/2)
	}
	mean := 0.0
	for _, g := range gains {
		mean += g / float64(len(gains))
	}
	for seed := range uint64(3) {
		for _, wrong := range []float64{0, 0.2} {
			looks, points := chain(gains, wrong, seed)
			got := solveGains(looks, len(gains), points)
			for i := range gains {
				if !(math.Abs(got[i]-(gains[i]-mean)) < 0.1) {
					t.Errorf("seed %d, %.0f %% wrong: image %d has a gain of %.3f, want %.3f", seed, 100*wrong, i, got[i], gains[i]-mean)
				}
			}
		}
	}
}

// An image that shares nothing keeps its exposure, and one of whose points nothing is known may go its own way.
func TestGainsWithoutMatches(t *testing.T) {
	looks, points := chain([]float64{0.3, -0.3, 0.3}, 0, 1)
	if got := solveGains(looks, 4, points); got[3] != 0 || !(math.Abs(got[0]-0.2) < 0.1) {
		t.Errorf("gains %.3f, want 0.2, -0.4, 0.2 and 0", got)
	}
	d := synthetic(9, 32, 24)
	d.Train[2].Matched = nil
	e := newExposures(d)
	if len(e.gains) != 3*len(d.Train) || e.slack[3*2] != exposureWide || !(e.slack[3*1] > exposureSlack && e.slack[3*1] < exposureWide/3) {
		t.Errorf("%d gains of %d images, slacks %v: want %v for the third image and little for the second", len(e.gains), len(d.Train), e.slack, exposureWide)
	}
}

// What is clipped, dark, masked or at the border says nothing about brightness.
func TestPatchLeavesOutWhatIsNotMeasured(t *testing.T) {
	const w, h = 8, 6
	draw := func(value uint8) *Picture {
		p := &Picture{Camera: ringCamera(0, w, h)}
		for c := range p.Pix {
			p.Pix[c] = make([]uint8, w*h)
			for i := range p.Pix[c] {
				p.Pix[c][i] = value
			}
		}
		return p
	}
	if mean, ok := draw(100).patch(1, 3.5, 2.5, nil); !ok || mean != 100 {
		t.Errorf("an even patch of 100 is %v, %v", mean, ok)
	}
	clipped := draw(100)
	clipped.Pix[1][2*w+3] = 255
	masked := draw(100)
	masked.Mask = make([]uint8, w*h)
	for name, test := range map[string]struct {
		pic  *Picture
		x, y float64
	}{
		"clipped": {clipped, 4.5, 3.5}, "dark": {draw(2), 3.5, 2.5}, "masked": {masked, 3.5, 2.5},
		"left": {draw(100), 0.5, 2.5}, "below": {draw(100), 3.5, h - 0.5}, "nowhere": {draw(100), math.NaN(), 2},
	} {
		if mean, ok := test.pic.patch(1, test.x, test.y, test.pic.solid()); ok {
			t.Errorf("%s: a brightness of %v", name, mean)
		}
	}
}
