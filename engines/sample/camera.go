package sample

import "math"

// Camera is a pinhole camera and its position.
type Camera struct {
	Width, Height  int
	Fx, Fy, Cx, Cy float64 // pixels; the middle of the upper left pixel is (0.5, 0.5), as in COLMAP

	// Right, Down and Forward are the axes of the COLMAP camera frame (x right, y down, z forward) in the world,
	// unit vectors; Position is the centre of projection in metres. The world is right-handed with z up.
	Right, Down, Forward, Position [3]float64

	spherical bool // sees longitude from left to right and latitude from top to bottom instead of a plane
}

// SphericalViews is the number of perspective views that engines/frames cuts from a spherical picture.
const SphericalViews = 6

// view is the perspective camera of view v of a spherical one: 90 degrees wide and high, turned to the right by a sixth of
// a circle for each, with about as many pixels as the spherical picture has there.
func (c Camera) view(v int) Camera {
	c.spherical = false
	c.turn(360/SphericalViews*float64(v), 0)
	c.Width = int(math.Round(float64(c.Width) / math.Pi))
	c.Height = c.Width
	c.Fx, c.Cx = float64(c.Width)/2, float64(c.Width)/2
	c.Fy, c.Cy = c.Fx, c.Cx
	return c
}

// turn turns a camera to its right, and then downwards, by degrees.
func (c *Camera) turn(right, down float64) {
	mix := func(a, b [3]float64, degrees float64) ([3]float64, [3]float64) {
		s, o := math.Sincos(degrees * math.Pi / 180)
		s, o = quantise(s), quantise(o)
		return vecOf(a).scale(o).add(vecOf(b).scale(s)).array(), vecOf(b).scale(o).sub(vecOf(a).scale(s)).array()
	}
	c.Forward, c.Right = mix(c.Forward, c.Right, right)
	c.Forward, c.Down = mix(c.Forward, c.Down, down)
}

// OrbitRadius is the mean distance of the cameras from the axis of the orbit, in metres.
const OrbitRadius = 3.7

// focal is the focal length in units of the longer image edge: a field of view of 62 degrees, a phone's.
const focal = 0.832

// orbit is the path of a hand-held camera walking around the court once: the distance, the height, the aim and
// the roll drift slowly, with a fine tremor on top. turn is the share of the walk, in [0,1].
type orbit struct {
	start  float64
	phases [8]float64
}

func newOrbit(seed uint64) *orbit {
	r := &random{state: mix(seed ^ 0x6f72626974)}
	o := &orbit{start: r.between(0, 2*math.Pi)}
	for i := range o.phases {
		o.phases[i] = r.between(0, 2*math.Pi)
	}
	return o
}

func (o *orbit) camera(turn float64, width, height int) Camera {
	angle := 2 * math.Pi * turn
	wave := func(i int, times float64) float64 { return math.Sin(times*angle + o.phases[i]) }
	radius := OrbitRadius * (1 + 0.06*wave(0, 2) + 0.02*wave(1, 5))
	tall := 1.6 + 0.17*wave(2, 1) + 0.06*wave(3, 4)
	// The start and the end of the walk do not meet: 350 degrees.
	around := o.start + angle*350/360 + 0.02*wave(4, 7)
	s, c := math.Sincos(around)
	position := vec{quantise(radius * c), quantise(radius * s), quantise(tall)}
	aim := vec{quantise(0.12 * wave(5, 3)), quantise(0.12 * wave(6, 2)), quantise(0.55 + 0.05*wave(7, 6))}
	roll := quantise(0.025 * wave(3, 3))

	forward := aim.sub(position).unit()
	right := forward.cross(vec{roll, 0, 1}).unit()
	down := forward.cross(right)
	edge := focal * float64(max(width, height))
	return Camera{
		Width: width, Height: height,
		Fx: edge, Fy: edge, Cx: float64(width) / 2, Cy: float64(height) / 2,
		Right: right.array(), Down: down.array(), Forward: forward.array(), Position: position.array(),
	}
}

func (a vec) array() [3]float64 { return [3]float64{a.x, a.y, a.z} }
func vecOf(a [3]float64) vec    { return vec{a[0], a[1], a[2]} }

// ray is the direction, not of unit length (its forward part is 1), through the image point (x, y) in pixels.
func (c *Camera) ray(x, y float64) vec {
	if c.spherical {
		so, co := math.Sincos(2 * math.Pi * (x/float64(c.Width) - 0.5))
		sa, ca := math.Sincos(math.Pi * (y/float64(c.Height) - 0.5))
		return vecOf(c.Forward).scale(quantise(ca*co)).at(quantise(ca*so), vecOf(c.Right)).at(quantise(sa), vecOf(c.Down))
	}
	return vecOf(c.Forward).
		at((x-c.Cx)/c.Fx, vecOf(c.Right)).
		at((y-c.Cy)/c.Fy, vecOf(c.Down))
}

// project is the image point of a world point in pixels and its depth along the optical axis in metres.
func (c *Camera) project(p vec) (x, y, depth float64) {
	q := p.sub(vecOf(c.Position))
	depth = q.dot(vecOf(c.Forward))
	x = c.Cx + float64(c.Fx*q.dot(vecOf(c.Right))/depth)
	y = c.Cy + float64(c.Fy*q.dot(vecOf(c.Down))/depth)
	return x, y, depth
}
