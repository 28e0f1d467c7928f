package gputest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// picture is smooth with noise, and a mask that hides a corner.
func picture(width, height int) (planes [3][]uint8, mask []uint8) {
	rng := rand.New(rand.NewPCG(uint64(width), 5))
	for k := range planes {
		planes[k] = make([]uint8, width*height)
		for i := range planes[k] {
			x, y := i%width, i/width
			planes[k][i] = uint8(100 + 60*math.Sin(float64(x+3*k)/5)*math.Cos(float64(y)/7) + 20*rng.Float64())
		}
	}
	mask = make([]uint8, width*height)
	for i := range mask {
		if i%width > width/3 || i/width > height/2 {
			mask[i] = 255
		}
	}
	return planes, mask
}

// The loss and its gradient are those of simd, with mask and gain as the trainer has them.
func lossMatchesPlainGo(t *testing.T, open Open) {
	for _, c := range []struct {
		width, height int
		masked        bool
		gain          [3]float32
	}{
		{48, 33, false, [3]float32{1, 1, 1}}, {37, 20, true, [3]float32{1.2, 1, 0.9}}, {5, 3, false, [3]float32{1, 1, 1}}, {1, 1, false, [3]float32{1, 1, 1}},
	} {
		t.Run(fmt.Sprintf("%dx%d", c.width, c.height), func(t *testing.T) {
			e := gpu.NewEngine(open(t))
			s := upload(t, e, cloud(60, 0, splat.Mip, 0.2))
			if _, err := e.Forward(&s.model, camera(c.width, c.height), gpu.Options{Background: [3]float32{0.4, 0.4, 0.3}}); err != nil {
				t.Fatal(err)
			}
			planes, mask := picture(c.width, c.height)
			if !c.masked {
				mask = nil
			}
			var img gpu.Image
			if err := e.Upload(&img, &planes, mask, nil, c.width, c.height); err != nil {
				t.Fatal(err)
			}
			const lambda = 0.2
			if err := e.Compare(&img, c.gain, lambda); err != nil {
				t.Fatal(err)
			}
			losses := lossesOfOne(t, e)
			got, err := e.Upstream()
			if err != nil {
				t.Fatal(err)
			}
			var f raster.Frame
			if err := e.Read(&f); err != nil {
				t.Fatal(err)
			}
			want, l1, ssim, drawn := plainLoss(t, &f, &planes, mask, c.gain, lambda)
			off := 0.0
			for channel := range got {
				off = max(off, apart(got[channel], want[channel]))
				if !(math.Abs(losses.Drawn[channel]-drawn[channel]) <= 1e-5*drawn[channel]) {
					t.Errorf("channel %d: the drawing sums to %v, want %v", channel, losses.Drawn[channel], drawn[channel])
				}
			}
			n := float64(3 * c.width * c.height)
			if !(off <= gradientApart) || !(math.Abs(losses.L1-l1) <= 1e-5*n) || !(math.Abs(losses.SSIM-ssim) <= 2e-4*n) {
				t.Errorf("gradient off by %.2g of its norm, L1 %v and SSIM %v, want %v and %v", off, losses.L1/n, losses.SSIM/n, l1/n, ssim/n)
			}
			t.Logf("gradient off by %.1e of its norm, L1 by %.1e, SSIM by %.1e", off, math.Abs(losses.L1-l1)/n, math.Abs(losses.SSIM-ssim)/n)
		})
	}
}

// lossesOfOne are those of the only comparison since the last call.
func lossesOfOne(t *testing.T, e *gpu.Engine) gpu.Losses {
	t.Helper()
	list, err := e.Losses()
	if err != nil || len(list) != 1 {
		t.Fatalf("losses of %d comparisons, want one: %v", len(list), err)
	}
	return list[0]
}

