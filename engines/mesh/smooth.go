package mesh

import "github.com/splatworks/splatworks/engines/raster"

// Taubin's filter (1995, "A Signal Processing Approach to Fair Surface Design"): each vertex goes some way to the mean of those beside it,
// then, by a little more, back. Bumps of a few edges go, and what is larger keeps its size.
const (
	forth     = 0.5
	back      = -0.53
	smoothing = 8 // times both
)

// smooth moves the vertices; those on open edges stay.
func (m *Mesh) smooth(workers int) {
	count := m.edgeFaces()
	first, list := m.corners()
	fixed := make([]bool, len(m.Vertices))
	for e, n := range count {
		if n == 1 {
			fixed[e[0]], fixed[e[1]] = true, true
		}
	}
	const chunk = 4096
	next := make([]vec, len(m.Vertices))
	for step := range 2 * smoothing {
		by := [2]float64{forth, back}[step%2]
		raster.Each(workers, (len(m.Vertices)+chunk-1)/chunk, func(_, c int) {
			for v := c * chunk; v < min(len(m.Vertices), (c+1)*chunk); v++ {
				next[v] = m.Vertices[v]
				if fixed[v] {
					continue
				}
				var sum vec // each neighbour twice: around a closed fan each is in two faces
				n := 0.0
				for _, f := range list[first[v]:first[v+1]] {
					for _, o := range m.Faces[f] {
						if o != int32(v) {
							sum = add(sum, m.Vertices[o])
							n++
						}
					}
				}
				if n > 0 {
					next[v] = add(m.Vertices[v], scaled(sub(scaled(sum, 1/n), m.Vertices[v]), by))
				}
			}
		})
		m.Vertices, next = next, m.Vertices
	}
}
