package gpu

import (
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// step is the Step of types.cl.
type step struct {
	LR                   [59]float32
	HalfW, HalfH, Longer float32
}

// Update enqueues the gradient of the last frame by the model's parameters, and Adam's step of the visible Gaussians with a rate
// for each row, in the settings of simd.NewAdamStep(0), and counts the view in the statistics. The model is the one that was
// drawn.
func (e *Engine) Update(m *Model, lr []float32) error {
	s := step{HalfW: float32(e.frame.Width) / 2, HalfH: float32(e.frame.Height) / 2, Longer: float32(max(e.frame.Width, e.frame.Height))}
	copy(s.LR[:], lr)
	grads := e.blendBackward()
	all := groups(m.lanes(), perGroup)
	args := []any{m.params.buffer, m.m.buffer, m.v.buffer, ByValue(&e.view), ByValue(&s), e.splats.buffer, grads,
		e.firstSlot.buffer, e.counts.buffer, m.pulls.buffer, m.views.buffer, m.extents.buffer}
	if !e.pose {
		e.launch(kUpdate, all, args...)
		return e.finish()
	}
	poses, sums := e.grown(&e.poses, 4*6*all), e.grown(&e.poseSums, 4*6)
	e.launch(kUpdatePoses, all, append(args, poses)...)
	e.launch(kSumChannels, 6, poses, sums, uint32(6*all), uint32(6), uint32(0))
	return e.finish()
}

// PoseGradient waits and returns the gradient by the camera of a frame drawn with Options.Pose, after Update. It is the sum of what
// raster.Renderer.PoseGradient has for each group.
func (e *Engine) PoseGradient() (pose raster.Pose[float32], err error) {
	var world [6]float32 // torque, force
	read(e, e.poseSums.buffer, world[:])
	for i := range 3 {
		for j := range 3 {
			pose.Omega[i] += e.view.R[i][j] * world[j]
			pose.Tau[i] += e.view.R[i][j] * world[3+j]
		}
	}
	return pose, e.finish()
}

// Gradients waits and returns what Update would step along: rows in the layout of raster.Params, 0 for what is not visible.
func (e *Engine) Gradients(m *Model) ([]float32, error) {
	rows := make([]float32, m.lanes()*simd.GroupRows(m.Degree))
	grads := e.blendBackward()
	var out room
	to := e.grown(&out, 4*len(rows))
	write(e, to, rows)
	e.launch(kGradients, groups(m.lanes(), perGroup), m.params.buffer, to, ByValue(&e.view), e.splats.buffer, grads, e.firstSlot.buffer, e.counts.buffer)
	read(e, to, rows)
	if to != nil {
		to.Free()
	}
	return rows, e.finish()
}

// blendBackward fills the gradient slots of the instances.
func (e *Engine) blendBackward() Buffer {
	grads := e.grown(&e.grads, 48*e.frame.Instances)
	if e.depth {
		e.launchTiles(kBackwardDepth, e.image.buffer, e.inverseDepth.buffer, e.upstream.buffer, e.upstreamDepth.buffer, grads)
	} else {
		e.launchTiles(kBackward, e.image.buffer, e.upstream.buffer, grads)
	}
	return grads
}
