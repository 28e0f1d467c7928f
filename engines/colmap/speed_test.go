package colmap

import (
	"math"
	"testing"
)

// The speed of a core is measured once, and what is planned goes with it.
func TestCoreSpeed(t *testing.T) {
	speed := CoreSpeed()
	if !(speed >= slowest && speed <= fastest) || speed != CoreSpeed() {
		t.Fatalf("speed %g, then %g", speed, CoreSpeed())
	}
	size := Size{Images: 50, Width: 640, Height: 360, Frames: true}
	usual := Plan{}.Estimate(size, 2)
	size.Speed = 0.5
	slow := Plan{}.Estimate(size, 2)
	if !(math.Abs(slow.WallS/usual.WallS-2) < 1e-9 && math.Abs(slow.CPUS/usual.CPUS-2) < 1e-9) || slow.MemoryBytes != usual.MemoryBytes {
		t.Errorf("%+v on half a core, %+v on one", slow, usual)
	}
}

// Two blurs keep the picture upright and as bright.
func TestBlur(t *testing.T) {
	const side = 32
	image, once, twice := make([]float32, side*side), make([]float32, side*side), make([]float32, side*side)
	image[12*side+20] = 1
	blur(once, image, side)
	blur(twice, once, side)
	sum := float32(0)
	for i, v := range twice {
		if sum += v; v > twice[12*side+20] {
			t.Errorf("brightest at %d, %d", i%side, i/side)
		}
	}
	if !(sum > 0.99 && sum < 1.01) {
		t.Errorf("the sum is %g", sum)
	}
}
