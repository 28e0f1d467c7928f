package sample

import "math"

// surface is one painted sheet: a wall, a side of a box, a sixth of a sphere, the mantle of a cylinder.
type surface struct {
	w, h  float64                             // size in metres
	point func(u, v float64) (at, normal vec) // (u,v) in [0,1]²
	paint paint
	look  *texture // after bake
}

// hit is where a ray first meets a surface.
type hit struct {
	t    float64 // metres along the ray, when its direction has unit length
	on   *surface
	u, v float64
	cos  float64 // between the ray and the surface normal
}

// solid is a thing in the scene. Its hit method replaces best when the ray meets it nearer than best.t.
type solid interface {
	hit(origin, direction vec, best *hit)
	bound() (centre vec, radius float64)
	distance(at vec) float64 // of a point from the surface, in metres
	surfaces() []*surface
}

// nearest keeps rays off the surface they start on.
const nearest = 1e-6

// panel is a flat rectangle seen from the side its normal points to.
type panel struct {
	corner, right, up, normal vec // right and up have unit length; right × up is the normal
	sheet                     surface
}

func newPanel(corner, right, up vec, w, h float64, p paint) *panel {
	n := right.cross(up)
	r := &panel{corner: corner, right: right, up: up, normal: n, sheet: surface{w: w, h: h, paint: p}}
	r.sheet.point = func(u, v float64) (vec, vec) {
		return corner.at(float64(u*w), right).at(float64(v*h), up), n
	}
	return r
}

func (p *panel) surfaces() []*surface { return []*surface{&p.sheet} }

func (p *panel) bound() (vec, float64) {
	half := p.right.scale(p.sheet.w / 2).add(p.up.scale(p.sheet.h / 2))
	return p.corner.add(half), half.length()
}

func (p *panel) hit(o, d vec, best *hit) {
	slope := d.dot(p.normal)
	if slope >= 0 {
		return
	}
	t := p.corner.sub(o).dot(p.normal) / slope
	if t < nearest || t >= best.t {
		return
	}
	at := o.at(t, d).sub(p.corner)
	u, v := at.dot(p.right)/p.sheet.w, at.dot(p.up)/p.sheet.h
	if u < 0 || u > 1 || v < 0 || v > 1 {
		return
	}
	*best = hit{t: t, on: &p.sheet, u: u, v: v, cos: -slope}
}

// box is upright, turned about z by the angle whose cosine and sine it holds.
type box struct {
	centre   vec
	half     vec
	cos, sin float64
	sheets   [6]surface
}

// side is the frame of one side of a box, in its own axes; right × up is the outward normal.
type side struct{ right, up, normal vec }

var sides = [6]side{
	{vec{0, 1, 0}, vec{0, 0, 1}, vec{1, 0, 0}},
	{vec{0, -1, 0}, vec{0, 0, 1}, vec{-1, 0, 0}},
	{vec{-1, 0, 0}, vec{0, 0, 1}, vec{0, 1, 0}},
	{vec{1, 0, 0}, vec{0, 0, 1}, vec{0, -1, 0}},
	{vec{1, 0, 0}, vec{0, 1, 0}, vec{0, 0, 1}},
	{vec{1, 0, 0}, vec{0, -1, 0}, vec{0, 0, -1}},
}

// along is the half length of a box in one of its axis directions.
func (b *box) along(axis vec) float64 { return math.Abs(axis.dot(b.half)) }

func (b *box) outward(a vec) vec {
	return vec{float64(a.x*b.cos) - float64(a.y*b.sin), float64(a.x*b.sin) + float64(a.y*b.cos), a.z}
}

func (b *box) inward(a vec) vec {
	return vec{float64(a.x*b.cos) + float64(a.y*b.sin), float64(a.y*b.cos) - float64(a.x*b.sin), a.z}
}

