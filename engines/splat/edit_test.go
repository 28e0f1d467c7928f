package splat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// direction is random and has length 1.
func direction(rng *rand.Rand) [3]float64 {
	d := [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
	length := math.Sqrt(d[0]*d[0] + d[1]*d[1] + d[2]*d[2])
	return [3]float64{d[0] / length, d[1] / length, d[2] / length}
}

// seen is the view-dependent part of the red colour of Gaussian i from a direction.
func seen(c *Cloud, i int, d [3]float64) (sum float64) {
	b := basis(d)
	for j := range RestCount(c.Degree) {
		sum += b[j] * float64(c.Rest[3*(RestCount(c.Degree)*i+j)])
	}
	return sum
}

func TestColoursMoveWithTheCloud(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for degree := range MaxDegree + 1 {
		c := scene(40, degree, Mip)
		q, err := AxisAngle(direction(rng), 77)
		if err != nil {
			t.Fatal(err)
		}
		moved, err := c.Moved(Transform{Scale: 2, Rotation: q, Translation: [3]float64{1, 2, 3}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Len() {
			d := direction(rng)
			before, after := seen(c, i, d), seen(moved, i, rotate(q, d))
			if !(math.Abs(before-after) < 1e-5) {
				t.Errorf("degree %d, Gaussian %d: %g before, %g after", degree, i, before, after)
			}
			p, want := triple(moved.Means, i), rotate(q, triple(c.Means, i))
			for axis := range 3 {
				if !(math.Abs(p[axis]-2*want[axis]-float64(axis+1)) < 1e-4) {
					t.Errorf("Gaussian %d is at %v", i, p)
				}
			}
		}
	}
}

func TestMovingBackIsNothing(t *testing.T) {
	c := scene(60, 3, Classic)
	q, _ := AxisAngle([3]float64{1, 2, -1}, 131)
	there, err := c.Moved(Transform{Scale: 4, Rotation: q})
	if err != nil {
		t.Fatal(err)
	}
	back, err := there.Moved(Transform{Scale: 0.25, Rotation: [4]float64{q[0], -q[1], -q[2], -q[3]}})
	if err != nil {
		t.Fatal(err)
	}
	within(t, "there and back", back, c, tolerance{mean: 1e-5, scale: 1e-5, angle: 0.1, rest: 1e-6})
}

func TestHalfATurnAboutXIsTheTurnOfFormats(t *testing.T) {
	c := scene(30, 3, Mip)
	q, _ := AxisAngle([3]float64{1, 0, 0}, 180)
	moved, err := c.Moved(Transform{Scale: 1, Rotation: q})
	if err != nil {
		t.Fatal(err)
	}
	// Rotations may differ by half a turn about one of a Gaussian's own axes, which changes nothing.
	within(t, "half a turn", moved, c.Turned(), tolerance{mean: 1e-5, angle: 180, rest: 1e-6})
	turned := c.Turned()
	for i := range c.Len() {
		a, b := covariance(moved, i), covariance(turned, i)
		for j := range a {
			if !(math.Abs(a[j]-b[j]) < 1e-6) {
				t.Errorf("Gaussian %d: covariance %v and %v", i, a, b)
			}
		}
	}
}

// covariance is R diag(s²) Rᵀ, row by row.
func covariance(c *Cloud, i int) (sigma [9]float64) {
	q := c.unitQuat(i)
	for axis := range 3 {
		var unit [3]float64
		unit[axis] = 1
		v := rotate(q, unit)
		s := math.Exp(2 * float64(c.LogScales[3*i+axis]))
		for j := range 9 {
			sigma[j] += s * v[j/3] * v[j%3]
		}
	}
	return sigma
}

func TestMergedCroppedAndCut(t *testing.T) {
	a, b := scene(10, 3, Mip), scene(20, 1, Mip)
	m, err := Merged(a, b)
	if err != nil || m.Len() != 30 || m.Degree != 3 || m.Validate() != nil {
		t.Fatalf("merged: %v, %+v", err, m)
	}
	within(t, "the first part", m.Picked([]int{0, 1, 2}), a.Picked([]int{0, 1, 2}), tolerance{})
	if _, err := Merged(a, scene(1, 0, Classic)); err == nil {
		t.Error("splats of two render modes were merged")
	}
	cropped := a.Cropped([3]float64{-1, -9, -9}, [3]float64{9, 9, 9})
	for i := range cropped.Len() {
		if x := cropped.Means[3*i]; x < -1 {
			t.Errorf("%g is outside the box", x)
		}
	}
	if cropped.Len() == 0 || cropped.Len() == a.Len() {
		t.Errorf("%d of %d Gaussians are in the box", cropped.Len(), a.Len())
	}
	if flat := a.WithDegree(0); len(flat.Rest) != 0 || flat.Validate() != nil {
		t.Error("degree 0 has a rest")
	}
}
