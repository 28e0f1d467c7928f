package trainer

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// A capture without points, whose first Gaussians are at random depths, ends nearer to the true depth with a prior
// than without.
func TestInverseDepthPriorHelpsWithoutPoints(t *testing.T) {
	painter := NewPainter(syntheticCloud(), &Config{Threads: 1})
	depthOf := func(p *Painter, v *View) []float32 {
		f := p.engine.renderer.Forward(p.params, &v.Levels[0].Camera, raster.Options{Depth: true})
		return append([]float32(nil), f.InverseDepth...)
	}
	off := map[bool]float64{}
	for _, prior := range []bool{false, true} {
		d := synthetic(16, 48, 40)
		d.Points = nil
		if prior {
			for _, v := range append(d.Train, d.Test...) {
				depth := depthOf(painter, v)
				depth[7] = float32(math.NaN())
				if err := d.AttachInverseDepth(v.Name, 48, 40, depth); err != nil {
					t.Fatal(err)
				}
			}
		}
		cfg := testConfig(300)
		cfg.MaxGaussians = 2000
		got := NewPainter(train(t, cfg, d).Cloud, &Config{Threads: 1})
		for _, v := range d.Test {
			want, have := depthOf(painter, v), depthOf(got, v)
			for i := range want {
				off[prior] += min(0.3, math.Abs(float64(want[i]-have[i]))) // one splat at the lens must not decide
			}
		}
	}
	t.Logf("off by %.1f with, %.1f without", off[true], off[false])
	if !(off[true] < 0.8*off[false]) {
		t.Errorf("inverse depth off by %.1f with the prior, %.1f without: want a fifth less", off[true], off[false])
	}
}

func TestAttachInverseDepthRefuses(t *testing.T) {
	d := synthetic(9, 16, 12)
	if err := d.AttachInverseDepth(d.Train[0].Name, 4, 4, make([]float32, 15)); err == nil {
		t.Error("a wrong size: want an error")
	}
	if err := d.AttachInverseDepth("nobody.png", 4, 4, make([]float32, 16)); err == nil {
		t.Error("an unknown image: want an error")
	}
}

// The gradient that depthLoss hands to the renderer is that of its loss by every drawn pixel, at the prior's own
// level, and with its pixels doubled for a full picture of odd size.
func TestDepthLossGradientByFiniteDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	run := &processor{}
	for _, size := range [][2]int{{6, 5}, {13, 11}} { // the prior has 6 x 5 pixels
		f := &raster.Frame{Width: size[0], Height: size[1]}
		prior := &Picture{Camera: raster.Camera{Width: 6, Height: 5}}
		for range 30 {
			prior.inverseDepth = append(prior.inverseDepth, rng.Float32())
		}
		prior.inverseDepth[7] = float32(math.NaN())
		mask := make([]uint8, size[0]*size[1])
		for i := range mask {
			f.InverseDepth = append(f.InverseDepth, rng.Float32())
			mask[i] = 255
		}
		mask[3] = 0
		lossAt := func() float64 { l, _ := run.depthLoss(f, prior, mask, 3*0.7); return l }
		_, g := run.depthLoss(f, prior, mask, 3*0.7)
		grad := append([]float32(nil), g...)
		still := 0
		for i := range grad {
			const h = 1e-3
			kept := f.InverseDepth[i]
			f.InverseDepth[i] = kept + h
			up := lossAt()
			f.InverseDepth[i] = kept - h
			down := lossAt()
			f.InverseDepth[i] = kept
			if want := (up - down) / (2 * h); !(math.Abs(float64(grad[i])-want) < 1e-3*0.7*3/float64(len(mask))) {
				t.Errorf("%v, pixel %d: gradient %g, finite difference %g", size, i, grad[i], want)
			}
			if grad[i] == 0 {
				still++
			}
		}
		if doubled := (size[0] / 6) * (size[1] / 5); still != 1+doubled {
			t.Errorf("%v: %d pixels without gradient, want the hidden one and the %d of the unknown one", size, still, doubled)
		}
	}
}

