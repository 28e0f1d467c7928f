package raster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/splat"
)

// What is proved here: the backward of the reference is the derivative of its forward, for every parameter of random
// scenes and for the pose, in both render modes, with the Jacobian clamped and not.
//
// Tolerance: central differences in float64 with step h = 1e-5 have a truncation error of about h²·f‴/6 and a rounding
// error of about 1e-16·f/h, so 1e-9 of the gradients' scale at the parameters' unit size; f‴ grows to some hundreds for
// sub-pixel splats. 1e-5 of the largest gradient of the group leaves two digits and is far below the 1e-3 at which a
// forgotten term shows. The cut-offs (1/255, T ≤ 1e-4) are steps of the function and are switched off: the fast
// renderer's tests cover them.
const finiteDifferenceTolerance = 1e-5

func smoothSettings(mode splat.RenderMode) settings[float64] {
	s := defaultSettings[float64](mode, 3)
	s.minAlpha, s.minT = 0, 0
	s.background = [3]float64{0.3, 0.6, 0.1}
	return s
}

func testCamera(rng *rand.Rand, width, height int) *Camera {
	q := [4]float64{1, 0.2 * rng.NormFloat64(), 0.2 * rng.NormFloat64(), 0.2 * rng.NormFloat64()}
	n := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
	for i := range q {
		q[i] /= n
	}
	f := 0.9 * float64(width)
	return &Camera{
		R: rotationOf(q), T: [3]float64{0.1 * rng.NormFloat64(), 0.1 * rng.NormFloat64(), 0.2 * rng.NormFloat64()},
		Fx: f, Fy: 1.1 * f, Cx: 0.45 * float64(width), Cy: 0.57 * float64(height), // off centre on purpose
		Width: width, Height: height, Near: 0.1,
	}
}

// randomGaussians spreads n splats before the camera; a few are beside the image, where the Jacobian is clamped.
func randomGaussians(rng *rand.Rand, cam *Camera, n int, sizePx float64) []Gaussian[float64] {
	gs := make([]Gaussian[float64], n)
	center := cam.Center()
	for i := range gs {
		g := &gs[i]
		z := 2 + 3*rng.Float64()
		x := (1.4*rng.Float64() - 0.2) * float64(cam.Width)
		y := (1.4*rng.Float64() - 0.2) * float64(cam.Height)
		if i%4 == 3 {
			x = 1.25 * float64(cam.Width) // beyond the clamp at 1.15
		}
		pc := [3]float64{(x - cam.Cx) / cam.Fx * z, (y - cam.Cy) / cam.Fy * z, z}
		for k := range 3 {
			g.Mean[k] = center[k] + cam.R[0][k]*pc[0] + cam.R[1][k]*pc[1] + cam.R[2][k]*pc[2]
			g.LogScale[k] = math.Log(sizePx*z/cam.Fx) + 0.4*rng.NormFloat64()
		}
		if i%4 == 3 {
			for k := range 3 {
				g.LogScale[k] += 1.5
			}
		}
		for k := range 4 {
			g.Quat[k] = rng.NormFloat64()
		}
		g.Opacity = rng.NormFloat64()
		for k := range g.SH {
			for channel := range 3 {
				g.SH[k][channel] = 0.2 * rng.NormFloat64()
			}
		}
		g.SH[0] = [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
	}
	return gs
}

// parameters walks all parameters of a Gaussian, by group.
func parameters(g *Gaussian[float64]) map[string][]*float64 {
	groups := map[string][]*float64{}
	for k := range 3 {
		groups["mean"] = append(groups["mean"], &g.Mean[k])
		groups["log scale"] = append(groups["log scale"], &g.LogScale[k])
	}
	for k := range 4 {
		groups["quaternion"] = append(groups["quaternion"], &g.Quat[k])
	}
	groups["opacity"] = []*float64{&g.Opacity}
	for k := range g.SH {
		name := "SH rest"
		if k == 0 {
			name = "DC"
		}
		for channel := range 3 {
			groups[name] = append(groups[name], &g.SH[k][channel])
		}
	}
	return groups
}

func TestReferenceBackwardByFiniteDifferences(t *testing.T) {
	for _, mode := range []splat.RenderMode{splat.Classic, splat.Mip} {
		for scene := range 6 {
			t.Run(fmt.Sprintf("%v/%d", mode, scene), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(scene), 7))
				cam := testCamera(rng, 14, 11)
				gs := randomGaussians(rng, cam, 6, 0.7+float64(scene)*0.6)
				checkFiniteDifferences(t, rng, cam, gs, smoothSettings(mode))
			})
		}
	}
}

