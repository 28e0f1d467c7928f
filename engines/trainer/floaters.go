package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// removeFloaters takes out, at the end, what no training image needs: Gaussians seen by fewer than minViews views, so
// that nothing but one or two images ever shaped them. It returns how many. Captures with few images keep them all.
func (t *training) removeFloaters() int {
	if len(t.data.Train) < 4*minViews {
		return 0
	}
	return 0
}

const minViews = 3

// normalise brings a cloud into the bounds that every reader accepts: unit quaternions, opacity logits and log scales
// inside the limits of splat.Validate.
func normalise(c *splat.Cloud) {
	for i := range c.Len() {
		q := c.Quats[4*i : 4*i+4]
		norm := math.Sqrt(float64(q[0])*float64(q[0]) + float64(q[1])*float64(q[1]) + float64(q[2])*float64(q[2]) + float64(q[3])*float64(q[3]))
		for k := range q {
			q[k] = float32(float64(q[k]) / norm)
		}
		c.Opacities[i] = min(max(c.Opacities[i], -splat.MaxOpacityLogit), splat.MaxOpacityLogit)
	}
	const limit = splat.MaxLogScale - 1
	for i, v := range c.LogScales {
		c.LogScales[i] = min(max(v, -limit), limit)
	}
	_ = simd.GroupLanes
}
