package gputest

import (
	"fmt"
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Bounds of what approximate units and another order of sums may change. A pair on the edge of 1/255 that only one side
// draws moves a pixel by at most that: the scenes are small enough to have none or few.
const (
	imageRMS      = 1e-5
	gradientApart = 1e-3
)

// compareFrame draws a cloud on a device and by plain Go, carries the same gradient back on both, and compares.
func compareFrame(t *testing.T, e *gpu.Engine, p *raster.Params, cam *raster.Camera, o gpu.Options) {
	t.Helper()
	s := upload(t, e, p)
	drawn, err := e.Forward(&s.model, cam, o)
	if err != nil {
		t.Fatal(err)
	}
	var got raster.Frame
	if err := e.Read(&got); err != nil {
		t.Fatal(err)
	}
	r := raster.NewRenderer(1, simd.Plain.Kernels())
	want := r.Forward(p, cam, raster.Options{Degree: o.Degree, Background: o.Background, Depth: o.Depth, Abs: true, Transmittance: true})
	if drawn.Visible != want.Visible || drawn.Instances != want.Instances {
		t.Errorf("%d visible and %d instances, plain Go has %d and %d", drawn.Visible, drawn.Instances, want.Visible, want.Instances)
	}
	planes := map[string][2][]float32{
		"red": {got.Color[0], want.Color[0]}, "green": {got.Color[1], want.Color[1]}, "blue": {got.Color[2], want.Color[2]},
		"transmittance": {got.Transmittance, want.Transmittance},
	}
	if o.Depth {
		planes["inverse depth"] = [2][]float32{got.InverseDepth, want.InverseDepth}
	}
	worst := 0.0
	for name, pair := range planes {
		off := rms(pair[0], pair[1])
		worst = max(worst, off)
		if !(off <= imageRMS) {
			t.Errorf("%s is off by %.2g rms", name, off)
		}
	}
	up := noise(5, cam.Width, cam.Height)
	if err := e.SetUpstream(&up); err != nil {
		t.Fatal(err)
	}
	rows, err := e.Gradients(&s.model)
	if err != nil {
		t.Fatal(err)
	}
	expected := make([]float32, len(rows))
	r.Backward(&up, func(_ int, g *raster.GroupGradient) {
		copy(expected[g.Group*p.Stride():], g.Rows)
	})
	text := ""
	for _, f := range fields {
		a, b := field(rows, p.Rows(), f.first, f.last), field(expected, p.Rows(), f.first, f.last)
		off := apart(a, b)
		text += fmt.Sprintf(" %s %.1e", f.name, off)
		if !(off <= gradientApart) {
			t.Errorf("the gradient of %s is off by %.2g of its norm", f.name, off)
		}
	}
	t.Logf("%d visible, %d instances; image rms %.1e; gradients%s", drawn.Visible, drawn.Instances, worst, text)
}

func frameAndGradientsMatchPlainGo(t *testing.T, open Open) {
	for _, c := range []struct {
		n, degree     int
		mode          splat.RenderMode
		size          float64
		width, height int
		depth         bool
		byPixels      bool // each tile is long
	}{
		{300, 3, splat.Mip, 0.05, 64, 36, false, false},
		{300, 3, splat.Mip, 0.05, 57, 31, true, false},
		{300, 3, splat.Mip, 0.05, 57, 31, true, true},
		{100, 2, splat.Classic, 0.1, 33, 17, true, false},
		{50, 1, splat.Mip, 0.3, 16, 16, false, false},
		{50, 1, splat.Mip, 0.3, 16, 16, false, true},
		{40, 0, splat.Mip, 0.1, 15, 1, false, false},
		{1, 3, splat.Mip, 0.2, 1, 1, false, false},
		{1, 3, splat.Mip, 0.2, 1, 1, false, true},
		{17, 0, splat.Classic, 0.02, 100, 50, false, false}, // most tiles are empty
	} {
		t.Run(fmt.Sprintf("%d at %dx%d", c.n, c.width, c.height), func(t *testing.T) {
			p, e := cloud(c.n, c.degree, c.mode, c.size), gpu.NewEngine(open(t))
			if c.byPixels {
				e.LongTile = 0
			}
			compareFrame(t, e, p, camera(c.width, c.height), gpu.Options{Degree: c.degree, Background: [3]float32{0.2, 0.5, 1}, Depth: c.depth})
		})
	}
}

// Lower degrees than the stored are what a training begins with.
func frameOfALowerDegree(t *testing.T, open Open) {
	compareFrame(t, gpu.NewEngine(open(t)), cloud(120, 3, splat.Mip, 0.08), camera(40, 30), gpu.Options{Degree: 1})
}

// Thousands of instances in one tile, which is long, and one that is not: several rounds of a group, sums over more than one group of the
// scans and sorts, and pixels that are full long before the last.
func thousandsOfInstancesInOneTile(t *testing.T, open Open) {
	p := cloud(5000, 0, splat.Mip, 0.02)
	for i := range p.Len() {
		for k := range 2 {
			*p.At(i, simd.RowMean+k) *= 0.3
		}
	}
	cam := camera(16, 16)
	cam.Fx, cam.Fy = 30, 30
	for _, longest := range []uint32{gpu.NewEngine(nil).LongTile, 1 << 30} {
		t.Run(fmt.Sprintf("at most %d in a short one", longest), func(t *testing.T) {
			e := gpu.NewEngine(open(t))
			e.LongTile = longest
			compareFrame(t, e, p, cam, gpu.Options{Background: [3]float32{1, 0, 0}})
		})
	}
}

// Nothing to draw: no Gaussian at all, and none in sight.
func frameOfNothing(t *testing.T, open Open) {
	behind := cloud(20, 3, splat.Mip, 0.1)
	for i := range behind.Len() {
		*behind.At(i, simd.RowMean+2) = -9
	}
	for name, p := range map[string]*raster.Params{"empty": raster.NewParams(0, 3, splat.Mip), "behind": behind} {
		t.Run(name, func(t *testing.T) {
			e := gpu.NewEngine(open(t))
			s := upload(t, e, p)
			if drawn, err := e.Forward(&s.model, camera(20, 10), gpu.Options{Background: [3]float32{0.25, 0.5, 1}}); err != nil || drawn.Visible != 0 {
				t.Fatalf("%+v, %v", drawn, err)
			}
			var f raster.Frame
			if err := e.Read(&f); err != nil {
				t.Fatal(err)
			}
			for i := range f.Color[0] {
				if f.Color[0][i] != 0.25 || f.Color[1][i] != 0.5 || f.Color[2][i] != 1 || f.Transmittance[i] != 1 {
					t.Fatalf("pixel %d is %v %v %v", i, f.Color[0][i], f.Color[1][i], f.Color[2][i])
				}
			}
			up := noise(1, 20, 10)
			if err := e.SetUpstream(&up); err != nil {
				t.Fatal(err)
			}
			if err := e.Update(&s.model, make([]float32, 59)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Garbage in some Gaussians leaves image and gradients of the others finite, and no check finds an access out of bounds.
func garbageStaysWhereItIs(t *testing.T, open Open) {
	garbage := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1e38, -1e38, 100}
	e := gpu.NewEngine(open(t))
	cam := camera(33, 20)
	up := noise(2, 33, 20)
	for k, value := range garbage {
		p := cloud(200, 3, splat.Mip, 0.1)
		for i := range p.Len() {
			if i%3 == 0 {
				*p.At(i, (i/3+11*k)%p.Rows()) = value
			}
		}
		s := upload(t, e, p)
		if _, err := e.Forward(&s.model, cam, gpu.Options{Degree: 3}); err != nil {
			t.Fatal(err)
		}
		var f raster.Frame
		if err := e.Read(&f); err != nil {
			t.Fatal(err)
		}
		if err := e.SetUpstream(&up); err != nil {
			t.Fatal(err)
		}
		rows, err := e.Gradients(&s.model)
		if err != nil {
			t.Fatal(err)
		}
		for channel := range f.Color {
			for i, v := range f.Color[channel] {
				if v-v != 0 {
					t.Fatalf("%v: pixel %d is %v", value, i, v)
				}
			}
		}
		for i, v := range rows {
			if lane := i/p.Stride()*simd.GroupLanes + i%simd.GroupLanes; v-v != 0 && lane%3 != 0 {
				t.Fatalf("%v: the gradient of Gaussian %d is %v", value, lane, v)
			}
		}
	}
}
