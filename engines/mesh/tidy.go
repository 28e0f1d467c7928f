package mesh

import "slices"

// corners lists the faces around each vertex: those of vertex i are list[first[i]:first[i+1]].
func (m *Mesh) corners() (first []int32, list []int32) {
	first = make([]int32, len(m.Vertices)+1)
	for _, t := range m.Faces {
		for _, v := range t {
			first[v+1]++
		}
	}
	for i := range m.Vertices {
		first[i+1] += first[i]
	}
	list = make([]int32, 3*len(m.Faces))
	next := slices.Clone(first)
	for f, t := range m.Faces {
		for _, v := range t {
			list[next[v]] = int32(f)
			next[v]++
		}
	}
	return first, list
}

// untouched gives every vertex at which several sheets of faces touch a twin for each further sheet: then the faces around a vertex
// are one fan, and its boundary, if it has one, one line.
func (m *Mesh) untouched() {
	first, list := m.corners()
	for v := range int32(len(first) - 1) {
		around := list[first[v]:first[v+1]]
		if len(around) < 2 {
			continue
		}
		fan := make([]bool, len(around)) // that the first face belongs to, then the second, and so on
		for left, sheet := len(around), 0; left > 0; sheet++ {
			for k := range around {
				if !fan[k] && around[k] >= 0 {
					fan[k] = true
					break
				}
			}
			for grown := true; grown; {
				grown = false
				for k := range around {
					if around[k] < 0 || fan[k] {
						continue
					}
					for j := range around {
						if around[j] >= 0 && fan[j] && m.shareEdgeAt(v, around[k], around[j]) {
							fan[k], grown = true, true
							break
						}
					}
				}
			}
			twin := v
			if sheet > 0 {
				twin = int32(len(m.Vertices))
				m.Vertices = append(m.Vertices, m.Vertices[v])
			}
			for k := range around {
				if fan[k] {
					if sheet > 0 {
						replace(&m.Faces[around[k]], v, twin)
					}
					around[k], fan[k] = -1, false
					left--
				}
			}
		}
	}
}

func replace(t *[3]int32, from, to int32) {
	for k := range t {
		if t[k] == from {
			t[k] = to
		}
	}
}

// shareEdgeAt says whether two faces share an edge that ends at vertex v.
func (m *Mesh) shareEdgeAt(v, f, g int32) bool {
	for _, a := range m.Faces[f] {
		if a != v && slices.Contains(m.Faces[g][:], a) {
			return true
		}
	}
	return false
}

// pieces numbers the connected pieces of the mesh: that of each face, and the area of each piece.
func (m *Mesh) pieces() (of []int32, areas []float64) {
	parent := make([]int32, len(m.Vertices))
	for i := range parent {
		parent[i] = int32(i)
	}
	find := func(v int32) int32 {
		for parent[v] != v {
			parent[v] = parent[parent[v]]
			v = parent[v]
		}
		return v
	}
	for _, t := range m.Faces {
		for k := 1; k < 3; k++ {
			a, b := find(t[0]), find(t[k])
			parent[max(a, b)] = min(a, b)
		}
	}
	number := make(map[int32]int32)
	of = make([]int32, len(m.Faces))
	for f, t := range m.Faces {
		root := find(t[0])
		n, known := number[root]
		if !known {
			n = int32(len(areas))
			number[root] = n
			areas = append(areas, 0)
		}
		of[f] = n
		areas[n] += length(m.normal(f)) / 2
	}
	return of, areas
}

// large keeps the largest piece, and those that have at least a share of its area.
func (m *Mesh) large(share float64) *Mesh {
	of, areas := m.pieces()
	if len(areas) == 0 {
		return m
	}
	bound := share * slices.Max(areas)
	return m.kept(func(f int) bool { return areas[of[f]] >= bound })
}

// trimmed is the mesh without the teeth at its borders: faces of which two edges are open.
func (m *Mesh) trimmed() *Mesh {
	count := m.edgeFaces()
	return m.kept(func(f int) bool {
		free := 0
		for k := range 3 {
			if count[edgeOf(m.Faces[f][k], m.Faces[f][(k+1)%3])] == 1 {
				free++
			}
		}
		return free < 2
	})
}

// unfolded is the mesh without the faces that lie on their neighbours or have no area.
func (m *Mesh) unfolded() *Mesh {
	beside := m.beside()
	out := m.kept(func(f int) bool {
		if !(length(m.normal(f)) > 0) {
			return false
		}
		for _, g := range beside[f] {
			if g >= 0 && opposed(m.normal(f), m.normal(int(g))) {
				return false
			}
		}
		return true
	})
	out.untouched()
	return out
}
