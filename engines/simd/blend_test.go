package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// relTol is the relative error allowed between implementations: 2.6e-6 from the exponential's polynomial times the number
// of splats in front that shows (about 10), and 6.1e-5 = 2^-14 from VRCP14PS in the backward pass.
const relTol = 1e-4

func eachLevel(t *testing.T, f func(t *testing.T, k *Kernels)) {
	for _, level := range Levels() {
		t.Run(level.String(), func(t *testing.T) { f(t, level.Kernels()) })
	}
}

func TestBlendMatchesDefinition(t *testing.T) {
	draws := map[string]func(*rand.Rand, float32, float32) Splat{"ordinary": drawSplat, "adversarial": drawAdversarial}
	sizes := [][2]int{{16, 16}, {16, 16}, {7, 16}, {16, 5}, {1, 1}, {13, 9}}
	for name, draw := range draws {
		for n, counts := 0, []int{0, 1, 2, 31, 32, 33, 64, 200, 700}; n < 27; n++ {
			count, size := counts[n%len(counts)], sizes[n%len(sizes)]
			s := newScene(rand.New(rand.NewPCG(uint64(n), 7)), count, size[0], size[1], draw)
			for want := Want(0); want < 4; want++ {
				t.Run(fmt.Sprintf("%s%d/%d", name, n, want), func(t *testing.T) {
					eachLevel(t, func(t *testing.T, k *Kernels) { checkBlend(t, k, s, want) })
				})
			}
		}
	}
}

func checkBlend(t *testing.T, k *Kernels, s *scene, want Want) {
	const guard = 0xdead
	tile := NewTile()
	*tile = *s.tile
	masks := make([]uint16, len(s.instances)+2)
	masks[0], masks[len(masks)-1] = guard, guard
	k.BlendForward(tile, s.splats, s.instances, masks[1:len(masks)-1], want)
	if masks[0] != guard || masks[len(masks)-1] != guard {
		t.Fatal("wrote outside the masks")
	}
	masks = masks[1 : len(masks)-1]
	for i := range masks {
		if masks[i] != s.masks[i] {
			t.Fatalf("mask of instance %d: %016b, want %016b", i, masks[i], s.masks[i])
		}
	}
	if tile.S != s.tile.S || tile.GR != s.tile.GR || tile.GG != s.tile.GG || tile.GB != s.tile.GB || tile.GD != s.tile.GD || tile.X != s.tile.X || tile.Y != s.tile.Y {
		t.Fatal("wrote to planes that are not its own")
	}
	d := &s.d
	if want&Depth == 0 {
		d = new([TilePixels]float64)
	}
	for c, pair := range []struct {
		got  *Plane
		want *[TilePixels]float64
	}{{&tile.T, &s.t}, {&tile.R, &s.r}, {&tile.G, &s.g}, {&tile.B, &s.b}, {&tile.D, d}} {
		for p := range pair.got {
			got, want := float64(pair.got[p]), pair.want[p]
			// T is a product of many factors 1-alpha: its error is relative to 1/(1-alpha), at most 100 times.
			if tol := relTol*math.Abs(want) + 1e-6; !(math.Abs(got-want) <= tol) {
				t.Fatalf("plane %d pixel %d: %v, want %v", c, p, got, want)
			}
		}
	}

	background := [3]float64{0.2, 0.5, 0.8}
	s.differentiate(background, want)
	for i := range tile.T {
		tile.R[i] += tile.T[i] * float32(background[0])
		tile.G[i] += tile.T[i] * float32(background[1])
		tile.B[i] += tile.T[i] * float32(background[2])
	}
	tile.T = s.tile.T
	tile.Seed(want)
	before := *tile
	grads := make([]Grad, len(s.instances)+2)
	for i := range grads {
		grads[i].H, grads[i].AbsV = guard, guard
	}
	k.BlendBackward(tile, s.splats, s.instances, masks, grads[1:len(grads)-1], want)
	for _, g := range []Grad{grads[0], grads[len(grads)-1]} {
		if (g != Grad{H: guard, AbsV: guard}) {
			t.Fatal("wrote outside the gradients")
		}
	}
	if tile.R != before.R || tile.G != before.G || tile.B != before.B || tile.D != before.D || tile.GR != before.GR || tile.GD != before.GD {
		t.Fatal("wrote to planes that are not its own")
	}
	for i := range s.grads {
		got := grads[i+1].array()
		for c := range got {
			want, size := s.grads[i].sum[c], s.grads[i].abs[c]
			if !(math.Abs(float64(got[c])-want) <= relTol*size+1e-9) {
				t.Fatalf("gradient %d component %d: %v, want %v (terms sum to %v)", i, c, got[c], want, size)
			}
		}
	}
}

