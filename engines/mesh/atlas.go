package mesh

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/trainer"
)

// Textured is a mesh with a picture on it.
type Textured struct {
	*Mesh
	UV      [][2]float32 // in the texture, 0 to 1 from its upper left corner
	Corners [][3]int32   // of every face, in UV
	Texture *image.NRGBA
	Seen    float64 // share of the area that a view shows
}

const (
	margin        = 3       // texels around a chart
	patchPx       = 4       // side of the cell of a face that no view shows
	smallestTexel = 1.0 / 8 // texels of a photo pixel at least
)

// chart is connected faces that one view shows, cut out of its photo.
type chart struct {
	view       int32
	faces      []int32
	low, high  [2]float64 // in the photo, pixels
	x, y, w, h int        // in the texture, margins included
}

// knot is a vertex in a chart: a place in the texture.
type knot struct {
	vertex int32
	chart  int32
	u, v   float64 // texels
}

// texturing is the work on one texture.
type texturing struct {
	m      *Mesh
	views  []*trainer.View
	charts []chart
	unseen []int32 // faces
	knots  []knot
	of     [][3]int32 // knots of every face
	scale  float64    // texels of a photo's pixel
	size   int        // of the texture, texels
	pix    *image.NRGBA
}

// textured makes the texture of a mesh from the photos: for every face from one of them, and over seams evened out. What no photo
// shows has the colours around it.
func textured(m *Mesh, views []*trainer.View, mostPx, workers int) (*Textured, error) {
	beside := m.beside()
	label := labels(m.candidatesOf(views, workers), beside)
	t := &texturing{m: m, views: views, of: make([][3]int32, len(m.Faces))}
	t.cut(label, beside)
	if len(t.charts) == 0 {
		return nil, fmt.Errorf("no view shows a face of the mesh")
	}
	if err := t.pack(mostPx); err != nil {
		return nil, err
	}
	t.pix = image.NewNRGBA(image.Rect(0, 0, t.size, t.size))
	raster.Each(workers, len(t.charts), func(_, i int) { t.copy(&t.charts[i]) })
	t.tie()
	t.level(workers)
	t.paintUnseen()
	for i := 3; i < len(t.pix.Pix); i += 4 {
		t.pix.Pix[i] = 255
	}
	return t.result(), nil
}

// cut groups the faces into charts, those of the lowest faces first.
func (t *texturing) cut(label []int32, beside [][3]int32) {
	done := make([]bool, len(label))
	for start := range label {
		if done[start] {
			continue
		}
		done[start] = true
		if label[start] < 0 {
			t.unseen = append(t.unseen, int32(start))
			continue
		}
		c := chart{view: label[start], faces: []int32{int32(start)}, low: [2]float64{math.Inf(1), math.Inf(1)}, high: [2]float64{math.Inf(-1), math.Inf(-1)}}
		for k := 0; k < len(c.faces); k++ {
			for _, n := range beside[c.faces[k]] {
				if n >= 0 && !done[n] && label[n] == c.view {
					done[n] = true
					c.faces = append(c.faces, n)
				}
			}
		}
		w := t.view(c.view)
		for _, f := range c.faces {
			for _, i := range t.m.Faces[f] {
				u, v, _ := w.place(t.m.Vertices[i])
				c.low[0], c.low[1] = min(c.low[0], u), min(c.low[1], v)
				c.high[0], c.high[1] = max(c.high[0], u), max(c.high[1], v)
			}
		}
		t.charts = append(t.charts, c)
	}
}

func (t *texturing) view(i int32) *view { return &view{cam: t.views[i].Levels[0].Camera} }

// pack finds a place for every chart, highest first, in rows; the texture grows up to mostPx, then its texels do.
func (t *texturing) pack(mostPx int) error {
	order := make([]int, len(t.charts))
	for i := range order {
		order[i] = i
	}
	for t.scale = 1; t.scale > smallestTexel; t.scale *= 0.9 {
		for i := range t.charts {
			c := &t.charts[i]
			c.w = int(math.Ceil((c.high[0]-c.low[0])*t.scale)) + 2*margin
			c.h = int(math.Ceil((c.high[1]-c.low[1])*t.scale)) + 2*margin
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.charts[b].h, t.charts[a].h) })
		for t.size = min(512, mostPx); ; t.size = min(2*t.size, mostPx) {
			if t.rows(order) {
				return nil
			}
			if t.size == mostPx {
				break
			}
		}
	}
	return fmt.Errorf("the pictures of %d pieces of the surface do not fit into a texture of %d pixels", len(t.charts), mostPx)
}

// rows places the charts below the cells of the unseen faces.
func (t *texturing) rows(order []int) bool {
	across := t.size / patchPx
	x, y, high := 0, (len(t.unseen)+across-1)/across*patchPx, 0
	for _, i := range order {
		c := &t.charts[i]
		if x+c.w > t.size {
			x, y, high = 0, y+high, 0
		}
		if c.w > t.size || y+c.h > t.size {
			return false
		}
		c.x, c.y = x, y
		x, high = x+c.w, max(high, c.h)
	}
	return true
}

// texel of a point of a chart's photo.
func (t *texturing) texel(c *chart, u, v float64) (x, y float64) {
	return float64(c.x+margin) + (u-c.low[0])*t.scale, float64(c.y+margin) + (v-c.low[1])*t.scale
}

