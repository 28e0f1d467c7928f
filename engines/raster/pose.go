package raster

import (
	"math/bits"

	"github.com/splatworks/splatworks/engines/splat"
)

// PoseGradient is a group's part of ∂L by a small change of the camera of the last frame, x_c' = exp(ω)·x_c + τ, from the
// gradients that Backward hands out. The parameters must be those that were drawn.
//
// Moving the camera is moving the cloud the other way about the camera's centre, but for the colours: a camera that turns
// on the spot sees each Gaussian from where it saw it before. With F = ∂L by the mean, D its part through the view
// direction, and q the unit quaternion (w, v):
//
//	∂τ = R·ΣF,   ∂ω = R·Σ[(p − C) × (F − D) + ½(w·∂v − ∂w·v + v × ∂v)]
func (r *Renderer) PoseGradient(out *GroupGradient) (pose Pose[float32]) {
	group, degree := r.params.Group(out.Group), r.opt.Degree
	var g, d Gaussian[float32]
	var force, torque [3]float32
	for m := out.Lanes; m != 0; m &= m - 1 {
		lane := bits.TrailingZeros16(m)
		g.load(group, lane, degree)
		d.load(out.Rows, lane, degree)

		var seen projected[float32]
		var offset [3]float32
		for k := range 3 {
			offset[k] = g.Mean[k] - r.view.center[k]
		}
		seen.distance = sqrt(dot(offset, offset))
		var color, shape [3]float32
		for k := range 3 {
			seen.direction[k] = offset[k] / seen.distance
			color[k] = d.SH[0][k] / splat.C0 // ∂L by the colour; 0 where it was clamped
			seen.colorPositive[k] = true
		}
		var unused Gaussian[float32]
		direction := seen.shadeBackward(&g, degree, color, &unused)
		for k := range 3 {
			shape[k] = d.Mean[k] - direction[k]
			force[k] += d.Mean[k]
		}

		// The gradient by the raw quaternion is that by the unit one, over its length.
		w, v := g.Quat[0], [3]float32{g.Quat[1], g.Quat[2], g.Quat[3]}
		dw, dv := d.Quat[0], [3]float32{d.Quat[1], d.Quat[2], d.Quat[3]}
		lever, spin := cross(offset, shape), cross(v, dv)
		for k := range 3 {
			torque[k] += lever[k] + (w*dv[k]-dw*v[k]+spin[k])/2
		}
	}
	for k := range 3 {
		pose.Omega[k], pose.Tau[k] = dot(r.view.r[k], torque), dot(r.view.r[k], force)
	}
	return pose
}
