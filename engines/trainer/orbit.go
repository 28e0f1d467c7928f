package trainer

import (
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/scene"
)

// Film chooses n cameras for a closed preview film of a splat: a ring around the subject where the pictures surround one,
// else there and back along the way of the pictures, so that it shows what they saw. ok is false when even that shows
// next to nothing: most of it nearly black, or without most of the points that pictures see. It begins where the subject is best in
// the picture.
func Film(d *Dataset, p *Painter, n int) (path []raster.Camera, ok bool) {
	if ring := ringAround(d.Train, n); ring != nil && shows(d, p, ring) {
		return d.fromTheSubject(ring), true
	}
	path = along(d.Train, n)
	return d.fromTheSubject(path), shows(d, p, path)
}

// fromTheSubject turns a closed path so that it begins with the camera that has most of the subject, well inside the picture. The subject
// is what the pictures have in common: a point counts as often as it was matched.
func (d *Dataset) fromTheSubject(path []raster.Camera) []raster.Camera {
	matched := make([]float64, len(d.Points))
	for _, v := range d.Train {
		for _, i := range v.Matched {
			matched[i]++
		}
	}
	best, at := 0.0, 0
	for k := range path {
		cam := &path[k]
		score := 0.0
		for i, p := range d.Points {
			u, v, z := project(cam, p.XYZ)
			inside := min(u/float64(cam.Width), 1-u/float64(cam.Width), v/float64(cam.Height), 1-v/float64(cam.Height))
			if z > cam.Near && inside > 0 {
				score += matched[i] * inside
			}
		}
		if score > best {
			best, at = score, k
		}
	}
	return slices.Concat(path[at:], path[:at])
}

// surrounded is half the arc, seen from the subject, from which cameras are all around it: 270° in all.
const surrounded = 0.75 * math.Pi

// ringAround is a circle through the middle of where the pictures were taken from, looking at what they look at; nil where
// they do not surround a subject.
func ringAround(views []*View, n int) []raster.Camera {
	var centers, directions [][3]float64
	for _, v := range views {
		cam := &v.Levels[0].Camera
		centers, directions = append(centers, cam.Center()), append(directions, cam.R[2])
	}
	focus, ok := scene.Focus(centers, directions)
	if !ok || n <= 0 {
		return nil
	}
	up := upOf(views)
	right := anyNormal(up)
	ahead := cross(up, right)
	// Cameras as height over the focus, distance from the axis, and angle around it.
	var heights, distances, angles []float64
	for _, c := range centers {
		d := minus(c, focus)
		x, y := dot3(d, right), dot3(d, ahead)
		heights = append(heights, dot3(d, up))
		distances = append(distances, math.Hypot(x, y))
		angles = append(angles, math.Atan2(y, x))
	}
	height, distance := median(heights), median(distances)
	first := angles[0]
	if _, half := arc(angles); half < surrounded {
		return nil
	}
	model := usualCamera(views)
	path := make([]raster.Camera, n)
	for i := range path {
		s, c := math.Sincos(first + 2*math.Pi*float64(i)/float64(n))
		var eye [3]float64
		for k := range 3 {
			eye[k] = focus[k] + height*up[k] + distance*(c*right[k]+s*ahead[k])
		}
		path[i] = lookAt(model, eye, focus, up)
	}
	return path
}

// steep is the cosine of the angle to the horizon, 17° off the vertical, below which a viewing direction says too little
// about where the picture's sides are.
const steep = 0.3

// along is the smoothed way of the pictures, in the order of their names, from its middle to the end, back to the beginning
// and to the middle. The horizon is level; where the camera looks down or up steeply, its own sides decide.
func along(views []*View, n int) []raster.Camera {
	if len(views) == 0 || n <= 0 {
		return nil
	}
	model, up := usualCamera(views), upOf(views)
	places := placesAlong(views)
	width := max(0.03, 1/float64(len(views))) // of the whole way, that is smoothed over
	path := make([]raster.Camera, n)
	for i := range path {
		at := (1 + math.Sin(2*math.Pi*float64(i)/float64(n))) / 2
		nearest := math.Inf(1) // so that the weights do not all vanish in a gap
		for _, place := range places {
			nearest = min(nearest, math.Abs(place-at))
		}
		var eye, forward, right [3]float64
		total := 0.0
		for k, v := range views {
			off := places[k] - at
			w := math.Exp((nearest*nearest - off*off) / (2 * width * width))
			cam := &v.Levels[0].Camera
			c := cam.Center()
			for axis := range 3 {
				eye[axis] += w * c[axis]
				forward[axis] += w * cam.R[2][axis]
				right[axis] += w * cam.R[0][axis]
			}
			total += w
		}
		for axis := range 3 {
			eye[axis] /= total
		}
		z := unit(forward, views[0].Levels[0].Camera.R[2])
		x := cross(z, up)
		if math.Sqrt(dot3(x, x)) < steep {
			x = minus(right, scaled(dot3(right, z), z))
		}
		path[i] = facing(model, eye, unit(x, anyNormal(z)), z)
	}
	return path
}

