package simd

import (
	"math"
	"math/rand/v2"
	"slices"
)

// scene is a set of splats in one tile whose every decision (below 1/255, capped, saturated) is clear: rounding cannot
// change it, so that two implementations must agree on the masks exactly and on the values to a relative error.
type scene struct {
	tile      *Tile // T, upstream gradients
	splats    []Splat
	instances []Instance

	// From the float64 evaluation of the definition:
	t, r, g, b, d [TilePixels]float64
	masks         []uint16
	grads         []Grad64
}

// Grad64 is Grad in float64, and the sums of the absolute terms that the sums' rounding errors are proportional to.
type Grad64 struct{ sum, abs [12]float64 }

func (g *Grad) array() [12]float32 {
	return [12]float32{g.H, g.HX, g.HY, g.HXX, g.HXY, g.HYY, g.R, g.G, g.B, g.InvZ, g.AbsU, g.AbsV}
}

// newScene draws n splats around a tile of which w x h pixels are in the image; draw makes one splat.
func newScene(rng *rand.Rand, n, w, h int, draw func(rng *rand.Rand, x, y float32) Splat) *scene {
	const x, y = 160, 48
	s := &scene{tile: NewTile()}
	s.tile.Begin(x, y, w, h)
	for i := range s.tile.GR {
		s.tile.GR[i] = float32(rng.NormFloat64())
		s.tile.GG[i] = float32(rng.NormFloat64())
		s.tile.GB[i] = float32(rng.NormFloat64())
		s.tile.GD[i] = float32(rng.NormFloat64())
	}
	for i, v := range s.tile.T {
		s.t[i] = float64(v)
	}
	for len(s.splats) < n {
		splat := draw(rng, x, y)
		if s.blend(&splat) {
			s.splats = append(s.splats, splat)
		}
	}
	// Instances refer to shuffled splats and slots.
	order, slots := rng.Perm(n), rng.Perm(n)
	shuffled := make([]Splat, n)
	for i, o := range order {
		shuffled[o] = s.splats[i]
		s.instances = append(s.instances, Instance{Splat: uint32(o), Slot: uint32(slots[i])})
	}
	s.splats = shuffled
	return s
}

// exponent64 evaluates the definition at a pixel of the tile, and the size of its rounding error in float32.
func (s *scene) exponent64(splat *Splat, pixel int) (e, slack, dx, dy float64) {
	b, l := pixel/BlockLanes, pixel%BlockLanes
	dx = float64(s.tile.X) + float64(b%4*4+l%4) + 0.5 - float64(splat.U)
	dy = float64(s.tile.Y) + float64(b/4*4+l/4) + 0.5 - float64(splat.V)
	xx, xy, yy := float64(splat.A)*dx*dx, float64(splat.B)*dx*dy, float64(splat.C)*dy*dy
	e = float64(splat.L) + xx + xy + yy
	return e, 1e-5 + 1e-6*(math.Abs(xx)+math.Abs(xy)+math.Abs(yy)+math.Abs(float64(splat.L))), dx, dy
}

// blend adds one splat in float64; false, with nothing changed, when a decision hangs on rounding.
func (s *scene) blend(splat *Splat) bool {
	type hit struct {
		pixel int
		w     float64
	}
	var hits []hit
	for p := range s.t {
		e, slack, _, _ := s.exponent64(splat, p)
		if s.t[p] == 0 {
			continue
		}
		if math.Abs(e-float64(log2MinAlpha)) < slack || math.Abs(e-float64(log2MaxAlpha)) < slack || (e > -8 && slack > 3e-5) {
			return false
		}
		if e >= float64(log2MinAlpha) && s.t[p] > MinTransmittance {
			w := math.Exp2(math.Min(e, float64(log2MaxAlpha))) * s.t[p]
			if left := s.t[p] - w; math.Abs(left-MinTransmittance) < 1e-3*MinTransmittance {
				return false
			}
			hits = append(hits, hit{p, w})
		}
	}
	var mask uint16
	for _, h := range hits {
		mask |= 1 << (h.pixel / BlockLanes)
		s.r[h.pixel] += h.w * float64(splat.Red)
		s.g[h.pixel] += h.w * float64(splat.Green)
		s.b[h.pixel] += h.w * float64(splat.Blue)
		s.d[h.pixel] += h.w * float64(splat.InvZ)
		s.t[h.pixel] -= h.w
	}
	s.masks = append(s.masks, mask)
	return true
}

