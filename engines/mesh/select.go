package mesh

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/trainer"
)

// How the view is chosen that a face gets its picture from.
const (
	candidates  = 6    // views that are remembered for each face
	texelFacing = 0.15 // cosine between ray and face that a picture needs
	behind      = 0.01 // share of the depth by which a face may be behind what the view shows
	seamCost    = 0.3  // of a neighbour with another view, where the best view costs 0 and none at all 1
	sweeps      = 12
)

// candidate is a view that shows a face, with the pixels that it has there, times the cosine of the slant.
type candidate struct {
	view  int32
	score float32
}

// photo is an image to take pictures from, with the depth of the mesh as it would show it.
type photo struct {
	*trainer.Picture
	view
	buffer []float32 // inverse depth of the nearest face, 0: none
}

// candidatesOf finds the best views of every face.
func (m *Mesh) candidatesOf(views []*trainer.View, workers int) [][candidates]candidate {
	best := make([][candidates]candidate, len(m.Faces))
	for f := range best {
		for k := range best[f] {
			best[f][k].view = -1
		}
	}
	const chunk = 1024
	batch := make([]photo, workers)
	for first := 0; first < len(views); first += workers {
		some := batch[:min(workers, len(views)-first)]
		raster.Each(workers, len(some), func(_, i int) {
			pic := &views[first+i].Levels[0]
			some[i] = photo{Picture: pic, view: view{cam: pic.Camera}, buffer: some[i].buffer}
			some[i].draw(m)
		})
		raster.Each(workers, (len(m.Faces)+chunk-1)/chunk, func(_, c int) {
			for f := c * chunk; f < min(len(m.Faces), (c+1)*chunk); f++ {
				for i := range some {
					if score := some[i].score(m, f); score > 0 {
						insert(&best[f], candidate{int32(first + i), score})
					}
				}
			}
		})
	}
	return best
}

func insert(list *[candidates]candidate, c candidate) {
	for k := range list {
		if list[k].view < 0 || c.score > list[k].score {
			list[k], c = c, list[k]
		}
		if c.view < 0 {
			return
		}
	}
}

// place is where a point is in an image: pixels, and the depth.
func (w *view) place(p vec) (u, v, z float64) {
	q := w.camera(p)
	return w.cam.Fx*q[0]/q[2] + w.cam.Cx, w.cam.Fy*q[1]/q[2] + w.cam.Cy, q[2]
}

// draw fills the buffer with the mesh.
func (p *photo) draw(m *Mesh) {
	width, height := p.cam.Width, p.cam.Height
	if cap(p.buffer) < width*height {
		p.buffer = make([]float32, width*height)
	}
	p.buffer = p.buffer[:width*height]
	clear(p.buffer)
	near := max(p.cam.Near, 1e-6)
	for _, t := range m.Faces {
		var u, v, inverse [3]float64
		front := true
		for k, i := range t {
			var z float64
			u[k], v[k], z = p.place(m.Vertices[i])
			inverse[k] = 1 / z
			front = front && z > near
		}
		if front {
			p.fill(u, v, inverse)
		}
	}
}

// fill draws one triangle: the inverse depth is linear in the image.
func (p *photo) fill(u, v, inverse [3]float64) {
	overTriangle(u, v, p.cam.Width, p.cam.Height, func(x, y int, a, b, c float64) {
		depth := float32(a*inverse[0] + b*inverse[1] + c*inverse[2])
		if at := y*p.cam.Width + x; depth > p.buffer[at] {
			p.buffer[at] = depth
		}
	})
}

