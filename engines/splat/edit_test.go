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

func TestUpright(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for _, d := range [][3]float64{{0, -1, 0}, {0, 1, 0}, {0, 0, 3}, {1, 1e-9, 0}, {1e-9, 1, 0}, direction(rng), direction(rng)} {
		q, err := Upright(d)
		if err != nil {
			t.Fatal(err)
		}
		length := math.Sqrt(d[0]*d[0] + d[1]*d[1] + d[2]*d[2])
		got := rotate(q, d)
		if !(math.Abs(got[0]) < 1e-6*length && math.Abs(got[1]+length) < 1e-6*length && math.Abs(got[2]) < 1e-6*length) {
			t.Errorf("%v is turned to %v", d, got)
		}
	}
	if _, err := Upright([3]float64{}); err == nil {
		t.Error("nothing has a direction")
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

// A pair that is one Gaussian in two halves becomes that Gaussian.
func TestMergingHalvesGivesTheWhole(t *testing.T) {
	c := scene(20, 3, Mip)
	for i := range c.Len() {
		for k := range 3 { // neither so thin as to be lost in rounding, nor nearly opaque
			c.LogScales[3*i+k] = -2 + 0.3*float32(k)
		}
		c.Opacities[i] = -1
	}
	halves, err := Merged(c, c)
	if err != nil {
		t.Fatal(err)
	}
	half := float64(depthOf(opacity(-1))) / 2
	for i := range halves.Len() {
		halves.Opacities[i] = logit(thickness(half))
	}
	whole, err := halves.Reduced(c.Len())
	if err != nil {
		t.Fatal(err)
	}
	near := func(got, want []float64, what string, i int) {
		for j := range want {
			if !(math.Abs(got[j]-want[j]) < 1e-5) {
				t.Errorf("%s of Gaussian %d: %v, want %v", what, i, got, want)
			}
		}
	}
	for i := range c.Len() { // a pair stays at the place of its first
		at, a, b := 0, covariance(c, i), [9]float64{}
		for j := range whole.Len() {
			if distance2(triple(whole.Means, j), triple(c.Means, i)) < distance2(triple(whole.Means, at), triple(c.Means, i)) {
				at = j
			}
		}
		b = covariance(whole, at)
		near(b[:], a[:], "covariance", i)
		p, q := triple(whole.Means, at), triple(c.Means, i)
		near(p[:], q[:], "mean", i)
		near([]float64{opacity(whole.Opacities[at])}, []float64{opacity(c.Opacities[i])}, "opacity", i)
		near([]float64{float64(whole.Rest[45*at+7])}, []float64{float64(c.Rest[45*i+7])}, "colour", i)
	}
}

func distance2(a, b [3]float64) (sum float64) {
	for k := range a {
		sum += (a[k] - b[k]) * (a[k] - b[k])
	}
	return sum
}

// Every count is reached, whatever the Gaussians are like.
func TestReducedToAnyCount(t *testing.T) {
	same := New(40, 1, Classic)
	for i := range same.Len() {
		same.Quats[4*i] = 1
	}
	for _, c := range []*Cloud{scene(300, 2, Mip), same} {
		for _, n := range []int{1, 2, c.Len() - 1, c.Len(), 10 * c.Len()} {
			got, err := c.Reduced(n)
			if err != nil || got.Len() != min(n, c.Len()) || got.Validate() != nil {
				t.Errorf("%d of %d Gaussians: %v", n, c.Len(), err)
			}
		}
	}
	if _, err := same.Reduced(0); err == nil {
		t.Error("nothing is left, and nobody says so")
	}
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