// differentiate fills grads by the textbook back-to-front recursion in float64, over a background.
func (s *scene) differentiate(background [3]float64, want Want) {
	s.grads = make([]Grad64, len(s.instances))
	for p := range s.t {
		if s.tile.T[p] == 0 {
			continue
		}
		g := [4]float64{float64(s.tile.GR[p]), float64(s.tile.GG[p]), float64(s.tile.GB[p]), float64(s.tile.GD[p])}
		if want&Depth == 0 {
			g[3] = 0
		}
		type hit struct {
			i            int
			e, alpha, dx float64
			dy, T        float64
		}
		var hits []hit
		T := 1.0
		for i, in := range s.instances {
			splat := &s.splats[in.Splat]
			e, _, dx, dy := s.exponent64(splat, p)
			if e >= float64(log2MinAlpha) && T > MinTransmittance {
				alpha := math.Exp2(math.Min(e, float64(log2MaxAlpha)))
				hits = append(hits, hit{i, e, alpha, dx, dy, T})
				T -= alpha * T
			}
		}
		behind := [4]float64{background[0], background[1], background[2], 0} // colour seen behind, for T = 1
		total := math.Abs(g[0]*T*background[0]) + math.Abs(g[1]*T*background[1]) + math.Abs(g[2]*T*background[2])
		for _, h := range hits {
			splat := &s.splats[s.instances[h.i].Splat]
			total += h.alpha * h.T * (math.Abs(g[0]*float64(splat.Red)) + math.Abs(g[1]*float64(splat.Green)) + math.Abs(g[2]*float64(splat.Blue)) + math.Abs(g[3]*float64(splat.InvZ)))
		}
		for _, h := range slices.Backward(hits) {
			splat := &s.splats[s.instances[h.i].Splat]
			c := [4]float64{float64(splat.Red), float64(splat.Green), float64(splat.Blue), float64(splat.InvZ)}
			var dAlpha, size float64
			for k := range c {
				dAlpha += g[k] * h.T * (c[k] - behind[k])
				size += math.Abs(g[k]) * h.T * (math.Abs(c[k]) + math.Abs(behind[k])/(1-h.alpha))
				behind[k] = h.alpha*c[k] + (1-h.alpha)*behind[k]
			}
			grad := &s.grads[s.instances[h.i].Slot]
			add := func(k int, factor, v, abs float64) {
				grad.sum[k] += factor * v
				grad.abs[k] += math.Abs(factor) * abs
			}
			for k, slot := range []int{6, 7, 8, 9} {
				add(slot, h.alpha*h.T, g[k], math.Abs(g[k]))
			}
			if h.e > float64(log2MaxAlpha) {
				continue
			}
			// S is what is left of a sum as large as total, whose error is that of the exponential, 2.6e-6, and of some
			// roundings: 5e-2 of it, times the tolerance of 1e-4.
			hh, hAbs := h.alpha*dAlpha, h.alpha*(size+5e-2*total/(1-h.alpha))
			for k, f := range []float64{1, h.dx, h.dy, h.dx * h.dx, h.dx * h.dy, h.dy * h.dy} {
				add(k, f, hh, hAbs)
			}
			if want&Abs != 0 {
				a, b, c := float64(splat.A), float64(splat.B), float64(splat.C)
				add(10, math.Ln2*math.Abs(2*a*h.dx+b*h.dy), math.Abs(hh), hAbs)
				add(11, math.Ln2*math.Abs(b*h.dx+2*c*h.dy), math.Abs(hh), hAbs)
			}
		}
	}
}

// drawSplat makes an ordinary splat near the tile: log-normal sizes, any orientation, opacity up to opaque.
func drawSplat(rng *rand.Rand, x, y float32) Splat {
	sx := math.Exp(0.8*rng.NormFloat64()) * 2
	sy := math.Exp(0.8*rng.NormFloat64()) * 2
	return splatOf(rng, float64(x)+8+14*rng.NormFloat64(), float64(y)+8+14*rng.NormFloat64(), sx, sy, 0.02+0.98*rng.Float64())
}

func splatOf(rng *rand.Rand, u, v, sx, sy, opacity float64) Splat {
	sin, cos := math.Sincos(2 * math.Pi * rng.Float64())
	const dilation = 0.3
	cxx := sx*sx*cos*cos + sy*sy*sin*sin + dilation
	cyy := sx*sx*sin*sin + sy*sy*cos*cos + dilation
	cxy := (sx*sx - sy*sy) * sin * cos
	det := cxx*cyy - cxy*cxy
	colour := [3]float32{rng.Float32(), rng.Float32(), rng.Float32()}
	return MakeSplat(float32(u), float32(v), float32(cyy/det), float32(-cxy/det), float32(cxx/det), float32(opacity), colour, 0.5+5*rng.Float32())
}

// drawAdversarial mixes in what a broken or extreme model produces.
func drawAdversarial(rng *rand.Rand, x, y float32) Splat {
	cx, cy := float64(x)+16*rng.Float64(), float64(y)+16*rng.Float64()
	s := drawSplat(rng, x, y)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	switch rng.IntN(16) {
	case 0: // smaller than a pixel
		return splatOf(rng, cx, cy, 1e-4, 1e-4, 0.9)
	case 1: // far larger than the image
		return splatOf(rng, cx, cy, 5000, 4000, 0.1*rng.Float64())
	case 2: // a needle
		return splatOf(rng, cx, cy, 300, 1e-3, rng.Float64())
	case 3: // transparent
		return splatOf(rng, cx, cy, 3, 3, 0)
	case 4: // far away
		return splatOf(rng, -1e6, 1e7, 3, 3, 1)
	case 5:
		s.U = nan
	case 6:
		s.V = inf
	case 7:
		s.A, s.C = nan, nan
	case 8:
		s.L = nan
	case 9: // nothing but NaN
		s = Splat{U: nan, V: nan, A: nan, B: nan, C: nan, L: nan, Red: nan, Green: nan, Blue: nan, InvZ: nan, SlopeX: nan, SlopeY: nan}
	case 10: // zero determinant
		s.A, s.B, s.C, s.SlopeX, s.SlopeY = inf, inf, inf, nan, nan
	case 11: // broken and out of sight: must not spoil the pixels
		s.U += 1000
		s.Red, s.InvZ = nan, inf
	case 12: // infinitely wide
		return Splat{U: float32(cx), V: float32(cy), L: -1 - 6*rng.Float32(), Red: rng.Float32(), Green: 1, Blue: 1, InvZ: 1}
	}
	return s
}
