package trainer

import (
	"math"
	"math/rand/v2"

	"github.com/splatworks/splatworks/engines/raster"
)

// Points are seeded from the prior depth of the training images where structure from motion found few: on walls without
// texture, and everywhere in a capture of few images.
const (
	seedCell     = 64     // pixels of a full image along the side of a cell
	seedFew      = 3      // sparse points in a cell that are enough
	seedMost     = 10_000 // points that a start can make use of
	seedAgree    = 0.05   // relative difference of depth at which two images confirm each other
	seedEdge     = 0.1    // relative difference between neighbouring pixels that is an edge: who knows on which side
	seedFarthest = 20     // extents: beyond it, depth is too uncertain to be used
)

// seedPoints draws points from the prior depth of the training images, at most that number, in image cells that fewer than
// seedFew of the given points fall into. An image that sees through a point contradicts it; one that sees it where it is
// confirms it. Without a prior it returns no points.
func seedPoints(d *Dataset, known []Point, most int, rng *rand.Rand) []Point {
	var views []*Picture
	for _, v := range d.Train {
		if p := v.prior(depthLevel); p != nil {
			views = append(views, p)
		}
	}
	if most <= 0 || len(views) == 0 {
		return nil
	}
	poor, area := make([][]bool, len(views)), 0
	for i, v := range views {
		var pixels int
		poor[i], pixels = poorCells(v, known)
		if len(known) < fewPoints {
			for c := range poor[i] {
				poor[i][c] = true
			}
			pixels = v.Camera.Width * v.Camera.Height
		}
		area += pixels
	}
	// Images overlap: of the places drawn, about half fall together or are refused.
	stride := max(2, int(math.Sqrt(float64(area)/float64(2*most))))
	grid := voxels{}
	for _, p := range known {
		grid.take(p.XYZ, views, float64(stride))
	}
	var seeds []Point
	for i, v := range views {
		w, h := v.Camera.Width, v.Camera.Height
		solid := v.solid()
		for y := stride / 2; y < h; y += stride {
			for x := stride / 2; x < w; x += stride {
				if !poor[i][cellAt(v, x, y)] || v.edge(x, y) || solid != nil && solid[y*w+x] < maskHalf {
					continue
				}
				z := 1 / float64(v.inverseDepth[y*w+x])
				if !(z <= seedFarthest*d.Extent) {
					continue
				}
				at := unproject(&v.Camera, float64(x)+0.5, float64(y)+0.5, z)
				if !confirmed(at, i, views) || !grid.takeSize(at, float64(stride)*z/v.Camera.Fx) {
					continue
				}
				seeds = append(seeds, Point{at, [3]uint8{v.Pix[0][y*w+x], v.Pix[1][y*w+x], v.Pix[2][y*w+x]}})
			}
		}
	}
	if len(seeds) > most {
		rng.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] })
		seeds = seeds[:most]
	}
	return seeds
}

// cellAt is the number of the cell of a pixel.
func cellAt(v *Picture, x, y int) int {
	const side = seedCell >> depthLevel
	return y/side*((v.Camera.Width+side-1)/side) + x/side
}

// poorCells says which cells of an image hold too few of the points that it sees, and how many pixels they have.
func poorCells(v *Picture, points []Point) (poor []bool, pixels int) {
	w, h := v.Camera.Width, v.Camera.Height
	counts := make([]int, cellAt(v, w-1, h-1)+1)
	for _, p := range points {
		if x, y, ratio := v.compare(p.XYZ); math.Abs(ratio-1) <= 2*seedAgree {
			counts[cellAt(v, x, y)]++
		}
	}
	poor = make([]bool, len(counts))
	for y := range h {
		for x := range w {
			if cell := cellAt(v, x, y); counts[cell] < seedFew {
				poor[cell] = true
				pixels++
			}
		}
	}
	return poor, pixels
}

// compare projects a world point and returns the pixel and the ratio of its depth to the prior there; NaN outside the
// image, behind it, or where nothing is known.
func (p *Picture) compare(xyz [3]float64) (x, y int, ratio float64) {
	cam := &p.Camera
	u, v, z := project(cam, xyz)
	if !(z > cam.Near && u >= 0 && v >= 0 && u < float64(cam.Width) && v < float64(cam.Height)) {
		return 0, 0, math.NaN()
	}
	x, y = int(u), int(v)
	return x, y, z * float64(p.inverseDepth[y*cam.Width+x])
}

// confirmed says whether more images see the point than see through it; a point that no other image can see is believed.
func confirmed(xyz [3]float64, from int, views []*Picture) bool {
	agree, through := 0, 0
	for i, v := range views {
		if i == from {
			continue
		}
		switch _, _, ratio := v.compare(xyz); {
		case math.Abs(ratio-1) <= seedAgree:
			agree++
		case ratio < 1:
			through++
		}
	}
	return agree > through || agree == 0 && through == 0
}

// edge says whether the prior jumps beside a pixel, or knows nothing there.
func (p *Picture) edge(x, y int) bool {
	w, h := p.Camera.Width, p.Camera.Height
	here := p.inverseDepth[y*w+x]
	for _, n := range [4][2]int{{max(x-1, 0), y}, {min(x+1, w-1), y}, {x, max(y-1, 0)}, {x, min(y+1, h-1)}} {
		if diff := p.inverseDepth[n[1]*w+n[0]] - here; !(max(diff, -diff) <= seedEdge*here) {
			return true
		}
	}
	return !(here > 0)
}

// unproject is the world point at depth z behind an image point in pixels.
func unproject(cam *raster.Camera, x, y, z float64) [3]float64 {
	local := [3]float64{(x - cam.Cx) / cam.Fx * z, (y - cam.Cy) / cam.Fy * z, z}
	world := cam.Center()
	for k := range 3 {
		world[k] += cam.R[0][k]*local[0] + cam.R[1][k]*local[1] + cam.R[2][k]*local[2]
	}
	return world
}

// voxels remembers which places are taken, in cubes as large as what they hold: sides are powers of two.
type voxels map[[4]int32]struct{}

// takeSize takes the cube of about a size around a point, unless it is taken.
func (s voxels) takeSize(xyz [3]float64, size float64) bool {
	level := math.Round(math.Log2(size))
	side := math.Exp2(level)
	key := [4]int32{int32(math.Floor(xyz[0] / side)), int32(math.Floor(xyz[1] / side)), int32(math.Floor(xyz[2] / side)), int32(level)}
	if _, taken := s[key]; taken {
		return false
	}
	s[key] = struct{}{}
	return true
}

// take takes the place of a point as each image that sees it measures it.
func (s voxels) take(xyz [3]float64, views []*Picture, stride float64) {
	for _, v := range views {
		if x, y, ratio := v.compare(xyz); math.Abs(ratio-1) <= 2*seedAgree {
			z := ratio / float64(v.inverseDepth[y*v.Camera.Width+x])
			s.takeSize(xyz, stride*z/v.Camera.Fx)
		}
	}
}
