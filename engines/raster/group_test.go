package raster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// group16 is 16 Gaussians in the kernels' layout and as the reference takes them.
func group16(gs []Gaussian[float64], degree int) (rows []float32, low []Gaussian[float32]) {
	rows = make([]float32, simd.GroupRows(degree)*simd.GroupLanes)
	for i := range gs {
		g := narrow(&gs[i])
		low = append(low, g)
		g.store(rows, i, degree)
	}
	return rows, low
}

// The kernels that project 16 Gaussians at a time are compared with the reference in float64, and may be off by a small
// multiple of what the reference in float32 is off by (rounding in another order), or by 1e-4 of the value: their
// exponential and logarithm are good to 2e-7.
func TestGroupKernelsMatchReference(t *testing.T) {
	for _, level := range simd.Levels() {
		k := level.Kernels()
		if k.ProjectGroup == nil {
			continue
		}
		for _, mode := range []splat.RenderMode{splat.Classic, splat.Mip} {
			for degree := range 4 {
				t.Run(fmt.Sprintf("%v/%v/%d", level, mode, degree), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(uint64(degree), 11))
					for range 60 {
						cam := testCamera(rng, 320, 180)
						gs := randomGaussians(rng, cam, simd.GroupLanes, math.Exp(rng.NormFloat64()))
						spoil(rng, gs, cam)
						compareGroup(t, rng, k, cam, gs, mode, degree)
					}
				})
			}
		}
	}
}

// spoil makes some of the Gaussians invisible in all the ways there are.
func spoil(rng *rand.Rand, gs []Gaussian[float64], cam *Camera) {
	for i := range gs {
		g := &gs[i]
		switch rng.IntN(24) {
		case 0: // behind the camera
			c := cam.Center()
			for k := range g.Mean {
				g.Mean[k] = 2*c[k] - g.Mean[k]
			}
		case 1: // at the camera
			g.Mean = cam.Center()
		case 2:
			g.Quat = [4]float64{}
		case 3:
			g.Opacity = -30
		case 4:
			g.Mean[rng.IntN(3)] = math.NaN()
		case 5:
			g.LogScale[rng.IntN(3)] = 100
		case 6: // a flat disc
			g.LogScale[rng.IntN(3)] = -40
		case 7: // a needle
			g.LogScale[0] += 4
			g.LogScale[1] -= 4
			g.LogScale[2] -= 4
		case 8:
			g.Opacity = 30
		case 9:
			*g = Gaussian[float64]{} // an unused lane
		case 10:
			g.Opacity = math.Inf(-1)
		case 11:
			g.SH[0] = [3]float64{-3, -3, 1} // clamped colours
		case 12:
			g.Quat[2] = math.Inf(1)
		case 13:
			g.LogScale[rng.IntN(3)] = math.NaN()
		case 14:
			g.Opacity = math.NaN()
		}
	}
}

