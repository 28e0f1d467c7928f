package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// SkyMode says whether training starts with a sphere of Gaussians far behind the scene. Without one, what is too far away
// for sparse points is painted by Gaussians near the cameras, which stay in the air as fog.
type SkyMode string

const (
	SkyAuto SkyMode = ""    // where depth maps find more than a twentieth of the images to be far away
	SkyOn   SkyMode = "on"  // wherever the images show no sparse point
	SkyOff  SkyMode = "off" // never
)

const (
	skyRadius    = 15   // extents; position steps are of the extent, so that the sphere hardly moves
	skyFar       = 10   // extents from which a depth map says sky
	skyMost      = 3000 // Gaussians on the whole sphere, of which the images see a part
	skyLeast     = 0.05 // of all pixels, for SkyAuto
	skyCells     = 20   // along the longer side of an image: a cell without sparse points can be sky
	skyOpacity   = 0.5
	skyLevel     = 2 // of the pyramid
	skyOfSpacing = 0.6
)

// skyPoints are places on the sphere that more images show as sky than as anything else, with the colour they have there,
// and the spacing of the sphere's places.
func skyPoints(d *Dataset, mode SkyMode, most int) (points []Point, spacing float64) {
	if mode == SkyOff {
		return nil, 0
	}
	maps := make([]skyMap, len(d.Train))
	sky, all := 0, 0
	for i, v := range d.Train {
		maps[i] = mapSky(v, d, mode)
		sky += maps[i].count
		all += len(maps[i].sky)
	}
	if sky == 0 || mode == SkyAuto && float64(sky) <= skyLeast*float64(all) {
		return nil, 0
	}
	var middle [3]float64
	for _, v := range d.Train {
		c := v.Levels[0].Camera.Center()
		for k := range 3 {
			middle[k] += c[k] / float64(len(d.Train))
		}
	}
	n := min(skyMost, most)
	for i := range n {
		var p [3]float64
		for k, u := range fibonacci(i, n) {
			p[k] = middle[k] + skyRadius*d.Extent*u
		}
		if color, ok := skyColor(d, maps, p); ok {
			points = append(points, Point{p, color})
		}
	}
	return points, skyRadius * d.Extent * math.Sqrt(4*math.Pi/float64(max(1, n)))
}

// fibonacci is place i of n that are spread evenly over the unit sphere.
func fibonacci(i, n int) [3]float64 {
	z := 1 - (2*float64(i)+1)/float64(n)
	s, c := math.Sincos(float64(i) * math.Pi * (3 - math.Sqrt(5)))
	r := math.Sqrt(1 - z*z)
	return [3]float64{r * c, r * s, z}
}

// skyMap is which pixels of a view, at skyLevel, may be sky.
type skyMap struct {
	sky   []bool
	count int
}

// mapSky marks the pixels that the view's depth map has far away, or without one, for SkyOn, those of cells with no sparse
// point in or beside them.
func mapSky(v *View, d *Dataset, mode SkyMode) skyMap {
	pic := &v.Levels[skyLevel]
	cam := &pic.Camera
	m := skyMap{sky: make([]bool, cam.Width*cam.Height)}
	prior := pic.inverseDepth
	if prior == nil && mode == SkyAuto {
		return m
	}
	cell := max(1, (max(cam.Width, cam.Height)+skyCells-1)/skyCells)
	taken := map[[2]int]bool{}
	for i := range d.Points {
		if x, y, ok := pixelOf(cam, d.Points[i].XYZ); ok {
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					taken[[2]int{x/cell + dx, y/cell + dy}] = true
				}
			}
		}
	}
	far := float32(1 / (skyFar * d.Extent))
	for y := range cam.Height {
		for x := range cam.Width {
			i := y*cam.Width + x
			if pic.Mask != nil && pic.Mask[i] < maskHalf || pic.Alpha != nil && pic.Alpha[i] < maskHalf {
				continue
			}
			if prior != nil {
				m.sky[i] = prior[i] < far // false where nothing is known
			} else {
				m.sky[i] = !taken[[2]int{x / cell, y / cell}]
			}
			if m.sky[i] {
				m.count++
			}
		}
	}
	return m
}

// pixelOf is where a camera sees a point of the world.
func pixelOf(cam *raster.Camera, p [3]float64) (x, y int, ok bool) {
	z := dot3(cam.R[2], p) + cam.T[2]
	if !(z > cam.Near) {
		return 0, 0, false
	}
	u, v := cam.Fx*(dot3(cam.R[0], p)+cam.T[0])/z+cam.Cx, cam.Fy*(dot3(cam.R[1], p)+cam.T[1])/z+cam.Cy
	if !(u >= 0 && v >= 0 && u < float64(cam.Width) && v < float64(cam.Height)) {
		return 0, 0, false
	}
	return int(u), int(v), true
}

// skyColor is the mean colour of a place over the views that see sky there; ok when most views that see it do.
func skyColor(d *Dataset, maps []skyMap, p [3]float64) (color [3]uint8, ok bool) {
	var sum [3]int
	sky, other := 0, 0
	for i, v := range d.Train {
		pic := &v.Levels[skyLevel]
		x, y, seen := pixelOf(&pic.Camera, p)
		switch at := y*pic.Camera.Width + x; {
		case !seen:
		case maps[i].sky[at]:
			sky++
			for k := range 3 {
				sum[k] += int(pic.Pix[k][at])
			}
		default:
			other++
		}
	}
	if sky == 0 || sky < other {
		return color, false
	}
	for k := range 3 {
		color[k] = uint8(sum[k] / sky)
	}
	return color, true
}

// addSky appends the sphere to the first Gaussians.
func (t *training) addSky(points []Point, spacing float64) {
	first := t.params.Len()
	t.params.Resize(first + len(points))
	for i, point := range points {
		for k := range 3 {
			*t.params.At(first+i, simd.RowMean+k) = float32(point.XYZ[k])
			*t.params.At(first+i, simd.RowScale+k) = float32(math.Log(skyOfSpacing * spacing))
			*t.params.At(first+i, simd.RowDC+k) = (float32(point.RGB[k])/255 - 0.5) / splat.C0
		}
		*t.params.At(first+i, simd.RowRotation) = 1
		*t.params.At(first+i, simd.RowOpacity) = logit(skyOpacity)
	}
}
