package raster

import (
	"math"
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// Surface is what a frame shows of the surface that the cloud stands for, Width·Height pixels, rows from the top.
type Surface struct {
	Width, Height int
	// Depth is z of the surface in the camera frame, in world units; 0 where the cloud is less than half opaque.
	Depth []float32
	// Normal has three values a pixel: a unit vector in the camera frame, towards the camera; zero where Depth is.
	Normal []float32
}

// surfaceBand is how far from the median, as a share of it, what is averaged may be: nearer than most things are to what is
// behind them, farther than the noise of one surface.
const surfaceBand = 0.02

// surfaceRest is the transmittance at which a pixel's surface is settled: what is behind it cannot move the median.
const surfaceRest = 0.02

// sheet is a Gaussian as the rays of a camera meet it. Along the ray t·d, d = (x, y, 1), its density is greatest at
// t = dᵀPμ / dᵀPd, with P the inverse of its covariance and μ its mean, both in the camera frame; the points where that is form a
// surface whose normal at μ is along P·μ (the depth and normal of Zhang et al. 2024, "RaDe-GS", section 3, not linearised).
type sheet struct {
	p      [6]float32 // P: xx, xy, xz, yy, yz, zz, over its largest value
	pm     [3]float32 // P·μ over the same
	normal [3]float32
	z      float32 // of μ
	reach  float32 // along z, beyond which the Gaussian has no say where the surface is
}

// flattest is the least ratio of a Gaussian's standard deviations that float32 represents well.
const flattest = 1e-3

// Surface finds, in the last Forward's frame, the surface of the cloud. Each Gaussian that a pixel shows proposes the depth at
// which the pixel's ray finds it densest, with its blending weight. The median of the proposals says which of the surfaces behind
// one another it is, whatever floats before it; the mean of the proposals near the median is where it is, with less noise than a
// single one has.
func (r *Renderer) Surface(s *Surface) {
	n := r.cam.Width * r.cam.Height
	s.Width, s.Height = r.cam.Width, r.cam.Height
	s.Depth, s.Normal = resized(s.Depth, n), resized(s.Normal, 3*n)
	sheets := make([]sheet, len(r.splats))
	r.each(len(r.visible), func(_, group int) {
		var g Gaussian[float32]
		for m := r.visible[group]; m != 0; m &= m - 1 {
			lane := bits.TrailingZeros16(m)
			g.load(r.params.Group(group), lane, 0)
			sheets[group*simd.GroupLanes+lane] = sheetOf(&g, &r.cam)
		}
	})
	proposals := make([][]proposal, r.workers)
	r.each(len(r.starts)-1, func(worker, tile int) {
		x0, y0, w, h := r.tileRect(tile)
		for y := y0; y < y0+h; y++ {
			for x := x0; x < x0+w; x++ {
				proposals[worker] = r.propose(tile, x, y, sheets, proposals[worker][:0])
				at := y*s.Width + x
				s.Depth[at] = surfaceOf(proposals[worker], (*[3]float32)(s.Normal[3*at:]))
			}
		}
	})
}

// sheetOf brings a Gaussian to a camera.
func sheetOf(g *Gaussian[float32], cam *Camera) (s sheet) {
	var q [4]float64
	norm, widest := 0.0, math.Inf(-1)
	for i, v := range g.Quat {
		q[i] = float64(v)
		norm += q[i] * q[i]
	}
	for i := range q {
		q[i] /= math.Sqrt(norm)
	}
	for _, v := range g.LogScale {
		widest = max(widest, float64(v))
	}
	axes := rotationOf(q)
	var mean [3]float64
	for i, v := range g.Mean {
		mean[i] = float64(v)
	}
	mean = transform(&cam.R, mean, cam.T)
	var p [3][3]float64
	spread := 0.0 // variance along z
	for k := range 3 {
		scale := math.Exp(max(float64(g.LogScale[k])-widest, math.Log(flattest)))
		axis := transform(&cam.R, [3]float64{axes[0][k], axes[1][k], axes[2][k]}, [3]float64{})
		spread += axis[2] * axis[2] * scale * scale
		for i := range 3 {
			for j := range 3 {
				p[i][j] += axis[i] * axis[j] / (scale * scale)
			}
		}
	}
	largest := p[0][0] + p[1][1] + p[2][2]
	s.p = [6]float32{float32(p[0][0] / largest), float32(p[0][1] / largest), float32(p[0][2] / largest),
		float32(p[1][1] / largest), float32(p[1][2] / largest), float32(p[2][2] / largest)}
	pm := transform(&p, mean, [3]float64{})
	length := math.Sqrt(dot(pm, pm))
	for i := range 3 {
		s.pm[i], s.normal[i] = float32(pm[i]/largest), float32(-pm[i]/length)
	}
	s.z, s.reach = float32(mean[2]), float32(3*math.Sqrt(spread)*math.Exp(widest))
	return s
}

// depthAlong is where the ray through (x, y, 1) finds the Gaussian densest.
func (s *sheet) depthAlong(x, y float32) float32 {
	px := s.p[0]*x + s.p[1]*y + s.p[2]
	py := s.p[1]*x + s.p[3]*y + s.p[4]
	pz := s.p[2]*x + s.p[4]*y + s.p[5]
	t := (x*s.pm[0] + y*s.pm[1] + s.pm[2]) / (x*px + y*py + pz)
	return min(max(t, s.z-s.reach), s.z+s.reach)
}

// proposal is a Gaussian's share of a pixel.
type proposal struct {
	depth, weight float32
	sheet         *sheet
}

// propose appends what the Gaussians of a pixel propose, ordered by depth.
func (r *Renderer) propose(tile, x, y int, sheets []sheet, list []proposal) []proposal {
	x0, y0, _, _ := r.tileRect(tile)
	block := uint16(1) << ((y-y0)/simd.BlockSize*(simd.TileSize/simd.BlockSize) + (x-x0)/simd.BlockSize)
	rayX := float32((float64(x) + 0.5 - r.cam.Cx) / r.cam.Fx)
	rayY := float32((float64(y) + 0.5 - r.cam.Cy) / r.cam.Fy)
	t := float32(1)
	for k := r.starts[tile]; k < r.starts[tile+1] && t > surfaceRest; k++ {
		if r.masks[k]&block == 0 {
			continue
		}
		i := r.instances[k].Splat
		s := &r.splats[i]
		dx, dy := float32(x)+0.5-s.U, float32(y)+0.5-s.V
		power := s.L + dx*(s.A*dx+s.B*dy) + dy*(s.C*dy)
		if !(power >= -8) { // 2^-8 < MinAlpha
			continue
		}
		alpha := min(MaxAlpha, float32(math.Exp2(float64(power))))
		if !(alpha >= MinAlpha) {
			continue
		}
		p := proposal{sheets[i].depthAlong(rayX, rayY), alpha * t, &sheets[i]}
		t -= p.weight
		if !(p.depth > 0) {
			continue
		}
		list = append(list, p)
		for j := len(list) - 1; j > 0 && list[j-1].depth > list[j].depth; j-- { // nearly in order already
			list[j-1], list[j] = list[j], list[j-1]
		}
	}
	return list
}

// surfaceOf is the depth that the proposals agree on, and its normal.
func surfaceOf(list []proposal, normal *[3]float32) (depth float32) {
	*normal = [3]float32{}
	total := float32(0)
	for i := range list {
		total += list[i].weight
	}
	if !(total >= 0.5) {
		return 0
	}
	sum, median := float32(0), float32(0)
	for i := range list {
		if sum += list[i].weight; sum >= total/2 {
			median = list[i].depth
			break
		}
	}
	sum = 0
	for i := range list {
		p := &list[i]
		if !(max(p.depth-median, median-p.depth) <= surfaceBand*median) {
			continue
		}
		sum += p.weight
		depth += p.weight * p.depth
		for k := range 3 {
			normal[k] += p.weight * p.sheet.normal[k]
		}
	}
	length := sqrt(dot(*normal, *normal))
	if !(length > 0) {
		return 0
	}
	for k := range 3 {
		normal[k] /= length
	}
	return depth / sum
}
