package sample

import "math"

// texture is the finished look of one flat or curved surface: albedo times light, linear, as 16-bit numbers,
// with its mip levels. Light is diffuse and still, so it is baked: a ray only looks up.
type texture struct {
	levels  []level
	density float64 // texels per metre at level 0
}

type level struct {
	w, h int
	pix  []uint16 // w*h*3, row-major, linear radiance; full is white
}

const full = 65535

// mips averages 2x2 texels until one texel is left in a direction.
func (t *texture) mips() {
	for {
		fine := t.levels[len(t.levels)-1]
		if fine.w < 2 || fine.h < 2 {
			return
		}
		w, h := fine.w/2, fine.h/2
		coarse := level{w: w, h: h, pix: make([]uint16, w*h*3)}
		for y := range h {
			for x := range w {
				for c := range 3 {
					at := ((2*y)*fine.w+2*x)*3 + c
					below := at + fine.w*3
					sum := uint32(fine.pix[at]) + uint32(fine.pix[at+3]) + uint32(fine.pix[below]) + uint32(fine.pix[below+3])
					coarse.pix[(y*w+x)*3+c] = uint16((sum + 2) / 4)
				}
			}
		}
		t.levels = append(t.levels, coarse)
	}
}

// sample reads the texture at (u,v) in [0,1]², for a pixel footprint in metres: linear between texels
// and between levels, in integers.
func (t *texture) sample(u, v, footprint float64) (r, g, b uint32) {
	// log2 by the exponent and a straight line over the mantissa: exact, and nobody sees the difference.
	frac, exp := math.Frexp(footprint * t.density)
	lod := float64(exp) + float64(2*frac) - 2
	top := float64(len(t.levels) - 1)
	lod = max(0, min(lod, top))
	fine := int(lod)
	blend := uint32((lod - float64(fine)) * 256)
	r, g, b = t.levels[fine].bilinear(u, v)
	if blend > 0 && fine+1 < len(t.levels) {
		r2, g2, b2 := t.levels[fine+1].bilinear(u, v)
		r = (r*(256-blend) + r2*blend) >> 8
		g = (g*(256-blend) + g2*blend) >> 8
		b = (b*(256-blend) + b2*blend) >> 8
	}
	return r, g, b
}

func (l *level) bilinear(u, v float64) (r, g, b uint32) {
	x, y := float64(u*float64(l.w))-0.5, float64(v*float64(l.h))-0.5
	x, y = max(0, min(x, float64(l.w-1))), max(0, min(y, float64(l.h-1)))
	ix, iy := int(x), int(y)
	fx, fy := uint32((x-float64(ix))*256), uint32((y-float64(iy))*256)
	right, down := 3, l.w*3
	if ix == l.w-1 {
		right = 0
	}
	if iy == l.h-1 {
		down = 0
	}
	p := l.pix[(iy*l.w+ix)*3:]
	w00, w10, w01, w11 := (256-fx)*(256-fy), fx*(256-fy), (256-fx)*fy, fx*fy
	r = (uint32(p[0])*w00>>8 + uint32(p[right])*w10>>8 + uint32(p[down])*w01>>8 + uint32(p[down+right])*w11>>8) >> 8
	g = (uint32(p[1])*w00>>8 + uint32(p[right+1])*w10>>8 + uint32(p[down+1])*w01>>8 + uint32(p[down+right+1])*w11>>8) >> 8
	b = (uint32(p[2])*w00>>8 + uint32(p[right+2])*w10>>8 + uint32(p[down+2])*w01>>8 + uint32(p[down+right+2])*w11>>8) >> 8
	return r, g, b
}