// newBox paints each side with paints(side index, width, height).
func newBox(centre, half vec, cos, sin float64, paints func(i int, w, h float64) paint) *box {
	b := &box{centre: centre, half: half, cos: cos, sin: sin}
	for i, s := range sides {
		w, h := 2*b.along(s.right), 2*b.along(s.up)
		b.sheets[i] = surface{w: w, h: h, paint: paints(i, w, h), point: func(u, v float64) (vec, vec) {
			local := s.normal.scale(b.along(s.normal)).
				at(float64((u-0.5)*w), s.right).at(float64((v-0.5)*h), s.up)
			return centre.add(b.outward(local)), b.outward(s.normal)
		}}
	}
	return b
}

func (b *box) surfaces() []*surface {
	all := make([]*surface, len(b.sheets))
	for i := range b.sheets {
		all[i] = &b.sheets[i]
	}
	return all
}

func (b *box) bound() (vec, float64) { return b.centre, b.half.length() }

// hit is the slab test (Kay and Kajiya, SIGGRAPH 1986). A ray that starts inside meets nothing but darkness:
// it reports the side it leaves by.
func (b *box) hit(o, d vec, best *hit) {
	lo, ld := b.inward(o.sub(b.centre)), b.inward(d)
	enter, leave := math.Inf(-1), math.Inf(1)
	enterSide, leaveSide := 0, 0
	for axis := range 3 {
		p, q, half := lo.x, ld.x, b.half.x
		switch axis {
		case 1:
			p, q, half = lo.y, ld.y, b.half.y
		case 2:
			p, q, half = lo.z, ld.z, b.half.z
		}
		if q == 0 {
			if math.Abs(p) > half {
				return
			}
			continue
		}
		near, far := (-half-p)/q, (half-p)/q
		nearSide, farSide := 2*axis+1, 2*axis
		if q < 0 {
			near, far = far, near
			nearSide, farSide = farSide, nearSide
		}
		if near > enter {
			enter, enterSide = near, nearSide
		}
		if far < leave {
			leave, leaveSide = far, farSide
		}
	}
	t, i := enter, enterSide
	if t < nearest {
		t, i = leave, leaveSide
	}
	if enter > leave || t < nearest || t >= best.t {
		return
	}
	s, sheet := sides[i], &b.sheets[i]
	at := lo.at(t, ld)
	*best = hit{t: t, on: sheet, u: at.dot(s.right)/sheet.w + 0.5, v: at.dot(s.up)/sheet.h + 0.5,
		cos: math.Abs(ld.dot(s.normal))}
}

// ball is a sphere, painted as the six sides of a cube blown up: no poles, and no arc tangents.
type ball struct {
	centre vec
	radius float64
	sheets [6]surface
}

func newBall(centre vec, radius float64, paints func(i int, w, h float64) paint) *ball {
	b := &ball{centre: centre, radius: radius}
	size := radius * math.Pi / 2
	for i, s := range sides {
		b.sheets[i] = surface{w: size, h: size, paint: paints(i, size, size), point: func(u, v float64) (vec, vec) {
			n := s.normal.at(2*u-1, s.right).at(2*v-1, s.up).unit()
			return centre.at(radius, n), n
		}}
	}
	return b
}

func (b *ball) surfaces() []*surface {
	all := make([]*surface, len(b.sheets))
	for i := range b.sheets {
		all[i] = &b.sheets[i]
	}
	return all
}

func (b *ball) bound() (vec, float64) { return b.centre, b.radius }

func (b *ball) hit(o, d vec, best *hit) {
	to := b.centre.sub(o)
	middle := to.dot(d)
	gap := float64(b.radius*b.radius) - (to.dot(to) - float64(middle*middle))
	if gap < 0 {
		return
	}
	root := math.Sqrt(gap)
	t := middle - root
	if t < nearest {
		t = middle + root
	}
	if t < nearest || t >= best.t {
		return
	}
	n := o.at(t, d).sub(b.centre).scale(1 / b.radius)
	i := 0
	switch ax, ay, az := math.Abs(n.x), math.Abs(n.y), math.Abs(n.z); {
	case ax >= ay && ax >= az:
		i = side2(0, n.x)
	case ay >= az:
		i = side2(2, n.y)
	default:
		i = side2(4, n.z)
	}
	s := sides[i]
	depth := n.dot(s.normal)
	*best = hit{t: t, on: &b.sheets[i], u: (n.dot(s.right)/depth + 1) / 2, v: (n.dot(s.up)/depth + 1) / 2,
		cos: math.Abs(n.dot(d))}
}

