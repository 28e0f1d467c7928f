// Package raster draws a Gaussian cloud through a pinhole camera and carries gradients of the drawing back to every
// parameter of the cloud and, when asked, to the camera pose.
//
// It is written twice. reference.go and its siblings are the definition: plain Go, generic over float32 and float64,
// whole images, every formula where it is used, checked by finite differences. Renderer is the same computation made
// fast over engines/simd: tiles, threads, private gradient slots. Tests compare the two.
//
// In the flow it is between engines/splat (the cloud) and engines/trainer (the loss and the optimiser). It does not
// know what an image file, a loss or a learning rate is.
package raster

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Camera is a pinhole without distortion, in COLMAP's convention: x_camera = R·x_world + T, x right, y down, z forward;
// the centre of the upper left pixel is (0.5, 0.5).
type Camera struct {
	R              [3][3]float64
	T              [3]float64
	Fx, Fy, Cx, Cy float64 // pixels
	Width, Height  int     // pixels
	// Near culls every Gaussian whose centre is nearer, in world units along z. Must be positive.
	Near float64
}

// Center is the camera's position in the world, −Rᵀ·T.
func (c *Camera) Center() (p [3]float64) {
	for i := range 3 {
		p[i] = -(c.R[0][i]*c.T[0] + c.R[1][i]*c.T[1] + c.R[2][i]*c.T[2])
	}
	return p
}

// Scaled is the camera of the same picture at width × height pixels.
func (c *Camera) Scaled(width, height int) Camera {
	s := *c
	sx, sy := float64(width)/float64(c.Width), float64(height)/float64(c.Height)
	s.Fx, s.Cx, s.Width = c.Fx*sx, c.Cx*sx, width
	s.Fy, s.Cy, s.Height = c.Fy*sy, c.Cy*sy, height
	return s
}

// Limits of the blend. The zero value of a field of Options means the default.
const (
	MinAlpha = 1.0 / 255 // a splat below it at a pixel is skipped there
	MaxAlpha = 0.99      // alpha is capped here, and the cap has no gradient
	MinT     = 1e-4      // a pixel whose transmittance has fallen to it takes no more splats
	Dilation = 0.3       // px², added to the diagonal of every projected covariance
)

// Bounds of the projection.
const (
	minDet      = 1e-6   // of the dilated covariance, px⁴
	minRatio    = 2.5e-5 // of the two determinants, below which Mip stops scaling the opacity
	minQuatNorm = 1e-8   // squared; a shorter quaternion has no direction
	clampMargin = 0.15   // of the image side: how far outside the image the Jacobian still follows the centre (gsplat)
	maxColor    = 1e6    // sum of the channels; a brighter splat, or one that is not a number, is not drawn
	cullMargin  = 0.5    // of the image side: a centre farther outside is not drawn
)

// real is what the reference is generic over.
type real interface{ ~float32 | ~float64 }

func sqrt[F real](x F) F { return F(math.Sqrt(float64(x))) }
func exp[F real](x F) F  { return F(math.Exp(float64(x))) }

// view is a Camera in the precision of the computation, with what the projection derives from it.
type view[F real] struct {
	r              [3][3]F
	t, center      [3]F
	fx, fy, cx, cy F
	width, height  int
	near           F
	// Clamp range of x/z and y/z inside the Jacobian, and the wider range outside of which a centre is culled.
	clampMin, clampMax, cullMin, cullMax [2]F
}

func newView[F real](c *Camera) *view[F] {
	v := &view[F]{
		fx: F(c.Fx), fy: F(c.Fy), cx: F(c.Cx), cy: F(c.Cy), width: c.Width, height: c.Height, near: F(c.Near),
	}
	center := c.Center()
	for i := range 3 {
		v.t[i], v.center[i] = F(c.T[i]), F(center[i])
		for j := range 3 {
			v.r[i][j] = F(c.R[i][j])
		}
	}
	for axis, k := range [2][3]float64{{c.Fx, c.Cx, float64(c.Width)}, {c.Fy, c.Cy, float64(c.Height)}} {
		f, origin, side := k[0], k[1], k[2]
		v.clampMin[axis], v.clampMax[axis] = F((-clampMargin*side-origin)/f), F(((1+clampMargin)*side-origin)/f)
		v.cullMin[axis], v.cullMax[axis] = F((-cullMargin*side-origin)/f), F(((1+cullMargin)*side-origin)/f)
	}
	return v
}

// View is the camera as the kernels of simd and of package gpu take it.
func (c *Camera) View(mode splat.RenderMode) *simd.View { return newView[float32](c).kernels(mode) }

// kernels is the view as simd has it.
func (v *view[F]) kernels(mode splat.RenderMode) *simd.View {
	pair := func(p [2]F) [2]float32 { return [2]float32{float32(p[0]), float32(p[1])} }
	k := &simd.View{
		FX: float32(v.fx), FY: float32(v.fy), CX: float32(v.cx), CY: float32(v.cy), Near: float32(v.near),
		ClampMin: pair(v.clampMin), ClampMax: pair(v.clampMax), CullMin: pair(v.cullMin), CullMax: pair(v.cullMax),
	}
	for i := range 3 {
		k.T[i], k.Center[i] = float32(v.t[i]), float32(v.center[i])
		for j := range 3 {
			k.R[i][j] = float32(v.r[i][j])
		}
	}
	if mode == splat.Mip {
		k.Mip = 1
	}
	return k
}
