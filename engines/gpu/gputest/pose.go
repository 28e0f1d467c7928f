package gputest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// The gradient by the camera is the sum of those of raster's groups, and the moments are those of an update without it.
func poseGradientsMatchPlainGo(t *testing.T, open Open) {
	for _, c := range []struct {
		n, degree     int
		mode          splat.RenderMode
		size          float64
		width, height int
		depth         bool
	}{
		{700, 3, splat.Mip, 0.05, 57, 31, true}, // three groups of the kernel
		{100, 2, splat.Classic, 0.1, 33, 17, false},
		{50, 1, splat.Mip, 0.3, 16, 16, true},
		{17, 0, splat.Classic, 0.1, 40, 30, false},
		{1, 3, splat.Mip, 0.2, 9, 7, false},
		{0, 1, splat.Mip, 0.2, 9, 7, false},
	} {
		t.Run(fmt.Sprintf("%d at %dx%d", c.n, c.width, c.height), func(t *testing.T) {
			p, cam, up := cloud(c.n, c.degree, c.mode, c.size), camera(c.width, c.height), noise(8, c.width, c.height)
			r := raster.NewRenderer(1, simd.Plain.Kernels())
			r.Forward(p, cam, raster.Options{Degree: c.degree, Depth: c.depth, Abs: true})
			var wantTurn, wantShift [3]float64
			r.Backward(&up, func(_ int, g *raster.GroupGradient) {
				part := r.PoseGradient(g)
				for k := range 3 {
					wantTurn[k] += float64(part.Omega[k])
					wantShift[k] += float64(part.Tau[k])
				}
			})
			var moments [2][]float32
			var got raster.Pose[float32]
			for k, pose := range []bool{false, true} {
				e := gpu.NewEngine(open(t))
				s := upload(t, e, raster.Pack(p.Cloud()))
				if _, err := e.Forward(&s.model, cam, gpu.Options{Degree: c.degree, Depth: c.depth, Pose: pose}); err != nil {
					t.Fatal(err)
				}
				if err := e.SetUpstream(&up); err != nil {
					t.Fatal(err)
				}
				if err := e.Update(&s.model, slices.Repeat([]float32{1e-3}, p.Rows())); err != nil {
					t.Fatal(err)
				}
				if pose {
					var err error
					if got, err = e.PoseGradient(); err != nil {
						t.Fatal(err)
					}
				}
				if err := e.Get(&s.model, s.params, s.m, s.v, &s.stats); err != nil {
					t.Fatal(err)
				}
				moments[k] = slices.Concat(s.m.Data(), s.v.Data())
			}
			if off := apart(moments[1], moments[0]); !(off <= 1e-5) {
				t.Errorf("with the gradient by the camera the moments are off by %.2g of their norm", off)
			}
			turn, shift := poseApart(got.Omega, wantTurn), poseApart(got.Tau, wantShift)
			t.Logf("the turn is off by %.1e of its norm, the shift by %.1e", turn, shift)
			if !(turn <= gradientApart) || !(shift <= gradientApart) {
				t.Errorf("gradient %+v, want turn %v and shift %v", got, wantTurn, wantShift)
			}
			if c.n > 0 && (wantTurn == [3]float64{} || wantShift == [3]float64{}) {
				t.Error("nothing moves: the case shows nothing")
			}
		})
	}
}

func poseApart(got [3]float32, want [3]float64) float64 {
	return apart(got[:], []float32{float32(want[0]), float32(want[1]), float32(want[2])})
}
