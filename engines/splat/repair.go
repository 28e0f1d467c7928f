package splat

import (
	"fmt"
	"math"
)

// Repairs says what reading a file of another tool had to change.
type Repairs struct {
	Dropped int `json:"dropped"` // Gaussians with a NaN, an infinite place, size or colour, or a rotation without a direction
	Clamped int `json:"clamped"` // Gaussians kept whose opacity or flatness was outside what can be drawn
}

// String is a sentence, empty when nothing was changed.
func (r Repairs) String() string {
	switch {
	case r.Dropped > 0 && r.Clamped > 0:
		return fmt.Sprintf("%d Gaussians have values that are not numbers and were dropped; %d were infinitely opaque, transparent or flat and were clamped", r.Dropped, r.Clamped)
	case r.Dropped > 0:
		return fmt.Sprintf("%d Gaussians have values that are not numbers and were dropped", r.Dropped)
	case r.Clamped > 0:
		return fmt.Sprintf("%d Gaussians were infinitely opaque, transparent or flat and were clamped", r.Clamped)
	}
	return ""
}

// repaired makes what a reader found pass Validate. Other tools store full opacity as an infinite logit and a flat
// Gaussian as a scale of −∞: those are brought to the nearest value that can be drawn. A Gaussian with a NaN, an infinite
// position, size or colour, or a quaternion without a direction is dropped. What changed is in c.Repairs.
func (c *Cloud) repaired() (*Cloud, error) {
	if c.Degree < 0 || c.Degree > MaxDegree {
		return nil, formatErrorf("spherical-harmonic degree %d is outside 0..%d", c.Degree, MaxDegree)
	}
	parts := c.parts()
	kept := 0
	for i := range c.Len() {
		ok, clamped := c.repair(i)
		if !ok {
			c.Repairs.Dropped++
			continue
		}
		if clamped {
			c.Repairs.Clamped++
		}
		if kept != i {
			for _, p := range parts {
				copy((*p.data)[kept*p.width:(kept+1)*p.width], (*p.data)[i*p.width:(i+1)*p.width])
			}
		}
		kept++
	}
	if n := c.Len(); kept == 0 && n > 0 {
		return nil, formatErrorf("none of its %d Gaussians can be drawn: positions, colours or rotations are not numbers", n)
	}
	for _, p := range parts {
		*p.data = (*p.data)[:kept*p.width]
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return c, nil
}

// part is one array of a cloud and how many of its values belong to one Gaussian.
type part struct {
	data  *[]float32
	width int
}

func (c *Cloud) parts() []part {
	return []part{{&c.Means, 3}, {&c.LogScales, 3}, {&c.Quats, 4}, {&c.Opacities, 1}, {&c.DC, 3}, {&c.Rest, 3 * RestCount(c.Degree)}}
}

// repair brings one Gaussian within the bounds of Validate; false when it has no place, colour or direction.
func (c *Cloud) repair(i int) (ok, clamped bool) {
	rest := 3 * RestCount(c.Degree)
	for _, values := range [][]float32{c.Means[3*i : 3*i+3], c.Quats[4*i : 4*i+4], c.DC[3*i : 3*i+3], c.Rest[rest*i : rest*(i+1)]} {
		for _, v := range values {
			if v-v != 0 {
				return false, false
			}
		}
	}
	for k := range 3 {
		v := &c.LogScales[3*i+k]
		if !(*v < MaxLogScale) { // NaN too; one that fills every picture cannot be meant
			return false, false
		}
		if *v < -flattest {
			*v, clamped = -flattest, true
		}
	}
	o := &c.Opacities[i]
	switch {
	case *o != *o:
		return false, false
	case *o > MaxOpacityLogit:
		*o, clamped = MaxOpacityLogit, true
	case *o < -MaxOpacityLogit:
		*o, clamped = -MaxOpacityLogit, true
	}
	return norm4(c.Quats[4*i:4*i+4]) > MinQuatNorm, clamped
}

// flattest is the negative of the smallest logarithm of a scale that Validate takes.
const flattest = MaxLogScale - 1.0/1024

func norm4(q []float32) float64 {
	sum := 0.0
	for _, v := range q {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
