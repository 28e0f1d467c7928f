package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/splat"
)

// removeFloaters takes out, at the end, what no training image needs: Gaussians that since the last refinement no view
// drew, or that were behind others wherever they were drawn, so that no pixel ever pulled at them. They cost bytes and
// can only show where nobody looked. It needs two epochs of evidence, else it keeps them all. It returns how many it
// took.
func (t *training) removeFloaters() int {
	if t.iteration-t.rebuilt < 2*len(t.data.Train) {
		return 0
	}
	var keep []int32
	for i := range t.params.Len() {
		if t.stats.gradient[i] > 0 {
			keep = append(keep, int32(i))
		}
	}
	removed := t.params.Len() - len(keep)
	if len(keep) == 0 {
		return 0
	}
	t.rebuild(keep, nil, nil, t.renderer.Workers())
	return removed
}

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
}