func side2(positive int, along float64) int {
	if along < 0 {
		return positive + 1
	}
	return positive
}

// column is an upright cylinder with a flat top; foot is the centre of its base.
type column struct {
	foot           vec
	radius, height float64
	mantle, lid    surface
}

func newColumn(foot vec, radius, height float64, mantle, lid paint) *column {
	c := &column{foot: foot, radius: radius, height: height}
	around := 2 * math.Pi * radius
	c.mantle = surface{w: around, h: height, paint: mantle, point: func(u, v float64) (vec, vec) {
		n := diamondDirection(u)
		return foot.add(n.scale(radius)).add(vec{0, 0, float64(v * height)}), n
	}}
	c.lid = surface{w: 2 * radius, h: 2 * radius, paint: lid, point: func(u, v float64) (vec, vec) {
		return foot.add(vec{float64((2*u - 1) * radius), float64((2*v - 1) * radius), height}), vec{0, 0, 1}
	}}
	return c
}

func (c *column) surfaces() []*surface { return []*surface{&c.mantle, &c.lid} }

func (c *column) bound() (vec, float64) {
	half := vec{c.radius, 0, c.height / 2}
	return c.foot.add(vec{0, 0, c.height / 2}), half.length()
}

func (c *column) hit(o, d vec, best *hit) {
	p := o.sub(c.foot)
	if d.z < 0 {
		t := (c.height - p.z) / d.z
		at := p.at(t, d)
		if t >= nearest && t < best.t && float64(at.x*at.x)+float64(at.y*at.y) <= float64(c.radius*c.radius) {
			*best = hit{t: t, on: &c.lid, u: (at.x/c.radius + 1) / 2, v: (at.y/c.radius + 1) / 2, cos: -d.z}
		}
	}
	a := float64(d.x*d.x) + float64(d.y*d.y)
	half := float64(p.x*d.x) + float64(p.y*d.y)
	gap := float64(half*half) - float64(a*(float64(p.x*p.x)+float64(p.y*p.y)-float64(c.radius*c.radius)))
	if a == 0 || gap < 0 {
		return
	}
	root := math.Sqrt(gap)
	t := (-half - root) / a
	if t < nearest {
		t = (-half + root) / a
	}
	if t < nearest || t >= best.t {
		return
	}
	at := p.at(t, d)
	if at.z < 0 || at.z > c.height {
		return
	}
	n := vec{at.x / c.radius, at.y / c.radius, 0}
	*best = hit{t: t, on: &c.mantle, u: diamondAngle(n.x, n.y), v: at.z / c.height, cos: math.Abs(n.dot(d))}
}

// diamondAngle is a turn in [0,1) that grows with the angle of (x,y): the way round the diamond |x|+|y|=1
// instead of the circle, which needs only a division.
func diamondAngle(x, y float64) float64 {
	p := y / (math.Abs(x) + math.Abs(y))
	switch {
	case x < 0:
		return (2 - p) / 4
	case y < 0:
		return (4 + p) / 4
	}
	return p / 4
}

// diamondDirection is the unit vector whose diamondAngle is u.
func diamondDirection(u float64) vec {
	turn := 4 * (u - math.Floor(u))
	var n vec
	switch {
	case turn < 1:
		n = vec{1 - turn, turn, 0}
	case turn < 3:
		n = vec{1 - turn, 2 - turn, 0}
	default:
		n = vec{turn - 3, turn - 4, 0}
	}
	return n.unit()
}
