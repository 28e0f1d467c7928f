package trainer

import (
	"math"
	"testing"
)

// Exposures are solved where images that see the same differ, not where all look alike, and not where the light changes slowly
// on the way around, which is the scene's.
func TestExposureVaries(t *testing.T) {
	for name, test := range map[string]struct {
		gain   func(i int) float64
		varies bool
	}{
		"alike":        {func(int) float64 { return 1 }, false},
		"from to step": {func(i int) float64 { return 1 + 0.25*float64(i%3-1) }, true},
		"along a way":  {func(i int) float64 { return 1 + 0.2*math.Cos(2*math.Pi*float64(i)/24) }, false},
	} {
		d := synthetic(24, 48, 40)
		for i, v := range d.Train {
			brighten(v, float32(test.gain(i)))
		}
		jump := d.exposureJump()
		t.Logf("%s: %.3f", name, jump)
		if d.ExposureVaries() != test.varies || math.IsNaN(jump) {
			t.Errorf("%s: varies %v, by %.3f", name, !test.varies, jump)
		}
	}
	if d := (&Dataset{}); d.ExposureVaries() {
		t.Error("no images vary")
	}
}
