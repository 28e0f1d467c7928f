package sample

import (
	"math"
	"runtime"
	"sync"
)

// tile is the edge, in pixels, of the squares that share a list of the things that may be seen in them.
const tile = 16

// accumulate adds what a camera sees, side² rays a pixel on a regular grid, to sums (made when nil): RGB, rows from the top,
// linear with full as white.
func (w *world) accumulate(c Camera, side int, sums []uint32) []uint32 {
	if sums == nil {
		sums = make([]uint32, c.Width*c.Height*3)
	}
	bands := (c.Height + tile - 1) / tile
	next := make(chan int, bands)
	for b := range bands {
		next <- b
	}
	close(next)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for b := range next {
				for x := 0; x < c.Width; x += tile {
					w.tile(&c, x, b*tile, side, sums)
				}
			}
		})
	}
	wg.Wait()
	return sums
}

func (w *world) tile(c *Camera, x0, y0, side int, sums []uint32) {
	x1, y1 := min(x0+tile, c.Width), min(y0+tile, c.Height)
	things := w.visible(c, x0, y0, x1, y1)
	origin := vecOf(c.Position)
	// Metres on a facing surface at one metre that one sample covers.
	spread := 1 / (c.Fx * float64(side))
	var h hit
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			var r, g, b uint32
			for j := range side {
				sy := float64(y) + (float64(j)+0.5)/float64(side)
				for i := range side {
					sx := float64(x) + (float64(i)+0.5)/float64(side)
					d := c.ray(sx, sy).unit()
					w.first(origin, d, things, &h)
					var sr, sg, sb uint32
					if h.on == nil {
						sr, sg, sb = sky(d)
					} else {
						// Between the long and the short axis of the pixel's ellipse on the surface.
						footprint := float64(h.t*spread) / math.Sqrt(max(h.cos, 0.1))
						sr, sg, sb = h.on.look.sample(h.u, h.v, footprint)
					}
					r, g, b = r+sr, g+sg, b+sb
				}
			}
			at := (y*c.Width + x) * 3
			sums[at] += r
			sums[at+1] += g
			sums[at+2] += b
		}
	}
}

// sky is a pale gradient; only tall pictures reach over the walls.
func sky(d vec) (r, g, b uint32) {
	t := clamp01(d.z * 1.6)
	return uint32(lerp(0.80, 0.40, t) * full), uint32(lerp(0.86, 0.58, t) * full), uint32(lerp(0.92, 0.84, t) * full)
}

// visible lists the things whose bounding sphere meets the cone of rays through a rectangle of pixels.
func (w *world) visible(c *Camera, x0, y0, x1, y1 int) []solid {
	middle := c.ray(float64(x0+x1)/2, float64(y0+y1)/2).unit()
	reach := 1.0
	for _, corner := range [4]vec{c.ray(float64(x0), float64(y0)), c.ray(float64(x1), float64(y0)),
		c.ray(float64(x0), float64(y1)), c.ray(float64(x1), float64(y1))} {
		reach = min(reach, middle.dot(corner.unit()))
	}
	wide := math.Sqrt(max(0, 1-reach*reach)) + 1e-9
	var out []solid
	for _, s := range w.things {
		centre, radius := s.bound()
		to := centre.sub(vecOf(c.Position))
		along := to.dot(middle)
		across := to.sub(middle.scale(along)).length()
		// The distance from the sphere's centre to the cone's mantle, generously.
		if along > -radius && across <= (along+radius)*wide/reach+radius/reach {
			out = append(out, s)
		}
	}
	return out
}

// develop turns sums of n linear samples into display bytes, gamma 2.
func develop(sums []uint32, n uint32, out []byte) {
	for i, s := range sums {
		out[i] = displayed[s/n>>4]
	}
}

var displayed = func() (table [full>>4 + 1]byte) {
	for i := range table {
		table[i] = byte(math.Round(255 * math.Sqrt((float64(i)+0.5)/float64(len(table)))))
	}
	return table
}()