// The losses of many comparisons wait until they are read, in their order, with and without depth; one more than there is room for is an
// error.
func lossesWaitToBeRead(t *testing.T, open Open) {
	e := gpu.NewEngine(open(t))
	var want []gpu.Losses
	for _, each := range []bool{true, false} { // reads after each, or once
		it, err := newIteration(e, 5, 6, 5, 0.5, gpu.Options{Depth: true})
		if err != nil {
			t.Fatal(err)
		}
		for row := range it.rates {
			it.rates[row] = 0.01
		}
		for k := range gpu.MostLosses {
			it.options.Depth = k%3 == 0
			if _, err := it.run(); err != nil {
				t.Fatal(err)
			}
			if each {
				want = append(want, lossesOfOne(t, e))
			}
		}
		if each {
			continue
		}
		if _, err := it.run(); err == nil {
			t.Error("one comparison too many is no error")
		}
		got, err := e.Losses()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v\n%+v, read one by one they are\n%+v", err, got, want)
		}
	}
	if want[0] == want[3] || want[0].Depth == 0 || want[1].Depth != 0 {
		t.Errorf("%+v: the case shows nothing", want)
	}
}

// plainLoss is what the trainer computes on the processor.
func plainLoss(t *testing.T, f *raster.Frame, planes *[3][]uint8, mask []uint8, gain [3]float32, lambda float64) (grad [3][]float32, l1, ssim float64, drawn [3]float64) {
	t.Helper()
	k := simd.Plain.Kernels()
	values := float64(3 * f.Width * f.Height)
	for channel := range grad {
		x := make([]float32, f.Width*f.Height)
		for i, v := range f.Color[channel] {
			x[i] = v * gain[channel]
			if mask != nil && mask[i] < 128 {
				x[i] = float32(planes[channel][i]) / 255
			}
			drawn[channel] += float64(x[i])
		}
		truth, err := k.NewTruth(planes[channel], f.Width, f.Height)
		if err != nil {
			t.Fatal(err)
		}
		grad[channel] = make([]float32, len(x))
		a, b := k.Rows(simd.NewLoss(f.Width), x, truth, 0, f.Height, simd.LossWeights{L1: float32((1 - lambda) / values), SSIM: float32(lambda / values)}, grad[channel])
		l1, ssim = l1+a, ssim+b
		for i := range grad[channel] {
			grad[channel][i] *= gain[channel]
			if mask != nil && mask[i] < 128 {
				grad[channel][i] = 0
			}
		}
	}
	return grad, l1, ssim, drawn
}

// The loss of inverse depth: its sign where both are known, nothing where the prior or the mask says nothing, priors of
// the frame's size and of half of it.
func depthLossHasTheSignOfTheDifference(t *testing.T, open Open) {
	const w, h, each = 21, 13, 0.125
	e := gpu.NewEngine(open(t))
	s := upload(t, e, cloud(60, 0, splat.Mip, 0.2))
	planes, mask := picture(w, h)
	var img gpu.Image
	if err := e.Upload(&img, &planes, mask, nil, w, h); err != nil {
		t.Fatal(err)
	}
	for _, halved := range []int{0, 1} {
		pw, ph := w>>halved, h>>halved
		values := make([]float32, pw*ph)
		for i := range values {
			values[i] = 0.3 * float32(i%3)
			if i%5 == 0 {
				values[i] = float32(math.NaN())
			}
		}
		var prior gpu.Prior
		if err := e.UploadPrior(&prior, values, pw, ph); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Forward(&s.model, camera(w, h), gpu.Options{Depth: true}); err != nil {
			t.Fatal(err)
		}
		if err := e.Compare(&img, [3]float32{1, 1, 1}, 0.2); err != nil {
			t.Fatal(err)
		}
		if err := e.CompareDepth(&prior, &img, each); err != nil {
			t.Fatal(err)
		}
		losses := lossesOfOne(t, e)
		var f raster.Frame
		if err := e.Read(&f); err != nil {
			t.Fatal(err)
		}
		got, err := e.UpstreamDepth()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, d := range f.InverseDepth {
			p := values[min(i/w>>halved, ph-1)*pw+min(i%w>>halved, pw-1)]
			want := float32(0)
			switch {
			case mask[i] < 128 || p != p:
			case d > p:
				want = each
				sum += float64(d - p)
			case d < p:
				want = -each
				sum += float64(p - d)
			}
			if got[i] != want {
				t.Fatalf("halved %d: pixel %d has gradient %v, want %v", halved, i, got[i], want)
			}
		}
		if !(math.Abs(losses.Depth-sum) <= 1e-5*sum) {
			t.Errorf("halved %d: the sum is %v, want %v", halved, losses.Depth, sum)
		}
	}
}