func TestBlendGradientIsDerivative(t *testing.T) {
	// Central differences of the float64 forward pass; the scene's decisions are clear, so the loss is smooth nearby.
	rng := rand.New(rand.NewPCG(3, 3))
	s := newScene(rng, 12, 16, 16, func(rng *rand.Rand, x, y float32) Splat {
		return splatOf(rng, float64(x)+16*rng.Float64(), float64(y)+16*rng.Float64(), 2+2*rng.Float64(), 2+2*rng.Float64(), 0.1+0.8*rng.Float64())
	})
	s.differentiate([3]float64{}, Depth)
	loss := func(splats []Splat) float64 {
		fresh := &scene{tile: s.tile}
		for i := range fresh.t {
			fresh.t[i] = 1
		}
		for _, in := range s.instances {
			fresh.blend(&splats[in.Splat])
		}
		var sum float64
		for p := range fresh.r {
			sum += float64(s.tile.GR[p])*fresh.r[p] + float64(s.tile.GG[p])*fresh.g[p] + float64(s.tile.GB[p])*fresh.b[p] + float64(s.tile.GD[p])*fresh.d[p]
		}
		return sum
	}
	for _, in := range s.instances {
		splat, g := s.splats[in.Splat], s.grads[in.Slot].sum
		a, b, c := float64(splat.A), float64(splat.B), float64(splat.C)
		for name, check := range map[string]struct {
			field func(*Splat) *float32
			want  float64
		}{
			"L":    {func(s *Splat) *float32 { return &s.L }, math.Ln2 * g[0]},
			"U":    {func(s *Splat) *float32 { return &s.U }, -math.Ln2 * (2*a*g[1] + b*g[2])},
			"V":    {func(s *Splat) *float32 { return &s.V }, -math.Ln2 * (b*g[1] + 2*c*g[2])},
			"A":    {func(s *Splat) *float32 { return &s.A }, math.Ln2 * g[3]},
			"B":    {func(s *Splat) *float32 { return &s.B }, math.Ln2 * g[4]},
			"C":    {func(s *Splat) *float32 { return &s.C }, math.Ln2 * g[5]},
			"Red":  {func(s *Splat) *float32 { return &s.Red }, g[6]},
			"InvZ": {func(s *Splat) *float32 { return &s.InvZ }, g[9]},
		} {
			moved := append([]Splat(nil), s.splats...)
			x := check.field(&moved[in.Splat])
			x0 := *x
			const step = 1.0 / (1 << 14)
			*x = x0 + step
			hi, up := *x, loss(moved)
			*x = x0 - step
			lo, down := *x, loss(moved)
			got := (up - down) / (float64(hi) - float64(lo))
			if !(math.Abs(got-check.want) <= 0.02*math.Abs(check.want)+0.05) {
				t.Errorf("d/d%s: difference %v, sum %v", name, got, check.want)
			}
		}
	}
}

func TestBlendRefusesBadIndices(t *testing.T) {
	eachLevel(t, func(t *testing.T, k *Kernels) {
		splats := make([]Splat, 3)
		panics := func(f func()) (did bool) {
			defer func() { did = recover() != nil }()
			f()
			return
		}
		for _, n := range []int{1, 5, 40} {
			for _, in := range []Instance{{Splat: 3}, {Splat: math.MaxUint32}} {
				instances := make([]Instance, n)
				instances[n-1] = in
				tile := NewTile()
				tile.Begin(0, 0, 16, 16)
				if !panics(func() { k.BlendForward(tile, splats, instances, make([]uint16, n), Want(n)&Depth) }) {
					t.Errorf("forward accepted %v after %d", in, n-1)
				}
				tile.Begin(0, 0, 0, 0)
				if !panics(func() { k.BlendForward(tile, splats, instances, make([]uint16, n), Want(n)&Depth) }) {
					t.Errorf("dark forward accepted %v after %d", in, n-1)
				}
			}
			for _, in := range []Instance{{Splat: 3}, {Slot: 2}, {Slot: math.MaxUint32}} {
				instances := make([]Instance, n)
				instances[n-1] = in
				masks := make([]uint16, n)
				masks[n-1] = 1
				if !panics(func() { k.BlendBackward(NewTile(), splats, instances, masks, make([]Grad, 2), 0) }) {
					t.Errorf("backward accepted %v after %d", in, n-1)
				}
			}
		}
		if !panics(func() { k.BlendForward(NewTile(), splats, make([]Instance, 2), make([]uint16, 1), 0) }) {
			t.Error("accepted too few masks")
		}
	})
}

func TestPlaneRoundTrip(t *testing.T) {
	const stride, rows = 19, 18
	src := make([]float32, stride*rows)
	for i := range src {
		src[i] = float32(i + 1)
	}
	for h := 1; h <= TileSize; h++ {
		for w := 1; w <= TileSize; w++ {
			var p Plane
			p.Load(src, stride, w, h, -1)
			for y := 0; y < TileSize; y++ {
				for x := 0; x < TileSize; x++ {
					want := float32(-1)
					if x < w && y < h {
						want = src[y*stride+x]
					}
					if got := p[PlaneIndex(x, y)]; got != want {
						t.Fatalf("%dx%d pixel (%d,%d): %v, want %v", w, h, x, y, got, want)
					}
				}
			}
			dst := make([]float32, len(src))
			p.Store(dst, stride, w, h)
			for i := range dst {
				want := float32(0)
				if i%stride < w && i/stride < h {
					want = src[i]
				}
				if dst[i] != want {
					t.Fatalf("%dx%d element %d: %v, want %v", w, h, i, dst[i], want)
				}
			}
		}
	}
}
