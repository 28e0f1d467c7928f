// Package splat holds the Gaussian cloud, the one product of training, and the file formats it travels in.
//
// It knows nothing about cameras, images or optimisation: engines/raster draws a Cloud and engines/trainer makes one.
// The world frame is whatever the cameras used (COLMAP's: right-handed, metres or arbitrary units); this package never
// rotates, recentres or rescales a cloud.
package splat

import (
	"fmt"
	"math"
)

// MaxDegree is the highest spherical-harmonic degree a Cloud can carry.
const MaxDegree = 3

// C0 is the degree-0 spherical harmonic, 1/(2*sqrt(pi)): colour = 0.5 + C0*DC + the view-dependent rest.
const C0 = 0.28209479177387814

// RenderMode says which screen-space filter the cloud was trained for. A viewer that applies the other one shows fat
// or thin splats, so the mode travels in every file that has room for it.
type RenderMode uint8

const (
	// Classic dilates every projected covariance by 0.3 px² and leaves the opacity alone (Kerbl et al. 2023).
	Classic RenderMode = iota
	// Mip dilates by 0.3 px² and scales the opacity so that a splat keeps its energy (Yu et al. 2024, "Mip-Splatting",
	// the 2D filter; gsplat calls it "antialiased").
	Mip
)

// String gives the spelling of the SplatRenderMode comment in a PLY header.
func (m RenderMode) String() string {
	switch m {
	case Classic:
		return "default"
	case Mip:
		return "mip"
	}
	return fmt.Sprintf("RenderMode(%d)", uint8(m))
}

// ParseRenderMode is the inverse of String.
func ParseRenderMode(s string) (RenderMode, error) {
	switch s {
	case "default", "classic":
		return Classic, nil
	case "mip":
		return Mip, nil
	}
	return Classic, fmt.Errorf("render mode %q is not known: use default or mip", s)
}

// Cloud is N anisotropic Gaussians as raw (unactivated) parameters, structure of arrays, float32.
type Cloud struct {
	Degree int        // spherical-harmonic degree, 0..3
	Mode   RenderMode // the filter it was trained for

	Means     []float32 // 3N: x y z, world units
	LogScales []float32 // 3N: natural logarithms of the standard deviations along the local axes
	Quats     []float32 // 4N: w x y z, need not be unit
	Opacities []float32 // N: logits; opacity = 1/(1+exp(-x))
	DC        []float32 // 3N: degree-0 coefficients r g b
	Rest      []float32 // 3*RestCount(Degree)*N: per Gaussian coefficient-major, r g b inner

	Repairs Repairs // what reading a file changed; nothing in a cloud that was made here
}

// RestCount is the number of RGB coefficients above degree 0: 0, 3, 8, 15.
func RestCount(degree int) int { return (degree+1)*(degree+1) - 1 }

// New makes a cloud of n zeroed Gaussians. Zeroed quaternions are not drawable: fill them.
func New(n, degree int, mode RenderMode) *Cloud {
	return &Cloud{
		Degree: degree, Mode: mode,
		Means: make([]float32, 3*n), LogScales: make([]float32, 3*n), Quats: make([]float32, 4*n),
		Opacities: make([]float32, n), DC: make([]float32, 3*n), Rest: make([]float32, 3*RestCount(degree)*n),
	}
}

// Len is the number of Gaussians.
func (c *Cloud) Len() int { return len(c.Opacities) }

// Bytes is the size of the parameters in memory.
func (c *Cloud) Bytes() int64 {
	return 4 * int64(len(c.Means)+len(c.LogScales)+len(c.Quats)+len(c.Opacities)+len(c.DC)+len(c.Rest))
}

// Clone copies the cloud.
func (c *Cloud) Clone() *Cloud {
	d := *c
	for _, s := range []*[]float32{&d.Means, &d.LogScales, &d.Quats, &d.Opacities, &d.DC, &d.Rest} {
		*s = append([]float32(nil), *s...)
	}
	return &d
}

// The bounds of Validate; a trained cloud is orders of magnitude inside them, and every known viewer accepts them.
const (
	MaxLogScale     = 20.0
	MaxOpacityLogit = 20.0
	MinQuatNorm     = 1e-6
)

// Validate reports the first reason why the cloud cannot be drawn or stored: array lengths that disagree, non-finite
// values, |log scale| or |opacity logit| of 20 and more, a quaternion without direction.
func (c *Cloud) Validate() error {
	if c.Degree < 0 || c.Degree > MaxDegree {
		return fmt.Errorf("spherical-harmonic degree %d is outside 0..%d", c.Degree, MaxDegree)
	}
	if c.Mode > Mip {
		return fmt.Errorf("%s is not a known render mode", c.Mode)
	}
	n := c.Len()
	groups := []struct {
		name  string
		width int
		data  []float32
	}{
		{"mean", 3, c.Means}, {"log scale", 3, c.LogScales}, {"quaternion", 4, c.Quats}, {"opacity", 1, c.Opacities},
		{"DC colour", 3, c.DC}, {"SH rest", 3 * RestCount(c.Degree), c.Rest},
	}
	for _, g := range groups {
		if len(g.data) != g.width*n {
			return fmt.Errorf("%s: %d values for %d Gaussians, expected %d", g.name, len(g.data), n, g.width*n)
		}
		for i, v := range g.data {
			if v-v != 0 { // not a number, or infinite
				return fmt.Errorf("%s of Gaussian %d is %v", g.name, i/g.width, v)
			}
		}
	}
	for i, v := range c.LogScales {
		if !(math.Abs(float64(v)) < MaxLogScale) {
			return fmt.Errorf("log scale of Gaussian %d is %v, outside ±%v", i/3, v, MaxLogScale)
		}
	}
	for i, v := range c.Opacities {
		if !(math.Abs(float64(v)) <= MaxOpacityLogit) {
			return fmt.Errorf("opacity logit of Gaussian %d is %v, outside ±%v", i, v, MaxOpacityLogit)
		}
	}
	for i := range n {
		q := c.Quats[4*i : 4*i+4]
		norm := math.Sqrt(float64(q[0])*float64(q[0]) + float64(q[1])*float64(q[1]) + float64(q[2])*float64(q[2]) + float64(q[3])*float64(q[3]))
		if !(norm > MinQuatNorm) {
			return fmt.Errorf("quaternion of Gaussian %d has norm %g: it has no direction", i, norm)
		}
	}
	return nil
}
