package sample

import "math"

// Distance is how far a point of the world is from the nearest surface, in metres: what a mesh is measured against.
func (c *Capture) Distance(p [3]float64) float64 {
	least := math.Inf(1)
	for _, things := range [][]solid{c.world.court, c.world.things} {
		for _, s := range things {
			least = min(least, s.distance(vecOf(p)))
		}
	}
	return least
}

func (p *panel) distance(at vec) float64 {
	to := at.sub(p.corner)
	u, v := to.dot(p.right), to.dot(p.up)
	beside := vec{u - min(max(u, 0), p.sheet.w), v - min(max(v, 0), p.sheet.h), to.dot(p.normal)}
	return beside.length()
}

func (b *box) distance(at vec) float64 {
	local := b.inward(at.sub(b.centre))
	over := vec{math.Abs(local.x) - b.half.x, math.Abs(local.y) - b.half.y, math.Abs(local.z) - b.half.z}
	if inside := max(over.x, over.y, over.z); inside < 0 {
		return -inside
	}
	return vec{max(over.x, 0), max(over.y, 0), max(over.z, 0)}.length()
}

func (b *ball) distance(at vec) float64 { return math.Abs(at.sub(b.centre).length() - b.radius) }

func (c *column) distance(at vec) float64 {
	p := at.sub(c.foot)
	aside, above, below := math.Hypot(p.x, p.y)-c.radius, p.z-c.height, -p.z
	if inside := max(aside, above, below); inside < 0 {
		return min(-aside, -above) // it has no bottom
	}
	return math.Hypot(max(aside, 0), max(above, below, 0))
}
