package sample

import (
	"math"
	"testing"
)

// The drawn inverse depth is that of the true model's points where a camera sees them.
func TestInverseDepthAgreesWithPoints(t *testing.T) {
	c := capture(t, Options{Frames: 6})
	r := c.Reconstruction()
	for i := range c.options.Frames {
		drawn := c.InverseDepth(i)
		k := c.Camera(i)
		var close, all int
		for _, seen := range r.Images[i].Points2D {
			p := r.Point3D(seen.Point3DID)
			_, _, depth := k.project(vecOf(p.XYZ))
			at := drawn[int(seen.Y)*k.Width+int(seen.X)]
			all++
			// Half a pixel beside the point the surface may be another one.
			if math.Abs(float64(at)*depth-1) < 0.02 {
				close++
			}
		}
		if all < 100 || close < all*95/100 {
			t.Errorf("frame %d: %d of %d points have the depth that is drawn", i, close, all)
		}
	}
	for _, d := range capture(t, Options{Frames: 1, Disturbances: []Disturbance{Black}}).InverseDepth(0) {
		if d != 0 {
			t.Fatal("nothing is shown, but something has a depth")
		}
	}
}
