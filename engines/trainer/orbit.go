package trainer

import (
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
)

// Orbit is a closed path of n cameras for a preview film: a ring through the middle of where the pictures were taken from,
// looking at what they look at. A capture that went around its subject gives a full circle; one that did not gives an
// oval inside the region of its cameras, so that the film never shows what no picture saw. The pictures decide which way
// is up.
func Orbit(views []*View, n int) []raster.Camera {
	if len(views) == 0 || n <= 0 {
		return nil
	}
	model := &views[len(views)/2].Levels[0].Camera
	up, forward, center := [3]float64{}, [3]float64{}, [3]float64{}
	for _, v := range views {
		cam := &v.Levels[0].Camera
		c := cam.Center()
		for k := range 3 {
			up[k] -= cam.R[1][k]
			forward[k] += cam.R[2][k]
			center[k] += c[k] / float64(len(views))
		}
	}
	up = unit(up, [3]float64{0, -1, 0})
	focus := axesMeet(views, center, forward)
	// Cameras as height over the focus, distance from the axis, and angle around it.
	right := unit(cross(forward, up), anyNormal(up))
	ahead := cross(up, right)
	var heights, distances, angles []float64
	for _, v := range views {
		d := minus(v.Levels[0].Camera.Center(), focus)
		x, y := dot3(d, right), dot3(d, ahead)
		heights = append(heights, dot3(d, up))
		distances = append(distances, math.Hypot(x, y))
		angles = append(angles, math.Atan2(y, x))
	}
	height, distance := median(heights), median(distances)
	middle, half := arc(angles)
	path := make([]raster.Camera, n)
	for i := range path {
		turn := 2 * math.Pi * float64(i) / float64(n)
		angle, h := middle+turn, height
		if half < 0.75*math.Pi {
			angle = middle + 0.8*half*math.Sin(turn)
			h += 0.5 * spread(heights) * math.Cos(turn)
		}
		s, c := math.Sincos(angle)
		var eye [3]float64
		for k := range 3 {
			eye[k] = focus[k] + h*up[k] + distance*(c*right[k]+s*ahead[k])
		}
		path[i] = lookAt(*model, eye, focus, up)
	}
	return path
}

// axesMeet is the point nearest to all optical axes in the sense of least squares: Σ(I − ddᵀ)x = Σ(I − ddᵀ)c. Axes that
// are all but parallel meet far away or behind; then it is a point ahead of the middle camera.
func axesMeet(views []*View, center, forward [3]float64) [3]float64 {
	var a [3][3]float64
	var b [3]float64
	for _, v := range views {
		cam := &v.Levels[0].Camera
		c, d := cam.Center(), cam.R[2]
		for i := range 3 {
			for j := range 3 {
				m := -d[i] * d[j]
				if i == j {
					m++
				}
				a[i][j] += m
				b[i] += m * c[j]
			}
		}
	}
	ahead := unit(forward, [3]float64{0, 0, 1})
	reach := 1e-3
	for _, v := range views {
		reach = max(reach, distance(v.Levels[0].Camera.Center(), center))
	}
	det := dot3(a[0], cross(a[1], a[2]))
	if det > 1e-4*float64(len(views)*len(views)*len(views)) {
		c12, c20, c01 := cross(a[1], a[2]), cross(a[2], a[0]), cross(a[0], a[1])
		var x [3]float64
		for k := range 3 {
			x[k] = (b[0]*c12[k] + b[1]*c20[k] + b[2]*c01[k]) / det
		}
		if distance(x, center) < 10*reach {
			return x
		}
	}
	for k := range 3 {
		center[k] += 4 * reach * ahead[k]
	}
	return center
}

// arc is the smallest arc that holds all angles: its middle and half its width.
func arc(angles []float64) (middle, half float64) {
	slices.Sort(angles)
	gap, after := 0.0, 0.0
	for i, a := range angles {
		next := angles[0] + 2*math.Pi
		if i+1 < len(angles) {
			next = angles[i+1]
		}
		if next-a > gap {
			gap, after = next-a, next
		}
	}
	half = math.Pi - gap/2
	return after + half, half
}

// spread is half the width of the middle 80 % of the values.
func spread(v []float64) float64 {
	slices.Sort(v)
	return (v[len(v)*9/10] - v[len(v)/10]) / 2
}

func lookAt(cam raster.Camera, eye, target, up [3]float64) raster.Camera {
	z := unit(minus(target, eye), [3]float64{0, 0, 1})
	x := unit(cross(z, up), anyNormal(z))
	cam.R = [3][3]float64{x, cross(z, x), z}
	for i := range 3 {
		cam.T[i] = -dot3(cam.R[i], eye)
	}
	return cam
}

func minus(a, b [3]float64) [3]float64 { return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func dot3(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// unit normalises, or gives the fallback for a vector without direction.
func unit(v, fallback [3]float64) [3]float64 {
	n := math.Sqrt(dot3(v, v))
	if !(n > 1e-9) {
		return fallback
	}
	return [3]float64{v[0] / n, v[1] / n, v[2] / n}
}

// anyNormal is a unit vector at a right angle to v.
func anyNormal(v [3]float64) [3]float64 {
	axis := [3]float64{1, 0, 0}
	if math.Abs(v[0]) > 0.9 {
		axis = [3]float64{0, 1, 0}
	}
	return unit(cross(v, axis), [3]float64{0, 0, 1})
}
