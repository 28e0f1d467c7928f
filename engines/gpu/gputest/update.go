package gputest

import (
	"math"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Three updates end where the processor's do: parameters, moments and statistics; what is not seen stays.
func updatesMatchAdam(t *testing.T, open Open) {
	cam := camera(48, 30)
	p := cloud(200, 3, splat.Mip, 0.08)
	lr := make([]float32, p.Rows())
	for row := range lr {
		lr[row] = 1e-3 * float32(1+row%7)
	}
	e := gpu.NewEngine(open(t))
	device := upload(t, e, raster.Pack(p.Cloud()))
	host := &state{params: raster.Pack(p.Cloud()), m: raster.NewParams(p.Len(), 3, p.Mode), v: raster.NewParams(p.Len(), 3, p.Mode)}
	pulls, views, extents := make([]float32, p.Len()), make([]uint32, p.Len()), make([]float32, p.Len())
	k := simd.Plain.Kernels()
	r := raster.NewRenderer(1, k)
	adam := simd.NewAdamStep(0)
	for round := range uint64(3) {
		up := noise(round, cam.Width, cam.Height)
		if _, err := e.Forward(&device.model, cam, gpu.Options{Degree: 3}); err != nil {
			t.Fatal(err)
		}
		if err := e.SetUpstream(&up); err != nil {
			t.Fatal(err)
		}
		if err := e.Update(&device.model, lr); err != nil {
			t.Fatal(err)
		}
		r.Forward(host.params, cam, raster.Options{Degree: 3, Abs: true})
		r.Backward(&up, func(_ int, g *raster.GroupGradient) {
			k.Adam(host.params.Group(g.Group), host.m.Group(g.Group), host.v.Group(g.Group), g.Rows, lr, g.Lanes, &adam)
			for lane := range simd.GroupLanes {
				if i := g.Group*simd.GroupLanes + lane; g.Lanes>>lane&1 != 0 {
					pulls[i] += float32(math.Hypot(float64(g.AbsU[lane]*24), float64(g.AbsV[lane]*15)))
					views[i]++
					extents[i] = max(extents[i], g.ExtentPx[lane]/48)
				}
			}
		})
	}
	if err := e.Get(&device.model, device.params, device.m, device.v, &device.stats); err != nil {
		t.Fatal(err)
	}
	steps := func(s *raster.Params) []float32 { // from the start
		d := slices.Clone(s.Data())
		for i, v := range p.Data() {
			d[i] -= v
		}
		return d
	}
	for name, pair := range map[string][2][]float32{
		"first moment":  {device.m.Data(), host.m.Data()},
		"second moment": {device.v.Data(), host.v.Data()},
		"pulls":         {device.stats.Pulls, pulls},
		"extents":       {device.stats.Extents, extents},
	} {
		if off := apart(pair[0], pair[1]); !(off <= 2*gradientApart) {
			t.Errorf("%s is off by %.2g of its norm", name, off)
		}
	}
	// All together the errors of single gradients are gone: what is left would be another rate of the moments.
	for name, pair := range map[string][2][]float32{"first": {device.m.Data(), host.m.Data()}, "second": {device.v.Data(), host.v.Data()}} {
		if ratio := size(pair[0]) / size(pair[1]); !(math.Abs(ratio-1) <= 5e-6) {
			t.Errorf("the %s moments are %.1e larger together", name, ratio-1)
		}
	}
	// Adam divides by the gradient's size: a gradient near 0 may step either way.
	if off := apart(steps(device.params), steps(host.params)); !(off <= 0.02) {
		t.Errorf("the steps are off by %.2g of their norm", off)
	}
	if !slices.Equal(device.stats.Views, views) {
		t.Error("the counts of views differ")
	}
	for i, n := range views {
		for row := range p.Rows() {
			if n == 0 && *device.params.At(i, row) != *p.At(i, row) {
				t.Fatalf("Gaussian %d was not seen, and its row %d moved", i, row)
			}
		}
	}
}

// size is the sum of absolute values.
func size(values []float32) (sum float64) {
	for _, v := range values {
		sum += math.Abs(float64(v))
	}
	return sum
}

// The same launches give the same bits.
func updatesRepeat(t *testing.T, open Open) {
	cam := camera(40, 24)
	var first []float32
	for range 2 {
		e := gpu.NewEngine(open(t))
		s := upload(t, e, cloud(150, 1, splat.Mip, 0.1))
		planes, mask := picture(40, 24)
		var img gpu.Image
		if err := e.Upload(&img, &planes, mask, nil, 40, 24); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := e.Forward(&s.model, cam, gpu.Options{Degree: 1}); err != nil {
				t.Fatal(err)
			}
			if err := e.Compare(&img, [3]float32{1, 1, 1}, 0.2); err != nil {
				t.Fatal(err)
			}
			if err := e.Update(&s.model, slices.Repeat([]float32{1e-2}, 59)); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Get(&s.model, s.params, s.m, s.v, &s.stats); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = s.params.Data()
		} else if !slices.Equal(first, s.params.Data()) {
			t.Error("a second run of the same launches ends with other parameters")
		}
	}
}
