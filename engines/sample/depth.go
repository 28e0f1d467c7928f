package sample

import (
	"golang.org/x/sync/errgroup"
)

// InverseDepth is the truth behind frame i, counted from 0: the reciprocal, in 1/metres, of the depth along the optical
// axis of what the ray through the middle of each pixel meets. Width*Height values, rows from the top; 0 where it meets
// nothing. A capture that shows no scene has zeros only.
func (c *Capture) InverseDepth(i int) []float32 {
	o := c.options
	out := make([]float32, o.Width*o.Height)
	if c.with[Black] || c.with[Noise] {
		return out
	}
	k := c.Camera(i)
	origin := vecOf(k.Position)
	var g errgroup.Group
	for y0 := 0; y0 < o.Height; y0 += tile {
		g.Go(func() error {
			for x0 := 0; x0 < o.Width; x0 += tile {
				x1, y1 := min(x0+tile, o.Width), min(y0+tile, o.Height)
				things := c.world.visible(&k, x0, y0, x1, y1)
				for y := y0; y < y1; y++ {
					for x := x0; x < x1; x++ {
						ray := k.ray(float64(x)+0.5, float64(y)+0.5)
						var h hit
						c.world.first(origin, ray.unit(), things, &h)
						if h.on != nil {
							// The ray's forward part is 1: its length is the ratio of distance to depth.
							out[y*o.Width+x] = float32(ray.length() / h.t)
						}
					}
				}
			}
			return nil
		})
	}
	_ = g.Wait() // drawing cannot fail
	return out
}
