// Package mesh makes a textured triangle mesh of a trained cloud: what people measure, print, and walk on.
//
// It runs after engines/trainer and engines/clean. One file is one step of Build:
//
//	depth.go     the surface of the cloud as every view sees it, what the views agree on, what the sparse points say
//	volume.go    those depths fused into a truncated signed distance, in sparse blocks of voxels
//	extract.go   the surface where that distance is zero (cube.go has the cases)
//	tidy.go      edges and vertices made manifold, small pieces dropped
//	smooth.go    the noise of the depths evened out
//	holes.go     small holes closed
//	decimate.go  edges collapsed until the mesh fits its budget
//	select.go    for every face the view that its picture comes from
//	atlas.go     those pictures packed into one texture
//	level.go     brightness evened out across the seams
//	glb.go, obj.go, stl.go  files
//
// Every step gives the same mesh for any number of threads. The frame is the world frame of the cloud.
package mesh

import "math"

type vec = [3]float64

// Mesh is triangles over shared vertices, counter-clockwise when seen from outside. World units.
type Mesh struct {
	Vertices []vec
	Faces    [][3]int32
}

func sub(a, b vec) vec { return vec{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func add(a, b vec) vec { return vec{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func scaled(a vec, s float64) vec {
	return vec{a[0] * s, a[1] * s, a[2] * s}
}
func dot(a, b vec) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func length(a vec) float64 { return math.Sqrt(dot(a, a)) }
func between(a, b, c vec) vec { // normal of a triangle, twice its area long
	return cross(sub(b, a), sub(c, a))
}
func cross(a, b vec) vec {
	return vec{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// normal of face f, twice its area long.
func (m *Mesh) normal(f int) vec {
	t := m.Faces[f]
	return between(m.Vertices[t[0]], m.Vertices[t[1]], m.Vertices[t[2]])
}

// Area of the surface, in square world units.
func (m *Mesh) Area() float64 {
	sum := 0.0
	for f := range m.Faces {
		sum += length(m.normal(f)) / 2
	}
	return sum
}

// bounds of the vertices; zero without any.
func (m *Mesh) bounds() (low, high vec) {
	if len(m.Vertices) == 0 {
		return low, high
	}
	low, high = m.Vertices[0], m.Vertices[0]
	for _, p := range m.Vertices {
		for k := range 3 {
			low[k], high[k] = min(low[k], p[k]), max(high[k], p[k])
		}
	}
	return low, high
}

// Shape says what a mesh is as a surface.
type Shape struct {
	Vertices int `json:"vertices"`
	Faces    int `json:"faces"`
	// Watertight: every edge has two faces, which agree on what is outside. What is not watertight has an edge somewhere, and no volume.
	Watertight bool `json:"watertight"`
	Open       int  `json:"open_edges"` // edges of one face
	Crossed    int  `json:"-"`          // edges of more than two faces, or of two that disagree
	Euler      int  `json:"-"`          // vertices - edges + faces: 2 for each closed piece without handles
	Degenerate int  `json:"-"`          // faces without an area
	Unused     int  `json:"-"`          // vertices of no face
}

// edge is two vertices, the lower one first.
type edge [2]int32

func edgeOf(a, b int32) edge {
	if a > b {
		a, b = b, a
	}
	return edge{a, b}
}

// Shape counts.
func (m *Mesh) Shape() Shape {
	s := Shape{Vertices: len(m.Vertices), Faces: len(m.Faces)}
	type sides struct{ forth, back int }
	edges := make(map[edge]sides, len(m.Faces)*3/2)
	used := make([]bool, len(m.Vertices))
	for f, t := range m.Faces {
		for k := range 3 {
			a, b := t[k], t[(k+1)%3]
			used[a] = true
			e := edges[edgeOf(a, b)]
			if a < b {
				e.forth++
			} else {
				e.back++
			}
			edges[edgeOf(a, b)] = e
		}
		if !(length(m.normal(f)) > 0) {
			s.Degenerate++
		}
	}
	for _, e := range edges {
		switch {
		case e.forth == 1 && e.back == 1:
		case e.forth+e.back == 1:
			s.Open++
		default:
			s.Crossed++
		}
	}
	for _, u := range used {
		if !u {
			s.Unused++
		}
	}
	s.Euler = len(m.Vertices) - s.Unused - len(edges) + len(m.Faces)
	s.Watertight = len(m.Faces) > 0 && s.Open == 0 && s.Crossed == 0
	return s
}

// kept returns the mesh of some faces, with the vertices that they use in their order.
func (m *Mesh) kept(keep func(f int) bool) *Mesh {
	out := &Mesh{}
	at := make([]int32, len(m.Vertices))
	used := make([]bool, len(m.Vertices))
	for f, t := range m.Faces {
		if keep(f) {
			out.Faces = append(out.Faces, t)
			used[t[0]], used[t[1]], used[t[2]] = true, true, true
		}
	}
	for i, u := range used {
		if u {
			at[i] = int32(len(out.Vertices))
			out.Vertices = append(out.Vertices, m.Vertices[i])
		}
	}
	for f := range out.Faces {
		for k := range 3 {
			out.Faces[f][k] = at[out.Faces[f][k]]
		}
	}
	return out
}
