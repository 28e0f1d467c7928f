package splat

import (
	"cmp"
	"math"
	"slices"
)

// mortonOrder lists the Gaussians along a Z curve through their bounding box, so that neighbours in space are neighbours in a
// file. That is what chunked and image-based formats compress.
func (c *Cloud) mortonOrder() []int {
	n := c.Len()
	low, high := c.bounds()
	type keyed struct {
		code uint32
		at   int32
	}
	keys := make([]keyed, n)
	parallel(n, func(from, to int) {
		for i := from; i < to; i++ {
			var code uint32
			for axis := range 3 {
				size := float64(high[axis]) - float64(low[axis])
				cell := 0.0
				if size > 0 {
					cell = (float64(c.Means[3*i+axis]) - float64(low[axis])) / size * 1023
				}
				code |= spread(uint32(math.Min(1023, math.Max(0, cell)))) << axis
			}
			keys[i] = keyed{code, int32(i)}
		}
	})
	slices.SortFunc(keys, func(a, b keyed) int {
		if order := cmp.Compare(a.code, b.code); order != 0 {
			return order
		}
		return cmp.Compare(a.at, b.at)
	})
	order := make([]int, n)
	for i, k := range keys {
		order[i] = int(k.at)
	}
	return order
}

// spread puts two zero bits between each two of the lowest ten bits of v.
func spread(v uint32) uint32 {
	v = (v | v<<16) & 0x030000ff
	v = (v | v<<8) & 0x0300f00f
	v = (v | v<<4) & 0x030c30c3
	return (v | v<<2) & 0x09249249
}

// bounds is the box of all means; zero for an empty cloud.
func (c *Cloud) bounds() (low, high [3]float32) {
	for i, v := range c.Means {
		axis := i % 3
		if i < 3 || v < low[axis] {
			low[axis] = v
		}
		if i < 3 || v > high[axis] {
			high[axis] = v
		}
	}
	return low, high
}

// Picked is the cloud of the Gaussians at these indices, in their order.
func (c *Cloud) Picked(order []int) *Cloud {
	p := New(len(order), c.Degree, c.Mode)
	k := 3 * RestCount(c.Degree)
	for to, from := range order {
		copy(p.Means[3*to:3*to+3], c.Means[3*from:])
		copy(p.LogScales[3*to:3*to+3], c.LogScales[3*from:])
		copy(p.Quats[4*to:4*to+4], c.Quats[4*from:])
		copy(p.DC[3*to:3*to+3], c.DC[3*from:])
		copy(p.Rest[k*to:k*to+k], c.Rest[k*from:])
		p.Opacities[to] = c.Opacities[from]
	}
	return p
}
