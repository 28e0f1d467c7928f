package mesh

import (
	"github.com/splatworks/splatworks/engines/raster"
)

// Photos differ in exposure and white balance, so that charts do not fit together. For every knot an offset is found that is added
// to the colours there, and between knots linearly: at a seam the offsets take up the difference of the two sides, and inside a chart
// they change slowly (Lempitsky and Ivanov 2007, "Seamless Mosaicing of Image-Based Texture Maps", eq. 6, by least squares).
const (
	slow    = 0.2  // weight of the difference between neighbours of a chart, where that of a seam is 1
	still   = 1e-3 // weight of the offset itself: the whole keeps its brightness
	rounds  = 300  // of the solver at most
	precise = 1e-4 // of the right side, what may be left of it
	around  = 2    // texels around a knot whose mean is its colour
)

// link joins two knots whose offsets are to differ by a value, in each channel.
type link struct {
	a, b   int32
	weight float64
	by     [3]float64
}

// level finds the offsets and adds them.
func (t *texturing) level(workers int) {
	links := t.links()
	var offsets [3][]float64
	raster.Each(workers, 3, func(_, channel int) { offsets[channel] = solve(len(t.knots), links, channel) })
	raster.Each(workers, len(t.charts), func(_, i int) { t.shift(&t.charts[i], &offsets) })
}

// links are the seams, between the knots of one vertex, and the edges inside charts.
func (t *texturing) links() []link {
	var links []link
	first := make([]int32, len(t.m.Vertices)) // knot of each vertex plus 1
	for n := range t.knots {
		k := &t.knots[n]
		if k.chart < 0 {
			continue
		}
		if f := first[k.vertex]; f > 0 {
			l := link{a: f - 1, b: int32(n), weight: 1}
			ca, cb := t.color(l.a, around), t.color(l.b, around)
			for channel := range 3 {
				l.by[channel] = cb[channel] - ca[channel]
			}
			links = append(links, l)
		} else {
			first[k.vertex] = int32(n) + 1
		}
	}
	for i := range t.charts {
		for _, f := range t.charts[i].faces {
			for k := range 3 {
				links = append(links, link{a: t.of[f][k], b: t.of[f][(k+1)%3], weight: slow})
			}
		}
	}
	return links
}

// solve minimises Σ weight·(g_a − g_b − by)² + still·Σ g² by conjugate gradients.
func solve(n int, links []link, channel int) []float64 {
	g, r := make([]float64, n), make([]float64, n)
	for i := range links {
		l := &links[i]
		r[l.a] += l.weight * l.by[channel]
		r[l.b] -= l.weight * l.by[channel]
	}
	p, ap := make([]float64, n), make([]float64, n)
	copy(p, r)
	square := func(v []float64) (s float64) {
		for _, x := range v {
			s += x * x
		}
		return s
	}
	left := square(r)
	for bound, round := left*precise*precise, 0; left > bound && round < rounds; round++ {
		for i := range ap {
			ap[i] = still * p[i]
		}
		for i := range links {
			l := &links[i]
			d := l.weight * (p[l.a] - p[l.b])
			ap[l.a] += d
			ap[l.b] -= d
		}
		curve := 0.0
		for i := range p {
			curve += p[i] * ap[i]
		}
		step := left / curve
		for i := range g {
			g[i] += step * p[i]
			r[i] -= step * ap[i]
		}
		was := left
		left = square(r)
		for i := range p {
			p[i] = r[i] + left/was*p[i]
		}
	}
	return g
}

// shift adds the offsets to a chart's texels, and to those around them what the nearest have.
func (t *texturing) shift(c *chart, offsets *[3][]float64) {
	sums := make([][4]float32, c.w*c.h) // offset, and how many
	for _, f := range c.faces {
		var u, v [3]float64
		for k, n := range t.of[f] {
			u[k], v[k] = t.knots[n].u-float64(c.x), t.knots[n].v-float64(c.y)
		}
		n := t.of[f]
		overTriangle(u, v, c.w, c.h, func(x, y int, a, b, d float64) {
			s := &sums[y*c.w+x]
			for channel := range 3 {
				s[channel] = float32(a*offsets[channel][n[0]] + b*offsets[channel][n[1]] + d*offsets[channel][n[2]])
			}
			s[3] = 1
		})
	}
	for range margin {
		grow(sums, c.w, c.h)
	}
	for i, s := range sums {
		if s[3] > 0 {
			at := t.pix.PixOffset(c.x+i%c.w, c.y+i/c.w)
			for channel := range 3 {
				t.pix.Pix[at+channel] = uint8(min(max(float32(t.pix.Pix[at+channel])+s[channel]+0.5, 0), 255))
			}
		}
	}
}

// grow gives texels without an offset the mean of those beside them.
func grow(sums [][4]float32, width, height int) {
	var at []int
	var found [][4]float32
	for i := range sums {
		if sums[i][3] > 0 {
			continue
		}
		x, y := i%width, i/width
		var s [4]float32
		for _, o := range [4][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			if nx, ny := x+o[0], y+o[1]; nx >= 0 && ny >= 0 && nx < width && ny < height && sums[ny*width+nx][3] > 0 {
				for k := range s {
					s[k] += sums[ny*width+nx][k]
				}
			}
		}
		if s[3] > 0 {
			at, found = append(at, i), append(found, [4]float32{s[0] / s[3], s[1] / s[3], s[2] / s[3], 1})
		}
	}
	for k, i := range at {
		sums[i] = found[k]
	}
}