func compareGroup(t *testing.T, rng *rand.Rand, k *simd.Kernels, cam *Camera, gs []Gaussian[float64], mode splat.RenderMode, degree int) {
	t.Helper()
	rows, low := group16(gs, degree)
	view64, view32 := newView[float64](cam), newView[float32](cam)
	records := make([]simd.Splat, simd.GroupLanes+1)
	visible := k.ProjectGroup(groupView(view32, mode), rows, degree, 1000, records)
	if (records[simd.GroupLanes] != simd.Splat{}) {
		t.Fatal("wrote outside the records")
	}

	close := func(what string, lane int, got, low, want, scale float64) {
		t.Helper()
		if tol := 8*math.Abs(low-want) + 1e-4*scale; !(math.Abs(got-want) <= tol) {
			t.Fatalf("lane %d %s: %v, the reference has %v, in float32 %v; %+v", lane, what, got, want, low, gs[lane])
		}
	}
	var grads []simd.Grad
	slots, counts := make([]uint32, simd.GroupLanes), make([]uint32, simd.GroupLanes)
	var pr64 [simd.GroupLanes]projected[float64]
	var pr32 [simd.GroupLanes]projected[float32]
	var sums [simd.GroupLanes]simd.Grad
	for lane := range simd.GroupLanes {
		wide := widen(&low[lane]) // what the kernels were given
		var ok, okLow bool
		pr64[lane], ok = project(&wide, view64, mode, degree, MinAlpha)
		pr32[lane], okLow = project(&low[lane], view32, mode, degree, float32(MinAlpha))
		got := visible>>lane&1 != 0
		if ok != okLow {
			visible &^= 1 << lane // on the line
			continue
		}
		if got != ok {
			t.Fatalf("lane %d visible: %v, the reference says %v of %+v", lane, got, ok, low[lane])
		}
		if !ok {
			continue
		}
		s, p, q := &records[lane], &pr64[lane], &pr32[lane]
		want := simd.MakeSplat(float32(p.u), float32(p.v), float32(p.conicA), float32(p.conicB), float32(p.conicC), float32(p.opacity), [3]float32{}, float32(p.z))
		lowRec := simd.MakeSplat(q.u, q.v, q.conicA, q.conicB, q.conicC, q.opacity, [3]float32{}, q.z)
		if s.ID != uint32(1000+lane) {
			t.Fatalf("lane %d ID %d", lane, s.ID)
		}
		conic := math.Abs(float64(want.A)) + math.Abs(float64(want.C))
		for _, f := range []struct {
			what           string
			got, low, want float32
			scale          float64
		}{
			{"u", s.U, lowRec.U, want.U, 10}, {"v", s.V, lowRec.V, want.V, 10}, {"z", s.Z, lowRec.Z, want.Z, p.z}, {"1/z", s.InvZ, lowRec.InvZ, want.InvZ, 1 / p.z},
			{"A", s.A, lowRec.A, want.A, conic}, {"B", s.B, lowRec.B, want.B, conic}, {"C", s.C, lowRec.C, want.C, conic}, {"L", s.L, lowRec.L, want.L, 1},
			{"extent x", s.ExtentX, q.extentX, float32(p.extentX), p.extentX}, {"extent y", s.ExtentY, q.extentY, float32(p.extentY), p.extentY},
			{"slope x", s.SlopeX, lowRec.SlopeX, want.SlopeX, 10 + 10*math.Abs(float64(want.SlopeX))}, {"slope y", s.SlopeY, lowRec.SlopeY, want.SlopeY, 10 + 10*math.Abs(float64(want.SlopeY))},
			{"red", s.Red, q.color[0], float32(p.color[0]), 1}, {"green", s.Green, q.color[1], float32(p.color[1]), 1}, {"blue", s.Blue, q.color[2], float32(p.color[2]), 1},
		} {
			close(f.what, lane, float64(f.got), float64(f.low), float64(f.want), f.scale)
		}
		slots[lane], counts[lane] = uint32(len(grads)), uint32(rng.IntN(4))
		for range counts[lane] {
			n := func() float32 { return float32(rng.NormFloat64()) }
			g := simd.Grad{H: n(), HX: n(), HY: n(), HXX: n(), HXY: n(), HYY: n(), R: n(), G: n(), B: n(), InvZ: n(), AbsU: n(), AbsV: n()}
			grads = append(grads, g)
		}
		sums[lane] = sumOf(grads[slots[lane]:])
	}

	const guard = 77
	out := make([]float32, len(rows)+1)
	for i := range out {
		out[i] = guard
	}
	var screen simd.Screen
	k.BackwardGroup(groupView(view32, mode), rows, degree, visible, records, grads, slots, counts, out, &screen)
	if out[len(rows)] != guard {
		t.Fatal("wrote outside the rows")
	}
	for lane := range simd.GroupLanes {
		var want64 Gaussian[float64]
		var want32 Gaussian[float32]
		var d64 screenGradient[float64]
		var d32 screenGradient[float32]
		if visible>>lane&1 != 0 {
			wide := widen(&low[lane])
			s := sums[lane]
			p, q := &pr64[lane], &pr32[lane]
			d64 = screenGradient[float64]{
				u: p.conicA*float64(s.HX) + p.conicB*float64(s.HY), v: p.conicB*float64(s.HX) + p.conicC*float64(s.HY),
				conicA: -float64(s.HXX) / 2, conicB: -float64(s.HXY), conicC: -float64(s.HYY) / 2,
				opacity: float64(s.H) / p.opacity, color: [3]float64{float64(s.R), float64(s.G), float64(s.B)}, inverseDepth: float64(s.InvZ),
			}
			d32 = screenGradient[float32]{
				u: q.conicA*s.HX + q.conicB*s.HY, v: q.conicB*s.HX + q.conicC*s.HY,
				conicA: -s.HXX / 2, conicB: -s.HXY, conicC: -s.HYY / 2,
				opacity: s.H / q.opacity, color: [3]float32{s.R, s.G, s.B}, inverseDepth: s.InvZ,
			}
			want64 = projectBackward(&wide, view64, mode, degree, p, &d64, nil)
			want32 = projectBackward(&low[lane], view32, mode, degree, q, &d32, nil)
		}
		close("screen u", lane, float64(screen.U[lane]), float64(d32.u), d64.u, math.Abs(d64.u)+math.Abs(d64.v))
		close("screen v", lane, float64(screen.V[lane]), float64(d32.v), d64.v, math.Abs(d64.u)+math.Abs(d64.v))
		close("screen |u|", lane, float64(screen.AbsU[lane]), float64(sums[lane].AbsU), float64(sums[lane].AbsU), 1e-3)
		close("screen |v|", lane, float64(screen.AbsV[lane]), float64(sums[lane].AbsV), float64(sums[lane].AbsV), 1e-3)
		lowRows, refRows := make([]float32, len(rows)), make([]float64, simd.GroupRows(degree))
		want32.store(lowRows, lane, degree)
		flat64(&want64, refRows)
		for row, want := range refRows {
			// The size of a vector's rows is that of the vector.
			first, n := rowVector(row)
			scale := 1e-6
			if row >= simd.RowDC { // a harmonic, at most 2, times the colour's gradient
				scale += math.Abs(float64(sums[lane].R)) + math.Abs(float64(sums[lane].G)) + math.Abs(float64(sums[lane].B))
			}
			for r := first; r < first+n; r++ {
				scale += math.Abs(refRows[r])
			}
			worst := 0.0
			for r := first; r < first+n; r++ {
				worst = max(worst, math.Abs(float64(lowRows[r*simd.GroupLanes+lane])-refRows[r]))
			}
			close(fmt.Sprintf("gradient row %d", row), lane, float64(out[row*simd.GroupLanes+lane]), want+worst, want, scale)
		}
	}
}