// Through the renderer, to every parameter of every Gaussian: the loss changes along random directions as the gradient
// says.
func TestDepthLossGradientReachesParameters(t *testing.T) {
	d := synthetic(3, 48, 40)
	painter := NewPainter(syntheticCloud(), &Config{Threads: 1})
	cam := &d.Train[0].Levels[0].Camera
	run := &processor{engine: painter.engine}
	draw := func() *raster.Frame {
		return painter.engine.renderer.Forward(painter.params, cam, raster.Options{Depth: true})
	}
	rng := rand.New(rand.NewPCG(4, 4))
	prior := &Picture{Camera: *cam}
	for i, v := range draw().InverseDepth {
		// Off by more than a step changes it, too near above and too far below: the kink of |x| is not what is tested.
		off := float32(0.1)
		if i >= cam.Width*cam.Height/2 {
			off = -0.1
		}
		prior.inverseDepth = append(prior.inverseDepth, v+off)
	}
	var up raster.Upstream
	for channel := range up.Color {
		up.Color[channel] = make([]float32, cam.Width*cam.Height)
	}
	_, up.InverseDepth = run.depthLoss(draw(), prior, nil, d.Extent)
	grad := make([]float32, len(painter.params.Data()))
	painter.engine.renderer.Backward(&up, func(_ int, g *raster.GroupGradient) {
		copy(grad[g.Group*painter.params.Stride():], g.Rows)
	})
	data := painter.params.Data()
	kept := append([]float32(nil), data...)
	for _, rows := range []struct {
		name     string
		from, to int
	}{{"means", simd.RowMean, simd.RowScale}, {"scales", simd.RowScale, simd.RowRotation}, {"rotations", simd.RowRotation, simd.RowOpacity}, {"opacities", simd.RowOpacity, simd.RowDC}} {
		direction := make([]float32, len(data))
		for i := range painter.params.Len() {
			for row := rows.from; row < rows.to; row++ {
				at := i/simd.GroupLanes*painter.params.Stride() + row*simd.GroupLanes + i%simd.GroupLanes
				// Uphill, so that the change is large beside the rounding of a sum over all pixels.
				direction[at] = float32(math.Copysign(rng.Float64(), float64(grad[at])))
			}
		}
		const h = 1e-3
		lossAt := func(step float32) float64 {
			for i := range data {
				data[i] = kept[i] + step*direction[i]
			}
			l, _ := run.depthLoss(draw(), prior, nil, d.Extent)
			return l
		}
		got := 0.0
		for i, g := range grad {
			got += float64(g) * float64(direction[i])
		}
		want := (lossAt(h) - lossAt(-h)) / (2 * h)
		copy(data, kept)
		t.Logf("%s: gradient %.5f, finite difference %.5f", rows.name, got, want)
		// A splat ends where its alpha falls below 1/255: a small step, which differences see and the gradient leaves out.
		// The reference's tests in engines/raster take the step away and compare exactly.
		if !(got > 0) || !(math.Abs(got-want) < 0.05*want) {
			t.Errorf("%s: gradient %g, finite difference %g", rows.name, got, want)
		}
	}
}

// The weight goes from 1 to 0.01, evenly in its logarithm (Kerbl et al. 2024, depth_l1_weight_init and _final).
func TestDepthWeightSchedule(t *testing.T) {
	for fraction, want := range map[float64]float64{0: 1, 0.5: 0.1, 1: 0.01} {
		if got := defaultSchedule.depthWeight(fraction); !(math.Abs(got-want) < 1e-9) {
			t.Errorf("weight %g at %g, want %g", got, fraction, want)
		}
	}
}

// Points are seeded on the true surface where there are none, not where there are enough, and not where images disagree.
func TestSeedPoints(t *testing.T) {
	// A wall at z = 5 before cameras in a row.
	d := &Dataset{Extent: 5}
	const w, h = 256, 192
	for i := range 3 {
		cam := raster.Camera{R: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, T: [3]float64{0.3 * float64(i), 0, 0},
			Fx: w, Fy: w, Cx: w / 2, Cy: h / 2, Width: w, Height: h, Near: 0.1}
		pic := Picture{Camera: cam}
		for channel := range pic.Pix {
			pic.Pix[channel] = make([]uint8, w*h)
		}
		v := newView(string(rune('a'+i)), pic)
		d.Train = append(d.Train, v)
	}
	attach := func(far float32) {
		for i, v := range d.Train {
			wall := make([]float32, w*h)
			for at := range wall {
				wall[at] = 0.2
				if far > 0 && i > 0 && at%w < w/2 {
					wall[at] = far // two of three images see through the left half
				}
			}
			if err := d.AttachInverseDepth(v.Name, w, h, wall); err != nil {
				t.Fatal(err)
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	if got := seedPoints(d, nil, 500, rng); got != nil {
		t.Errorf("%d points without a prior", len(got))
	}
	attach(0)
	all := seedPoints(d, nil, 500, rng)
	if len(all) < 250 || len(all) > 500 {
		t.Errorf("%d points of 500", len(all))
	}
	for _, p := range all {
		if !(math.Abs(p.XYZ[2]-5) < 1e-5) {
			t.Fatalf("a point at %v, the wall is at z = 5", p.XYZ)
		}
	}
	// Enough points on the right half.
	var known []Point
	for y := -1.8; y < 1.8; y += 0.05 {
		for x := 0.0; x < 2.5; x += 0.05 {
			known = append(known, Point{XYZ: [3]float64{x, y, 5}})
		}
	}
	if len(known) < fewPoints {
		t.Fatalf("%d points are few", len(known))
	}
	left, right := 0, 0
	for _, p := range seedPoints(d, known, 500, rng) {
		if p.XYZ[0] < -0.1 {
			left++
		} else if p.XYZ[0] > 0.1 && p.XYZ[0] < 2.3 {
			right++
		}
	}
	if left < 100 || right > 0 {
		t.Errorf("%d points where there are none, %d where there are enough", left, right)
	}
	attach(0.05)
	for _, p := range seedPoints(d, nil, 500, rng) {
		if p.XYZ[0] < -1 && p.XYZ[2] < 6 {
			t.Fatalf("a point at %v, through which two images see", p.XYZ)
		}
	}
}
