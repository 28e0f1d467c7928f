package sample

import "math"

// person is someone who walks through the capture: a body and a head.
type person struct {
	body column
	head ball
}

// passes are the parts of the walk during which the person crosses the picture, together a fifth of it: once behind the middle piece,
// once before it. Turn is the angle between the camera and the person, seen from the middle, halfway through.
var passes = [...]struct{ from, to, turn, away, swing float64 }{
	{0.3, 0.4, math.Pi, 2.4, 0.7},
	{0.6, 0.7, 0, 2.0, 0.6},
}

// newPerson dresses a person and lights them in the sun.
func (w *world) newPerson(seed uint64, edge int) *person {
	d := newDesign(mix(seed ^ 0x706173736572))
	const radius, tall, head = 0.2, 1.45, 0.13
	foot := vec{passes[0].away, 0, 0}
	p := &person{
		body: *newColumn(foot, radius, tall, stripes(d.seed(), 0.2, d.colours), planks(d.seed(), 0.1, d.colours)),
		head: *newBall(foot.add(vec{0, 0, tall + head}), head, func(int, float64, float64) paint { return planks(d.seed(), 0.3, d.colours) }),
	}
	for _, sheet := range append(p.body.surfaces(), p.head.surfaces()...) {
		w.finish(sheet, 230*float64(edge)/640, 0.05)
	}
	return p
}

// at is the person with their feet at a place on the floor.
func (p *person) at(foot vec) []solid {
	body, head := p.body, p.head
	head.centre = head.centre.add(foot.sub(body.foot))
	body.foot = foot
	return []solid{&body, &head}
}

// Passed says whether the passer-by is in the court during frame i.
func (c *Capture) Passed(i int) bool { return len(c.passing(i)) > 0 }

// passing is what walks through frame i.
func (c *Capture) passing(i int) []solid {
	if c.person == nil {
		return nil
	}
	share := float64(i) / float64(c.options.Frames)
	for _, p := range passes {
		if share < p.from || share >= p.to {
			continue
		}
		at := c.Camera(i).Position
		turn := math.Atan2(at[1], at[0]) + p.turn + p.swing*(2*(share-p.from)/(p.to-p.from)-1)
		sin, cos := math.Sincos(turn)
		return c.person.at(vec{quantise(p.away * cos), quantise(p.away * sin), 0})
	}
	return nil
}
