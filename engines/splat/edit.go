package splat

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Merged puts clouds together. Lower degrees are filled up with zeros. All must be of one render mode.
func Merged(clouds ...*Cloud) (*Cloud, error) {
	if len(clouds) == 0 {
		return nil, errors.New("nothing to merge")
	}
	degree := 0
	for _, c := range clouds {
		if c.Mode != clouds[0].Mode {
			return nil, fmt.Errorf("splats of render mode %s and %s cannot be merged: no viewer would draw both right", clouds[0].Mode, c.Mode)
		}
		degree = max(degree, c.Degree)
	}
	m := New(0, degree, clouds[0].Mode)
	for _, c := range clouds {
		c = c.WithDegree(degree)
		m.Means, m.LogScales, m.Quats = append(m.Means, c.Means...), append(m.LogScales, c.LogScales...), append(m.Quats, c.Quats...)
		m.Opacities, m.DC, m.Rest = append(m.Opacities, c.Opacities...), append(m.DC, c.DC...), append(m.Rest, c.Rest...)
	}
	return m, nil
}

// WithDegree drops coefficients above a degree, or adds zeros up to it.
func (c *Cloud) WithDegree(degree int) *Cloud {
	if degree == c.Degree {
		return c
	}
	d := c.Clone()
	d.Degree = degree
	from, to := 3*RestCount(c.Degree), 3*RestCount(degree)
	d.Rest = make([]float32, to*c.Len())
	for i := range c.Len() {
		copy(d.Rest[to*i:to*(i+1)], c.Rest[from*i:from*(i+1)])
	}
	return d
}

// Cropped keeps the Gaussians whose centres are inside a box, its faces included.
func (c *Cloud) Cropped(low, high [3]float64) *Cloud {
	var inside []int
	for i := range c.Len() {
		p := triple(c.Means, i)
		if p[0] >= low[0] && p[0] <= high[0] && p[1] >= low[1] && p[1] <= high[1] && p[2] >= low[2] && p[2] <= high[2] {
			inside = append(inside, i)
		}
	}
	return c.Picked(inside)
}

// Transform is x' = scale * rotation * x + translation. Rotation is a unit quaternion, w x y z.
type Transform struct {
	Scale       float64
	Rotation    [4]float64
	Translation [3]float64
}

// Moved applies a transform to positions, sizes, rotations and view-dependent colours.
func (c *Cloud) Moved(t Transform) (*Cloud, error) {
	if !(t.Scale > 0) || math.IsInf(t.Scale, 0) {
		return nil, fmt.Errorf("scale %v is not a positive number", t.Scale)
	}
	m := c.Clone()
	grow := float32(math.Log(t.Scale))
	turn := newSHTurn(t.Rotation, c.Degree)
	k := RestCount(c.Degree)
	parallel(c.Len(), func(from, to int) {
		for i := from; i < to; i++ {
			p := rotate(t.Rotation, triple(c.Means, i))
			q := product(t.Rotation, c.unitQuat(i))
			for axis := range 3 {
				m.Means[3*i+axis] = float32(t.Scale*p[axis] + t.Translation[axis])
				m.LogScales[3*i+axis] += grow
			}
			for j := range q {
				m.Quats[4*i+j] = float32(q[j])
			}
			turn.apply(m.Rest[3*k*i : 3*k*(i+1)])
		}
	})
	return m, m.Validate()
}

// product is the Hamilton product of two quaternions, w x y z.
func product(a, b [4]float64) [4]float64 {
	return [4]float64{
		a[0]*b[0] - a[1]*b[1] - a[2]*b[2] - a[3]*b[3],
		a[0]*b[1] + a[1]*b[0] + a[2]*b[3] - a[3]*b[2],
		a[0]*b[2] - a[1]*b[3] + a[2]*b[0] + a[3]*b[1],
		a[0]*b[3] + a[1]*b[2] - a[2]*b[1] + a[3]*b[0],
	}
}

func rotate(q [4]float64, v [3]float64) [3]float64 {
	r := product(product(q, [4]float64{0, v[0], v[1], v[2]}), [4]float64{q[0], -q[1], -q[2], -q[3]})
	return [3]float64{r[1], r[2], r[3]}
}

// AxisAngle is the unit quaternion of a rotation by an angle in degrees about an axis.
func AxisAngle(axis [3]float64, degrees float64) (q [4]float64, err error) {
	length := math.Sqrt(axis[0]*axis[0] + axis[1]*axis[1] + axis[2]*axis[2])
	if !(length > 0) || math.IsInf(length, 0) {
		return q, fmt.Errorf("axis %v has no direction", axis)
	}
	sin, cos := math.Sincos(degrees * math.Pi / 360)
	return [4]float64{cos, sin * axis[0] / length, sin * axis[1] / length, sin * axis[2] / length}, nil
}

// Upright is the shortest rotation that brings a direction to where up is: -y, and so +y in SPZ and glTF, +z in 3D Tiles.
func Upright(direction [3]float64) (q [4]float64, err error) {
	length := math.Sqrt(direction[0]*direction[0] + direction[1]*direction[1] + direction[2]*direction[2])
	if !(length > 0) || math.IsInf(length, 0) {
		return q, fmt.Errorf("%v has no direction", direction)
	}
	// Half way between the direction d and -y: the quaternion (1 + d·u, d × u), of length 1.
	x, y, z := direction[0]/length, direction[1]/length, direction[2]/length
	if 1-y < 1e-12 { // straight down: half a turn about x
		return [4]float64{0, 1, 0, 0}, nil
	}
	q = [4]float64{1 - y, z, 0, -x}
	norm := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[3]*q[3])
	for j := range q {
		q[j] /= norm
	}
	return q, nil
}

// Summary is what `splatworks info` says of a splat.
type Summary struct {
	Gaussians int        `json:"gaussians"`
	Degree    int        `json:"sh_degree"`
	Mode      string     `json:"render_mode"`
	Low       [3]float32 `json:"low"`  // of all centres, world units
	High      [3]float32 `json:"high"` // the same
	// Middle 90 % of the values: what most Gaussians are like.
	Size    [2]float64 `json:"size"`    // geometric mean of the standard deviations, world units
	Opacity [2]float64 `json:"opacity"` // 0 to 1
	// Needles are more than 30 times as long as they are wide; faint ones have an opacity under 0.02.
	Needles int `json:"needles"`
	Faint   int `json:"faint"`
}

// Summarise counts and measures.
func (c *Cloud) Summarise() Summary {
	s := Summary{Gaussians: c.Len(), Degree: c.Degree, Mode: c.Mode.String()}
	s.Low, s.High = c.bounds()
	sizes, opacities := make([]float64, c.Len()), make([]float64, c.Len())
	for i := range c.Len() {
		l := triple(c.LogScales, i)
		slices.Sort(l[:])
		sizes[i], opacities[i] = math.Exp((l[0]+l[1]+l[2])/3), opacity(c.Opacities[i])
		if l[2]-l[1] > math.Log(30) {
			s.Needles++
		}
		if opacities[i] < 0.02 {
			s.Faint++
		}
	}
	s.Size, s.Opacity = middle(sizes), middle(opacities)
	return s
}

// middle is the 5th and the 95th percentile.
func middle(values []float64) (ends [2]float64) {
	if len(values) == 0 {
		return ends
	}
	slices.Sort(values)
	return [2]float64{values[len(values)/20], values[len(values)-1-len(values)/20]}
}
