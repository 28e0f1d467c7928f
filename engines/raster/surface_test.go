package raster

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// wall is a grid of thin, opaque discs in the plane n·x = distance, with a spacing of 0.05 around the axis of z.
func wall(n [3]float64, distance, opacity float64) []Gaussian[float64] {
	// The quaternion that turns z to n: (1 + n_z, z × n), normalised by the projection itself.
	quat := [4]float64{1 + n[2], -n[1], n[0], 0}
	var gs []Gaussian[float64]
	for i := -30; i <= 30; i++ {
		for j := -30; j <= 30; j++ {
			x, y := 0.05*float64(i), 0.05*float64(j)
			g := Gaussian[float64]{Mean: [3]float64{x, y, (distance - n[0]*x - n[1]*y) / n[2]}, Quat: quat,
				LogScale: [3]float64{math.Log(0.05), math.Log(0.05), math.Log(0.0005)}, Opacity: math.Log(opacity / (1 - opacity))}
			gs = append(gs, g)
		}
	}
	return gs
}

func surfaceCamera() *Camera {
	return &Camera{R: [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, Fx: 90, Fy: 100, Cx: 31, Cy: 33, Width: 64, Height: 64, Near: 0.1}
}

func drawSurface(gs []Gaussian[float64], workers int) *Surface {
	r := NewRenderer(workers, simd.Best().Kernels())
	r.Forward(Pack(cloudOf(gs, 0, splat.Classic)), surfaceCamera(), Options{})
	var s Surface
	r.Surface(&s)
	return &s
}

// A wall of discs gives the depth of its plane at every pixel, though no disc's centre is there, and the plane's normal; a veil that
// hides less than half of it changes nothing, and one that hides more is the surface.
func TestSurfaceIsThePlaneOfItsGaussians(t *testing.T) {
	n := [3]float64{0.48, -0.36, 0.8}
	plane := wall(n, 2, 0.9)
	thin, thick := wall([3]float64{0, 0, 1}, 1, 0.03), wall([3]float64{0, 0, 1}, 1, 0.5)
	cam := surfaceCamera()
	for name, c := range map[string]struct {
		gs       []Gaussian[float64]
		normal   [3]float64
		distance float64
		within   float64
	}{
		"wall":             {plane, n, 2, 0.002},
		"behind a veil":    {append(append([]Gaussian[float64]{}, plane...), thin...), n, 2, 0.002},
		"behind a curtain": {append(append([]Gaussian[float64]{}, plane...), thick...), [3]float64{0, 0, 1}, 1, 0.002},
	} {
		s := drawSurface(c.gs, 2)
		for y := range cam.Height {
			for x := range cam.Width {
				d := [3]float64{(float64(x) + 0.5 - cam.Cx) / cam.Fx, (float64(y) + 0.5 - cam.Cy) / cam.Fy, 1}
				want := c.distance / dot(c.normal, d)
				got := float64(s.Depth[y*64+x])
				if !(math.Abs(got/want-1) <= c.within) {
					t.Fatalf("%s: depth %g at %d, %d, the plane is at %g", name, got, x, y, want)
				}
				cos := 0.0
				for k := range 3 {
					cos -= float64(s.Normal[3*(y*64+x)+k]) * c.normal[k]
				}
				if !(cos > 0.999) {
					t.Fatalf("%s: normal %v at %d, %d", name, s.Normal[3*(y*64+x):3*(y*64+x)+3], x, y)
				}
			}
		}
	}
}

// What is mostly transparent is no surface, and the number of workers changes no bit.
func TestSurfaceOfFogAndByWorkers(t *testing.T) {
	for _, d := range drawSurface(wall([3]float64{0, 0, 1}, 1, 0.03), 1).Depth {
		if d != 0 {
			t.Fatalf("fog has a depth of %g", d)
		}
	}
	gs := append(wall([3]float64{0.6, 0, 0.8}, 2, 0.7), wall([3]float64{0, -0.6, 0.8}, 2, 0.4)...)
	one, four := drawSurface(gs, 1), drawSurface(gs, 4)
	for i := range one.Depth {
		if one.Depth[i] != four.Depth[i] || one.Normal[3*i] != four.Normal[3*i] {
			t.Fatalf("pixel %d: %g with one worker, %g with four", i, one.Depth[i], four.Depth[i])
		}
	}
}
