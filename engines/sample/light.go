package sample

import "math"

// finish bakes one surface: light on a coarse grid of the given step in metres, paint on a fine one.
func (w *world) finish(s *surface, density, step float64) {
	cols, rows := int(math.Ceil(s.w/step))+1, int(math.Ceil(s.h/step))+1
	light := make([]rgb, cols*rows)
	for j := range rows {
		for i := range cols {
			light[j*cols+i] = w.light(s.point(inside(i, cols), inside(j, rows)))
		}
	}
	tw, th := max(2, int(s.w*density)), max(2, int(s.h*density))
	base := level{w: tw, h: th, pix: make([]uint16, tw*th*3)}
	for y := range th {
		v := (float64(y) + 0.5) / float64(th)
		gy := float64(v * float64(rows-1))
		iy := min(int(gy), rows-2)
		for x := range tw {
			u := (float64(x) + 0.5) / float64(tw)
			gx := float64(u * float64(cols-1))
			ix := min(int(gx), cols-2)
			at := iy*cols + ix
			lower := light[at].to(light[at+1], gx-float64(ix))
			upper := light[at+cols].to(light[at+cols+1], gx-float64(ix))
			l := lower.to(upper, gy-float64(iy))
			c := s.paint(float64(u*s.w), float64(v*s.h))
			p := base.pix[(y*tw+x)*3:]
			p[0], p[1], p[2] = radiance(c.r, l.r), radiance(c.g, l.g), radiance(c.b, l.b)
		}
	}
	s.look = &texture{levels: []level{base}, density: density}
	s.look.mips()
}

// inside keeps the outermost light samples off the edge, where a neighbour would swallow them.
func inside(i, n int) float64 {
	return max(0.01, min(0.99, float64(i)/float64(n-1)))
}

func radiance(display, light float64) uint16 {
	// The whitest paint sends back three quarters of the light, so that white in the sun is not burnt out.
	display = clamp01(display) * 0.87
	return uint16(clamp01(float64(float64(display*display)*light)) * full)
}

var (
	sunlight = rgb{0.92, 0.86, 0.76}
	skylight = rgb{0.64, 0.70, 0.80}
	bounce   = rgb{0.27, 0.25, 0.22} // what the court's own surfaces send back
)

// light is the irradiance over π at a point: the sun as a disc of 3 degrees for soft shadows, the open sky and
// the light that other surfaces send back.
func (w *world) light(at, normal vec) rgb {
	origin := at.at(1e-3, normal)
	right, up := frameOf(normal)
	var sum rgb
	var h hit
	for _, d := range hemisphere {
		dir := right.scale(d.x).add(up.scale(d.y)).add(normal.scale(d.z)).unit()
		c := skylight
		if w.first(origin, dir, w.things, &h); h.on != nil {
			c = bounce
		}
		sum = rgb{sum.r + c.r, sum.g + c.g, sum.b + c.b}
	}
	sum = sum.times(1 / float64(len(hemisphere)))
	if facing := normal.dot(w.sun); facing > 0 {
		right, up := frameOf(w.sun)
		open := 0
		for _, d := range disc {
			dir := w.sun.at(d.x*0.05, right).at(d.y*0.05, up).unit()
			if w.first(origin, dir, w.things, &h); h.on == nil {
				open++
			}
		}
		s := sunlight.times(facing * float64(open) / float64(len(disc)))
		sum = rgb{sum.r + s.r, sum.g + s.g, sum.b + s.b}
	}
	return sum
}

// frameOf completes a unit vector to an orthonormal frame.
func frameOf(n vec) (right, up vec) {
	helper := vec{0, 0, 1}
	if math.Abs(n.z) > 0.9 {
		helper = vec{1, 0, 0}
	}
	right = helper.cross(n).unit()
	return right, n.cross(right)
}

// hemisphere holds directions about +z with density proportional to the cosine; disc holds points of the unit
// disc: both by the golden-angle spiral (Vogel 1979), rounded so that every machine has the same.
var hemisphere, disc = spirals(96, 32)

func spirals(directions, points int) (hemi, flat []vec) {
	golden := math.Pi * (3 - math.Sqrt(5))
	for i := range directions {
		rr := (float64(i) + 0.5) / float64(directions)
		s, c := math.Sincos(golden * float64(i))
		radius := math.Sqrt(rr)
		hemi = append(hemi, vec{quantise(radius * c), quantise(radius * s), quantise(math.Sqrt(1 - rr))})
	}
	for i := range points {
		radius := math.Sqrt((float64(i) + 0.5) / float64(points))
		s, c := math.Sincos(golden * float64(i))
		flat = append(flat, vec{quantise(radius * c), quantise(radius * s), 0})
	}
	return hemi, flat
}