// copy brings a chart's rectangle of the photo into the texture, margins with what the photo shows there.
func (t *texturing) copy(c *chart) {
	pic := &t.views[c.view].Levels[0]
	for y := range c.h {
		for x := range c.w {
			u := c.low[0] + (float64(x)+0.5-margin)/t.scale
			v := c.low[1] + (float64(y)+0.5-margin)/t.scale
			at := t.pix.PixOffset(c.x+x, c.y+y)
			for channel := range 3 {
				t.pix.Pix[at+channel] = uint8(bilinear(pic.Pix[channel], pic.Camera.Width, pic.Camera.Height, u, v) + 0.5)
			}
		}
	}
}

// bilinear is a plane's value at an image point, its rim repeated outside.
func bilinear(plane []uint8, width, height int, u, v float64) float64 {
	u, v = min(max(u-0.5, 0), float64(width-1)), min(max(v-0.5, 0), float64(height-1))
	x, y := min(int(u), max(0, width-2)), min(int(v), max(0, height-2))
	fx, fy := u-float64(x), v-float64(y)
	right, below := min(x+1, width-1), min(y+1, height-1)
	top := float64(plane[y*width+x])*(1-fx) + float64(plane[y*width+right])*fx
	bottom := float64(plane[below*width+x])*(1-fx) + float64(plane[below*width+right])*fx
	return top*(1-fy) + bottom*fy
}

// tie makes the knots: one for each vertex of a chart, and three for each unseen face.
func (t *texturing) tie() {
	type place struct{ vertex, chart int32 }
	known := make(map[place]int32)
	for i := range t.charts {
		c := &t.charts[i]
		w := t.view(c.view)
		for _, f := range c.faces {
			for k, vertex := range t.m.Faces[f] {
				at := place{vertex, int32(i)}
				n, ok := known[at]
				if !ok {
					n = int32(len(t.knots))
					known[at] = n
					u, v, _ := w.place(t.m.Vertices[vertex])
					x, y := t.texel(c, u, v)
					t.knots = append(t.knots, knot{vertex, int32(i), x, y})
				}
				t.of[f][k] = n
			}
		}
	}
	across := t.size / patchPx
	for i, f := range t.unseen {
		x, y := float64(i%across*patchPx), float64(i/across*patchPx)
		for k, o := range [3][2]float64{{1, 1}, {3, 1}, {1, 3}} {
			t.of[f][k] = int32(len(t.knots))
			t.knots = append(t.knots, knot{t.m.Faces[f][k], -1, x + o[0], y + o[1]})
		}
	}
}

// color is the mean of the texture around a knot.
func (t *texturing) color(n int32, radius int) (c [3]float64) {
	k := &t.knots[n]
	count := 0.0
	for y := max(0, int(k.v)-radius); y <= min(t.size-1, int(k.v)+radius); y++ {
		for x := max(0, int(k.u)-radius); x <= min(t.size-1, int(k.u)+radius); x++ {
			at := t.pix.PixOffset(x, y)
			for channel := range 3 {
				c[channel] += float64(t.pix.Pix[at+channel])
			}
			count++
		}
	}
	for channel := range c {
		c[channel] /= count
	}
	return c
}

// paintUnseen gives the faces that no view shows the colours of the vertices around them: known ones where they meet the rest, and
// further on the mean of what is beside them.
func (t *texturing) paintUnseen() {
	colors := make([][3]float64, len(t.m.Vertices))
	weight := make([]float64, len(t.m.Vertices))
	for n := range t.knots {
		if k := &t.knots[n]; k.chart >= 0 {
			c := t.color(int32(n), 1)
			for channel := range 3 {
				colors[k.vertex][channel] += c[channel]
			}
			weight[k.vertex]++
		}
	}
	for left := len(t.unseen); left > 0; {
		sums := make(map[int32][4]float64)
		for _, f := range t.unseen {
			for _, a := range t.m.Faces[f] {
				for _, b := range t.m.Faces[f] {
					if weight[a] == 0 && weight[b] > 0 {
						s := sums[a]
						for channel := range 3 {
							s[channel] += colors[b][channel] / weight[b]
						}
						s[3]++
						sums[a] = s
					}
				}
			}
		}
		for v, s := range sums {
			colors[v], weight[v] = [3]float64(s[:3]), s[3]
		}
		if len(sums) == 0 {
			break
		}
		left -= len(sums)
	}
	for _, f := range t.unseen {
		k := t.knots[t.of[f][0]]
		var corner [3][3]float64
		for i, v := range t.m.Faces[f] {
			corner[i] = [3]float64{128, 128, 128}
			if weight[v] > 0 {
				corner[i] = [3]float64{colors[v][0] / weight[v], colors[v][1] / weight[v], colors[v][2] / weight[v]}
			}
		}
		for y := range patchPx {
			for x := range patchPx {
				a, b := (float64(x)-0.5)/2, (float64(y)-0.5)/2
				at := t.pix.PixOffset(int(k.u)-1+x, int(k.v)-1+y)
				for channel := range 3 {
					value := corner[0][channel] + a*(corner[1][channel]-corner[0][channel]) + b*(corner[2][channel]-corner[0][channel])
					t.pix.Pix[at+channel] = uint8(min(max(value+0.5, 0), 255))
				}
			}
		}
	}
}

func (t *texturing) result() *Textured {
	out := &Textured{Mesh: t.m, Corners: t.of, Texture: t.pix, UV: make([][2]float32, len(t.knots))}
	for i, k := range t.knots {
		out.UV[i] = [2]float32{float32(k.u / float64(t.size)), float32(k.v / float64(t.size))}
	}
	hidden := 0.0
	for _, f := range t.unseen {
		hidden += length(t.m.normal(int(f))) / 2
	}
	out.Seen = 1 - hidden/t.m.Area()
	return out
}