func checkFiniteDifferences(t *testing.T, rng *rand.Rand, cam *Camera, gs []Gaussian[float64], set settings[float64]) {
	upstream := newImage[float64](cam.Width, cam.Height)
	for _, plane := range [][]float64{upstream.color, upstream.inverseDepth, upstream.alpha} {
		for i := range plane {
			plane[i] = rng.NormFloat64()
		}
	}
	loss := func(v *view[float64]) float64 {
		img, _ := referenceForward(gs, v, set)
		sum := 0.0
		for i := range img.color {
			sum += img.color[i] * upstream.color[i]
		}
		for i := range img.alpha {
			sum += img.alpha[i]*upstream.alpha[i] + img.inverseDepth[i]*upstream.inverseDepth[i]
		}
		return sum
	}
	v := newView[float64](cam)
	img, d := referenceForward(gs, v, set)
	if len(d.visible) < len(gs)/2 {
		t.Fatalf("only %d of %d Gaussians are drawn: the scene proves too little", len(d.visible), len(gs))
	}
	grads := referenceBackward(gs, v, set, img, upstream, d)

	const h = 1e-5
	for i := range gs {
		analytic := parameters(&grads.gaussians[i])
		for name, group := range parameters(&gs[i]) {
			scale, worst := 1e-3, 0.0
			for k, p := range group {
				old := *p
				*p = old + h
				up := loss(v)
				*p = old - h
				down := loss(v)
				*p = old
				numeric := (up - down) / (2 * h)
				scale = max(scale, math.Abs(numeric))
				worst = max(worst, math.Abs(numeric-*analytic[name][k]))
				if math.IsNaN(*analytic[name][k]) {
					worst = math.NaN()
				}
			}
			if !(worst <= finiteDifferenceTolerance*scale) {
				t.Errorf("Gaussian %d, %s: off by %.3g where gradients reach %.3g", i, name, worst, scale)
			}
		}
	}
	for k := range 6 {
		moved := func(step float64) float64 {
			var omega, tau [3]float64
			if k < 3 {
				omega[k] = step
			} else {
				tau[k-3] = step
			}
			return loss(newView[float64](moveCamera(cam, omega, tau)))
		}
		numeric := (moved(h) - moved(-h)) / (2 * h)
		analytic := append(grads.pose.Omega[:], grads.pose.Tau[:]...)[k]
		if !(math.Abs(numeric-analytic) <= finiteDifferenceTolerance*max(1, math.Abs(numeric))) {
			t.Errorf("pose parameter %d: analytic %.9g, numeric %.9g", k, analytic, numeric)
		}
	}
}

// moveCamera applies x_c' = exp(ω)·x_c + τ for a rotation about one axis.
func moveCamera(c *Camera, omega, tau [3]float64) *Camera {
	m := *c
	angle := math.Sqrt(dot(omega, omega))
	q := [4]float64{math.Cos(angle / 2), 0, 0, 0}
	if angle > 0 {
		for k := range 3 {
			q[k+1] = omega[k] / angle * math.Sin(angle/2)
		}
	}
	r := rotationOf(q)
	for i := range 3 {
		m.T[i] = dot(r[i], c.T) + tau[i]
		for j := range 3 {
			m.R[i][j] = r[i][0]*c.R[0][j] + r[i][1]*c.R[1][j] + r[i][2]*c.R[2][j]
		}
	}
	return &m
}

// The cap on alpha and the clamp of colours at zero are flat: no gradient passes, and nothing else breaks.
func TestReferenceBackwardAtItsClamps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 7))
	cam := testCamera(rng, 14, 11)
	gs := randomGaussians(rng, cam, 6, 3)
	for i := range gs {
		gs[i].Opacity = 5 // above the cap at the centre
		gs[i].SH[0][i%3] = -9
	}
	checkFiniteDifferences(t, rng, cam, gs, smoothSettings(splat.Classic))
}

func TestReferenceInFloat32AgreesWithFloat64(t *testing.T) {
	// float32 has 24 bits; a pixel sums at most 40 terms of size 1, so 40·2⁻²⁴ plus the projection's rounding, which is
	// amplified by the distance from the mean in standard deviations (up to 4): 1e-4 is an order above.
	rng := rand.New(rand.NewPCG(11, 7))
	cam := testCamera(rng, 40, 30)
	gs := randomGaussians(rng, cam, 40, 3)
	low := make([]Gaussian[float32], len(gs))
	for i := range gs {
		low[i] = narrow(&gs[i])
	}
	set64, set32 := smoothSettings(splat.Mip), defaultSettings[float32](splat.Mip, 3)
	set32.minAlpha, set32.minT, set32.background = 0, 0, [3]float32{0.3, 0.6, 0.1}
	want, _ := referenceForward(gs, newView[float64](cam), set64)
	got, _ := referenceForward(low, newView[float32](cam), set32)
	for i := range want.color {
		if diff := math.Abs(want.color[i] - float64(got.color[i])); !(diff <= 1e-4) {
			t.Fatalf("colour %d: %g in float64, %g in float32", i, want.color[i], got.color[i])
		}
	}
}

func narrow(g *Gaussian[float64]) (n Gaussian[float32]) {
	for k := range 3 {
		n.Mean[k], n.LogScale[k] = float32(g.Mean[k]), float32(g.LogScale[k])
	}
	for k := range 4 {
		n.Quat[k] = float32(g.Quat[k])
	}
	n.Opacity = float32(g.Opacity)
	for k := range g.SH {
		for channel := range 3 {
			n.SH[k][channel] = float32(g.SH[k][channel])
		}
	}
	return n
}