// placesAlong is where each picture lies on the way, 0 to 1: half by the number of pictures, half by the distance, so that
// the film neither stops where the camera stopped nor leaps where it ran.
func placesAlong(views []*View) []float64 {
	places := make([]float64, len(views))
	for i := 1; i < len(views); i++ {
		places[i] = places[i-1] + distance(views[i-1].Levels[0].Camera.Center(), views[i].Levels[0].Camera.Center())
	}
	length := places[len(places)-1]
	for i := range places {
		byNumber := float64(i) / float64(max(1, len(views)-1))
		byDistance := byNumber
		if length > 0 {
			byDistance = places[i] / length
		}
		places[i] = (byNumber + byDistance) / 2
	}
	return places
}

// tilted is the median rise of the pictures' horizontal sides from which the world frame cannot have been settled.
const tilted = 0.3

// upOf is up: −y of a settled world, which people's cameras are level in. A world of another tool may lie anyhow; then the
// pictures' upper edges decide.
func upOf(views []*View) [3]float64 {
	var rises []float64
	var edges [3]float64
	for _, v := range views {
		cam := &v.Levels[0].Camera
		rises = append(rises, math.Abs(cam.R[0][1]))
		edges = minus(edges, cam.R[1])
	}
	minusY := [3]float64{0, -1, 0}
	if len(rises) > 0 && median(rises) > tilted {
		return unit(edges, minusY)
	}
	return minusY
}

// usualCamera is the middle one of those with the size that most pictures have.
func usualCamera(views []*View) raster.Camera {
	bySize := map[[2]int][]*raster.Camera{}
	var usual []*raster.Camera
	for _, v := range views {
		cam := &v.Levels[0].Camera
		size := [2]int{cam.Width, cam.Height}
		bySize[size] = append(bySize[size], cam)
		if len(bySize[size]) > len(usual) {
			usual = bySize[size]
		}
	}
	return *usual[len(usual)/2]
}

// What a film must show.
const (
	looks      = 12  // cameras of it that are tried
	seenLeast  = 4   // a part of what pictures see: a quarter of their points
	lightLeast = 0.2 // of the pictures' mean
)

// shows says whether most of a path shows something: a quarter of the points that pictures see, a fifth of their light.
func shows(d *Dataset, p *Painter, path []raster.Camera) bool {
	var counts, lights []float64
	for _, v := range d.Train {
		pic := &v.Levels[Levels-1]
		counts = append(counts, float64(inSight(&pic.Camera, d.Points)))
		sum := 0
		for _, plane := range pic.Pix {
			for _, value := range plane {
				sum += int(value)
			}
		}
		lights = append(lights, float64(sum)/float64(3*len(pic.Pix[0])))
	}
	if len(counts) == 0 || len(path) == 0 {
		return false
	}
	usual, light := median(counts), median(lights)
	good, tried := 0, min(looks, len(path))
	for i := range tried {
		cam := path[i*len(path)/tried]
		small := cam.Scaled(max(1, cam.Width/4), max(1, cam.Height/4))
		if seenLeast*float64(inSight(&cam, d.Points)) >= usual && p.meanOf(&small) >= lightLeast*light {
			good++
		}
	}
	return 2*good > tried
}

// inSight counts the points that a camera has in its picture.
func inSight(cam *raster.Camera, points []Point) (n int) {
	for _, p := range points {
		u, v, z := project(cam, p.XYZ)
		if z > cam.Near && u >= 0 && v >= 0 && u < float64(cam.Width) && v < float64(cam.Height) {
			n++
		}
	}
	return n
}

// meanOf is the mean of all channels of a picture, 0 to 255.
func (p *Painter) meanOf(cam *raster.Camera) float64 {
	img := p.Paint(cam)
	sum := 0
	for i := 0; i < len(img.Pix); i += 4 {
		sum += int(img.Pix[i]) + int(img.Pix[i+1]) + int(img.Pix[i+2])
	}
	return float64(sum) / float64(3*len(img.Pix)/4)
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

// lookAt turns a camera to a target, its picture level.
func lookAt(cam raster.Camera, eye, target, up [3]float64) raster.Camera {
	z := unit(minus(target, eye), [3]float64{0, 0, 1})
	return facing(cam, eye, unit(cross(z, up), anyNormal(z)), z)
}

// facing places a camera with its picture's right side and viewing direction, unit vectors at a right angle.
func facing(cam raster.Camera, eye, x, z [3]float64) raster.Camera {
	cam.R = [3][3]float64{x, cross(z, x), z}
	for i := range 3 {
		cam.T[i] = -dot3(cam.R[i], eye)
	}
	return cam
}

func scaled(s float64, v [3]float64) [3]float64 { return [3]float64{s * v[0], s * v[1], s * v[2]} }

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

// DepthAhead is the median depth, along the optical axis of cam, of the sparse points in the middle half of its picture, in world
// units; Extent where it sees none there.
func (d *Dataset) DepthAhead(cam *raster.Camera) float64 {
	var depths []float64
	for _, p := range d.Points {
		u, v, z := project(cam, p.XYZ)
		if z > cam.Near && math.Abs(u-cam.Cx) < float64(cam.Width)/4 && math.Abs(v-cam.Cy) < float64(cam.Height)/4 {
			depths = append(depths, z)
		}
	}
	if len(depths) == 0 {
		return d.Extent
	}
	return median(depths)
}
