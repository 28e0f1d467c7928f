package mesh

import (
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// view is the surface of the cloud as one camera sees it.
type view struct {
	name    string
	cam     raster.Camera
	matched []int32   // sparse points that were recognised in it
	depth   []float32 // z in the camera frame; open where there is no surface, 0 where nothing is believed
	facing  []uint8   // of the surface: its normal times the ray (x, y, 1), over facingStep
}

const facingStep = 1.0 / 160

// open is the depth of a pixel that shows no surface: everything before it is empty.
var open = float32(math.Inf(1))

// solid says that a depth is that of a surface.
func solid(z float32) bool { return z > 0 && z < open }

// What is believed of a view's depth.
const (
	leastFacing = 0.1   // cosine between ray and surface
	flatness    = 0.3   // cosine between the normal of the Gaussians and that of the depth around the pixel: more is an edge
	agreeing    = 0.015 // by which the depths of two views may differ, as a share
	neighbours  = 6     // views that each is compared with
	farthest    = 4.0   // extents: what is farther away has no depth that views could agree on
)

// mostPixels of all depth maps together, as far as the pyramid goes: 5 bytes each, and up to 5 microseconds to find.
const mostPixels = 12 << 20

// level of the pyramid at which all views together have no more than mostPixels.
func levelFor(views []*trainer.View) int {
	for level := range trainer.Levels - 1 {
		pixels := 0
		for _, v := range views {
			c := &v.Levels[level].Camera
			pixels += c.Width * c.Height
		}
		if pixels <= mostPixels {
			return level
		}
	}
	return trainer.Levels - 1
}

// render draws the surface of the cloud in every view.
func render(cloud *splat.Cloud, views []*trainer.View, extent float64, workers int, done func(share float64) error) ([]*view, error) {
	level := levelFor(views)
	r := raster.NewRenderer(workers, simd.Best().Kernels())
	params := raster.Pack(cloud)
	var s raster.Surface
	out := make([]*view, len(views))
	for i, v := range views {
		pic := &v.Levels[level]
		r.Forward(params, &pic.Camera, raster.Options{})
		r.Surface(&s)
		out[i] = &view{name: v.Name, cam: pic.Camera, matched: v.Matched, depth: slices.Clone(s.Depth), facing: make([]uint8, len(s.Depth))}
		out[i].face(&s, pic.Mask, pic.Alpha, farthest*extent)
		if err := done(float64(i+1) / float64(len(views))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// face keeps the depths whose surface is not seen at a slant, and not at an edge where one thing ends before another:
// there the normal that the Gaussians have is not that of the depth around the pixel.
func (w *view) face(s *raster.Surface, mask, alpha []uint8, most float64) {
	width, height := w.cam.Width, w.cam.Height
	shows := func(plane []uint8, at int) bool { return plane == nil || plane[at] >= 128 }
	for y := range height {
		for x := range width {
			at := y*width + x
			w.depth[at] = 0
			z := float64(s.Depth[at])
			switch {
			case !shows(mask, at):
				continue
			case !(z > 0 && z <= most) || !shows(alpha, at):
				w.depth[at], w.facing[at] = open, 1/facingStep
				continue
			}
			ray := w.ray(float64(x)+0.5, float64(y)+0.5)
			n := vec{float64(s.Normal[3*at]), float64(s.Normal[3*at+1]), float64(s.Normal[3*at+2])}
			facing := -dot(n, ray)
			if !(facing >= leastFacing*length(ray)) || !(w.agrees(s, x, y, n)) {
				continue
			}
			w.depth[at] = s.Depth[at]
			w.facing[at] = uint8(min(255, max(1, facing/facingStep)))
		}
	}
}

// agrees compares the normal of the Gaussians with that of the depths beside the pixel.
func (w *view) agrees(s *raster.Surface, x, y int, n vec) bool {
	width, height := w.cam.Width, w.cam.Height
	if x == 0 || y == 0 || x == width-1 || y == height-1 {
		return false
	}
	var p [4]vec
	for k, o := range [4][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
		z := float64(s.Depth[(y+o[1])*width+x+o[0]])
		if z == 0 {
			return false
		}
		p[k] = scaled(w.ray(float64(x+o[0])+0.5, float64(y+o[1])+0.5), z)
	}
	shape := cross(sub(p[3], p[2]), sub(p[1], p[0])) // down x right: towards the camera
	return dot(shape, n) >= flatness*length(shape)
}

// ray through an image point, (x, y, 1) in the camera frame.
func (w *view) ray(u, v float64) vec {
	return vec{(u - w.cam.Cx) / w.cam.Fx, (v - w.cam.Cy) / w.cam.Fy, 1}
}

// camera brings a point to the camera frame.
func (w *view) camera(p vec) (q vec) {
	for i := range 3 {
		q[i] = dot(w.cam.R[i], p) + w.cam.T[i]
	}
	return q
}

// world is the point at depth z behind the middle of a pixel.
func (w *view) world(x, y int, z float64) (p vec) {
	return w.worldOf(scaled(w.ray(float64(x)+0.5, float64(y)+0.5), z))
}

// worldOf is the inverse of camera.
func (w *view) worldOf(q vec) (p vec) {
	q = sub(q, w.cam.T)
	for i := range 3 {
		p[i] = w.cam.R[0][i]*q[0] + w.cam.R[1][i]*q[1] + w.cam.R[2][i]*q[2]
	}
	return p
}

// look is the depth, and how the surface faces, where the view shows a point of the camera frame: between the four pixels around it
// where they show one surface, of the nearest pixel otherwise. 0 where nothing is known, open where there is no surface.
func (w *view) look(p vec) (depth, facing float64) {
	if !(p[2] > 0) {
		return 0, 0
	}
	u, v := w.cam.Fx*p[0]/p[2]+w.cam.Cx-0.5, w.cam.Fy*p[1]/p[2]+w.cam.Cy-0.5
	width, height := w.cam.Width, w.cam.Height
	if !(u >= 0 && v >= 0 && u < float64(width-1) && v < float64(height-1)) {
		return 0, 0
	}
	x, y := int(u), int(v)
	at := y*width + x
	fx, fy := u-float64(x), v-float64(y)
	a, b, c, d := float64(w.depth[at]), float64(w.depth[at+1]), float64(w.depth[at+width]), float64(w.depth[at+width+1])
	nearest := at + int(fx+0.5) + int(fy+0.5)*width
	depth, facing = float64(w.depth[nearest]), float64(w.facing[nearest])*facingStep
	switch low, high := min(a, b, c, d), max(a, b, c, d); {
	case low > 0 && high-low <= 0.05*low:
		depth = (a*(1-fx)+b*fx)*(1-fy) + (c*(1-fx)+d*fx)*fy
	case math.IsInf(depth, 1) && low < depth: // the rim of a thing is within the pixel
		return 0, 0
	}
	return depth, facing
}

// mayShow is false where the view surely does not show a block with that corner.
func (w *view) mayShow(corner vec, edge float64) bool {
	half := edge / 2
	p := w.camera(add(corner, vec{half, half, half}))
	radius := half * math.Sqrt(3)
	if p[2] < -radius {
		return false
	}
	if p[2] < 2*radius {
		return true
	}
	// The sphere is within the image widened by its radius at its nearest depth, and by half for what perspective adds.
	z := p[2] - radius
	u, v := w.cam.Fx*p[0]/p[2]+w.cam.Cx, w.cam.Fy*p[1]/p[2]+w.cam.Cy
	rx, ry := 1.5*w.cam.Fx*radius/z, 1.5*w.cam.Fy*radius/z
	return u+rx >= 0 && u-rx < float64(w.cam.Width) && v+ry >= 0 && v-ry < float64(w.cam.Height)
}

// Agreement is what the views' depths say about one another and about the sparse points.
type Agreement struct {
	Views   int     `json:"views"`               // whose depth was used
	LeftOut int     `json:"left_out"`            // views whose depth is not that of the sparse points
	Agree   float64 `json:"agreeing_depths"`     // share of the depths that another view confirms
	Points  float64 `json:"sparse_points_error"` // median over the views of their median |z/z_sfm - 1|
}

// offPoints is the median error at the sparse points from which on a view is not believed; fewPoints are too few to tell.
const (
	offPoints = 0.1
	fewPoints = 11
)

// check compares each view's depth with the sparse points, leaves out views that are far off, and keeps of the others the depths
// that at least one neighbour confirms, and no more neighbours see through than confirm.
func check(views []*view, points []trainer.Point, workers int) ([]*view, Agreement, error) {
	var a Agreement
	var errors []float64
	used := slices.DeleteFunc(slices.Clone(views), func(w *view) bool {
		e, n := w.pointError(points)
		if n < fewPoints {
			return false
		}
		errors = append(errors, e)
		return !(e <= offPoints)
	})
	a.Views, a.LeftOut = len(used), len(views)-len(used)
	if len(errors) > 0 {
		slices.Sort(errors)
		a.Points = errors[len(errors)/2]
	}
	if len(used) < 2 {
		return nil, a, fmt.Errorf("the depth of %d of %d views agrees with the sparse points: too few for a surface", len(used), len(views))
	}
	beside := neighboursOf(used)
	confirmed := make([][]bool, len(used))
	raster.Each(workers, len(used), func(_, i int) { confirmed[i] = used[i].confirmed(used, beside[i]) })
	before, after := 0, 0
	for i, w := range used {
		for at, z := range w.depth {
			if solid(z) {
				before++
				if confirmed[i][at] {
					after++
				} else {
					w.depth[at] = 0
				}
			}
		}
	}
	a.Agree = float64(after) / float64(max(1, before))
	if after == 0 {
		return nil, a, fmt.Errorf("no two views agree where a surface is")
	}
	return used, a, nil
}

// pointError is the median of |z/z_sfm - 1| at the sparse points that were recognised in the view.
func (w *view) pointError(points []trainer.Point) (e float64, n int) {
	var errors []float64
	for _, i := range w.matched {
		p := w.camera(points[i].XYZ)
		if depth, _ := w.look(p); solid(float32(depth)) {
			errors = append(errors, math.Abs(depth/p[2]-1))
		}
	}
	if len(errors) == 0 {
		return 0, 0
	}
	slices.Sort(errors)
	return errors[len(errors)/2], len(errors)
}

// neighboursOf lists for each view those that look nearly the same way from the nearest places.
func neighboursOf(views []*view) [][]int {
	out := make([][]int, len(views))
	for i, w := range views {
		var order []int
		cost := make([]float64, len(views))
		for j, o := range views {
			cos := dot(w.cam.R[2], o.cam.R[2])
			cost[j] = length(sub(w.cam.Center(), o.cam.Center())) * (2 - cos)
			if j != i && cos > 0.3 {
				order = append(order, j)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case cost[a] < cost[b]:
				return -1
			case cost[a] > cost[b]:
				return 1
			}
			return 0
		})
		// Nearest ones, and some farther off: those beside it share its errors.
		for len(order) > 3*neighbours {
			order = order[:3*neighbours]
		}
		for k := 0; k < len(order); k += max(1, len(order)/neighbours) {
			out[i] = append(out[i], order[k])
		}
	}
	return out
}

// confirmed says of every pixel whether the neighbours agree with its depth.
func (w *view) confirmed(views []*view, beside []int) []bool {
	ok := make([]bool, len(w.depth))
	for at, z := range w.depth {
		if !solid(z) {
			continue
		}
		p := w.world(at%w.cam.Width, at/w.cam.Width, float64(z))
		agree, through := 0, 0
		for _, j := range beside {
			q := views[j].camera(p)
			depth, _ := views[j].look(q)
			switch {
			case depth == 0:
			case math.Abs(depth/q[2]-1) <= agreeing:
				agree++
			case depth > q[2]:
				through++
			}
		}
		ok[at] = agree > 0 && agree >= through
	}
	return ok
}