// overTriangle visits the pixels of a picture whose middle is in a triangle, with their barycentric coordinates.
func overTriangle(u, v [3]float64, width, height int, visit func(x, y int, a, b, c float64)) {
	area := (u[1]-u[0])*(v[2]-v[0]) - (u[2]-u[0])*(v[1]-v[0])
	if !(math.Abs(area) > 1e-12) {
		return
	}
	x0, x1 := max(0, min(u[0], u[1], u[2])-0.5), min(float64(width)-1, max(u[0], u[1], u[2])-0.5)
	y0, y1 := max(0, min(v[0], v[1], v[2])-0.5), min(float64(height)-1, max(v[0], v[1], v[2])-0.5)
	for y := int(math.Ceil(y0)); float64(y) <= y1; y++ {
		for x := int(math.Ceil(x0)); float64(x) <= x1; x++ {
			px, py := float64(x)+0.5, float64(y)+0.5
			a := ((u[1]-px)*(v[2]-py) - (u[2]-px)*(v[1]-py)) / area
			b := ((u[2]-px)*(v[0]-py) - (u[0]-px)*(v[2]-py)) / area
			if c := 1 - a - b; a >= -1e-9 && b >= -1e-9 && c >= -1e-9 {
				visit(x, y, a, b, c)
			}
		}
	}
}

// score of a face in the photo: 0 where it is not shown whole, from its front, and before everything else.
func (p *photo) score(m *Mesh, f int) float32 {
	t := m.Faces[f]
	normal := m.normal(f)
	middle := scaled(add(add(m.Vertices[t[0]], m.Vertices[t[1]]), m.Vertices[t[2]]), 1.0/3)
	to := sub(p.cam.Center(), middle)
	facing := dot(normal, to) / (length(normal) * length(to))
	if !(facing >= texelFacing) {
		return 0
	}
	var u, v [3]float64
	for k, i := range t {
		var z float64
		if u[k], v[k], z = p.place(m.Vertices[i]); !p.shows(u[k], v[k], z) {
			return 0
		}
	}
	if um, vm, z := p.place(middle); !p.shows(um, vm, z) {
		return 0
	}
	area := math.Abs((u[1]-u[0])*(v[2]-v[0])-(u[2]-u[0])*(v[1]-v[0])) / 2
	return float32(area * facing)
}

// shows says whether an image point counts, and shows what is at that depth.
func (p *photo) shows(u, v, z float64) bool {
	if !(z > p.cam.Near && u >= 1.5 && v >= 1.5 && u < float64(p.cam.Width)-1.5 && v < float64(p.cam.Height)-1.5) {
		return false
	}
	at := int(v)*p.cam.Width + int(u)
	if p.Mask != nil && p.Mask[at] < 128 || p.Alpha != nil && p.Alpha[at] < 128 {
		return false
	}
	// The farthest of the pixels around: the point may be at the rim of a thing.
	inverse := p.buffer[at]
	for _, o := range [4]int{-1, 1, -p.cam.Width, p.cam.Width} {
		inverse = min(inverse, p.buffer[at+o])
	}
	return inverse == 0 || z*float64(inverse) <= 1+behind
}

// labels chooses a view for every face, -1 where there is none: the best, unless its neighbours' is nearly as good. Each sweep goes
// over the faces in order and takes the cheapest choice given the neighbours' (iterated conditional modes, Besag 1986).
func labels(best [][candidates]candidate, beside [][3]int32) []int32 {
	label := make([]int32, len(best))
	for f := range best {
		label[f] = best[f][0].view
	}
	for range sweeps {
		changed := 0
		for f := range best {
			if best[f][0].view < 0 {
				continue
			}
			choice, least := label[f], math.Inf(1)
			for _, c := range best[f] {
				if c.view < 0 {
					break
				}
				cost := 1 - float64(c.score/best[f][0].score)
				for _, n := range beside[f] {
					if n >= 0 && label[n] != c.view {
						cost += seamCost
					}
				}
				if cost < least {
					choice, least = c.view, cost
				}
			}
			if choice != label[f] {
				label[f] = choice
				changed++
			}
		}
		if changed*1000 < len(best) {
			break
		}
	}
	return label
}

// beside lists the faces across the three edges of each face, -1 where there is none.
func (m *Mesh) beside() [][3]int32 {
	out := make([][3]int32, len(m.Faces))
	last := make(map[edge]int32, len(m.Faces)*3/2)
	for f, t := range m.Faces {
		for k := range 3 {
			out[f][k] = -1
			e := edgeOf(t[k], t[(k+1)%3])
			if at, known := last[e]; known {
				out[f][k] = at / 3
				out[at/3][at%3] = int32(f)
			}
			last[e] = int32(3*f + k)
		}
	}
	return out
}
