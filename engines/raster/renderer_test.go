package raster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// cloudOf is the cloud of the reference's Gaussians.
func cloudOf(gs []Gaussian[float64], degree int, mode splat.RenderMode) *splat.Cloud {
	p := NewParams(len(gs), degree, mode)
	for i := range gs {
		g := narrow(&gs[i])
		rows := make([]float32, p.Stride())
		g.store(rows, 0, degree)
		for row := range p.Rows() {
			*p.At(i, row) = rows[row*simd.GroupLanes]
		}
	}
	return p.Cloud()
}

func randomUpstream(rng *rand.Rand, cam *Camera) (*Upstream, *image[float32]) {
	n := cam.Width * cam.Height
	up := &Upstream{InverseDepth: make([]float32, n)}
	ref := newImage[float32](cam.Width, cam.Height)
	for channel := range up.Color {
		up.Color[channel] = make([]float32, n)
		for i := range n {
			v := float32(rng.NormFloat64())
			up.Color[channel][i], ref.color[3*i+channel] = v, v
		}
	}
	for i := range n {
		v := float32(rng.NormFloat64())
		up.InverseDepth[i], ref.inverseDepth[i] = v, v
	}
	return up, ref
}

// The fast renderer is compared with the reference in float32, cut-offs included. Both drop a splat below 1/255 of
// opacity and a pixel at T = 1e-4; rounding decides differently for a few pairs that lie on the line, each worth at most
// 1/255 of a colour. So: nearly all values agree to 1e-4 (the exponential's 4e-6 and float32 sums), none is off by more
// than two such pairs, and gradients agree to 2 % of their group's norm.
func TestRendererMatchesReference(t *testing.T) {
	for _, level := range simd.Levels() {
		for _, mode := range []splat.RenderMode{splat.Classic, splat.Mip} {
			for _, test := range []struct {
				w, h, n, degree int
				size            float64
			}{{64, 48, 300, 3, 2}, {37, 53, 200, 2, 4}, {5, 3, 20, 1, 1}, {1, 1, 4, 0, 1}, {100, 20, 400, 0, 1}} {
				t.Run(fmt.Sprintf("%v/%v/%dx%d", level, mode, test.w, test.h), func(t *testing.T) {
					rng := rand.New(rand.NewPCG(uint64(test.w), 5))
					cam := testCamera(rng, test.w, test.h)
					gs := randomGaussians(rng, cam, test.n, test.size)
					for _, opt := range []Options{{}, {Depth: true}, {Abs: true, Transmittance: true}, {Abs: true, Depth: true}} {
						opt.Degree, opt.Background = test.degree, [3]float32{0.1, 0.5, 0.9}
						compareWithReference(t, rng, NewRenderer(2, level.Kernels()), cam, gs, mode, opt)
					}
				})
			}
		}
	}
}

func compareWithReference(t *testing.T, rng *rand.Rand, r *Renderer, cam *Camera, gs []Gaussian[float64], mode splat.RenderMode, opt Options) {
	t.Helper()
	degree := opt.Degree
	low := make([]Gaussian[float32], len(gs))
	for i := range gs {
		low[i] = narrow(&gs[i])
	}
	set := defaultSettings[float32](mode, degree)
	set.background = opt.Background
	view := newView[float32](cam)
	want, drawn := referenceForward(low, view, set)

	params := Pack(cloudOf(gs, degree, mode))
	got := r.Forward(params, cam, opt)
	if got.Visible > len(drawn.order) || got.Visible < len(drawn.order)/2 {
		t.Errorf("%d Gaussians drawn, the reference draws %d and leaves out none that miss the image", got.Visible, len(drawn.order))
	}
	off, n := 0, cam.Width*cam.Height
	check := func(what string, i int, got, want, scale float32) {
		diff := math.Abs(float64(got - want))
		if !(diff <= 2.0/255*float64(scale)) {
			t.Fatalf("%s at pixel %d: %g, the reference has %g", what, i, got, want)
		}
		if diff > 1e-4*float64(scale) {
			off++
		}
	}
	for i := range n {
		for channel := range 3 {
			check("colour", i, got.Color[channel][i], want.color[3*i+channel], 2)
		}
		if opt.Depth {
			check("inverse depth", i, got.InverseDepth[i], want.inverseDepth[i], 1)
		}
		if opt.Transmittance {
			check("transmittance", i, got.Transmittance[i], 1-want.alpha[i], 1)
		}
	}
	if off > 5*n/50 {
		t.Errorf("%d of %d values are off by more than rounding", off, 5*n)
	}

	up, refUp := randomUpstream(rng, cam)
	if !opt.Depth {
		clear(refUp.inverseDepth)
	}
	grads := referenceBackward(low, view, set, want, refUp, drawn)
	gotRows := NewParams(len(gs), degree, mode)
	poses := make([]Pose[float32], params.Groups())
	r.Backward(up, func(_ int, g *GroupGradient) {
		copy(gotRows.Group(g.Group), g.Rows)
		poses[g.Group] = r.PoseGradient(g)
	})
	var pose Pose[float32]
	for _, p := range poses {
		for k := range 3 {
			pose.Omega[k] += p.Omega[k]
			pose.Tau[k] += p.Tau[k]
		}
	}
	for name, pair := range map[string][2][3]float32{"turn": {pose.Omega, grads.pose.Omega}, "shift": {pose.Tau, grads.pose.Tau}} {
		diff := [3]float32{pair[0][0] - pair[1][0], pair[0][1] - pair[1][1], pair[0][2] - pair[1][2]}
		if !(sqrt(dot(diff, diff)) <= 0.02*sqrt(dot(pair[1], pair[1]))+1e-4) {
			t.Errorf("gradient by the camera's %s: %v, the reference has %v", name, pair[0], pair[1])
		}
	}
	refRows := make([]float32, gotRows.Stride())
	for row := range gotRows.Rows() {
		var diff2, norm2 float64
		for i := range gs {
			clear(refRows)
			grads.gaussians[i].store(refRows, 0, degree)
			w := float64(refRows[row*simd.GroupLanes])
			d := float64(*gotRows.At(i, row)) - w
			diff2, norm2 = diff2+d*d, norm2+w*w
		}
		if !(math.Sqrt(diff2) <= 0.02*math.Sqrt(norm2)+1e-6) {
			t.Errorf("gradient row %d: off by %.3g of norm %.3g", row, math.Sqrt(diff2), math.Sqrt(norm2))
		}
	}
}