// rowVector says which rows belong together with one.
func rowVector(row int) (first, n int) {
	switch {
	case row < simd.RowScale:
		return simd.RowMean, 3
	case row < simd.RowRotation:
		return simd.RowScale, 3
	case row < simd.RowOpacity:
		return simd.RowRotation, 4
	case row < simd.RowDC:
		return simd.RowOpacity, 1
	}
	return row, 1
}

func flat64(g *Gaussian[float64], rows []float64) {
	n := copy(rows, g.Mean[:])
	n += copy(rows[n:], g.LogScale[:])
	n += copy(rows[n:], g.Quat[:])
	rows[n] = g.Opacity
	n++
	for k := 0; n < len(rows); k++ {
		n += copy(rows[n:], g.SH[k][:])
	}
}

func widen(g *Gaussian[float32]) (w Gaussian[float64]) {
	for i, v := range g.Mean {
		w.Mean[i] = float64(v)
	}
	for i, v := range g.LogScale {
		w.LogScale[i] = float64(v)
	}
	for i, v := range g.Quat {
		w.Quat[i] = float64(v)
	}
	w.Opacity = float64(g.Opacity)
	for k := range g.SH {
		for c, v := range g.SH[k] {
			w.SH[k][c] = float64(v)
		}
	}
	return w
}

// groupView is the camera in the form of simd's projection kernels.
func groupView(v *view[float32], mode splat.RenderMode) *simd.View {
	k := &simd.View{R: v.r, T: v.t, Center: v.center, FX: v.fx, FY: v.fy, CX: v.cx, CY: v.cy, Near: v.near,
		ClampMin: v.clampMin, ClampMax: v.clampMax, CullMin: v.cullMin, CullMax: v.cullMax}
	if mode == splat.Mip {
		k.Mip = 1
	}
	return k
}
