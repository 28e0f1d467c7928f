package mesh

import "math"

// mostHoleEdges bounds the work on one hole, which grows with the cube of its edges.
const mostHoleEdges = 300

// turnedOver is how much more the area of a triangle counts that faces away from the rest of its hole.
const turnedOver = 20

// closeHoles closes the holes whose edge is at most most long, each by the triangulation of least area (Barequet and Sharir 1995).
// The faces around every vertex must be one fan. A hole
// whose patch would fold over stays open. It returns how many were closed.
func (m *Mesh) closeHoles(most float64) (closed int) {
	count := m.edgeFaces()
	next := make(map[int32]int32)  // around a hole, counter-clockwise
	beyond := make(map[edge]int32) // the face at each of its edges
	for f, t := range m.Faces {
		for k := range 3 {
			if a, b := t[k], t[(k+1)%3]; count[edgeOf(a, b)] == 1 {
				next[b], beyond[edgeOf(a, b)] = a, int32(f)
			}
		}
	}
	done := make(map[int32]bool)
	for start := range int32(len(m.Vertices)) {
		if _, border := next[start]; !border || done[start] {
			continue
		}
		var loop []int32
		around := 0.0
		for v := start; !done[v]; v = next[v] {
			done[v] = true
			loop = append(loop, v)
			around += length(sub(m.Vertices[next[v]], m.Vertices[v]))
		}
		if !(around <= most) || len(loop) > mostHoleEdges {
			continue
		}
		if faces := m.patch(loop, count); faces != nil && !m.folds(faces, beyond) {
			m.Faces = append(m.Faces, faces...)
			for _, t := range faces {
				for k := range 3 {
					count[edgeOf(t[k], t[(k+1)%3])]++
				}
			}
			closed++
		}
	}
	return closed
}

// against is the cosine between two faces from which on one of them lies on the other: they are turned over.
const against = -0.8

// opposed says whether the normals of two faces are against each other.
func opposed(a, b vec) bool { return dot(a, b) < against*length(a)*length(b) }

// folds says whether a patch folds back onto the faces around its hole.
func (m *Mesh) folds(faces [][3]int32, beyond map[edge]int32) bool {
	for _, t := range faces {
		normal := between(m.Vertices[t[0]], m.Vertices[t[1]], m.Vertices[t[2]])
		for k := range 3 {
			if f, ok := beyond[edgeOf(t[k], t[(k+1)%3])]; ok && opposed(normal, m.normal(int(f))) {
				return true
			}
		}
	}
	return false
}

// edgeFaces counts the faces of each edge.
func (m *Mesh) edgeFaces() map[edge]int8 {
	count := make(map[edge]int8, len(m.Faces)*3/2)
	for _, t := range m.Faces {
		for k := range 3 {
			count[edgeOf(t[k], t[(k+1)%3])]++
		}
	}
	return count
}

// patch triangulates a loop with the least area: least[i][k] is that of the part from i to k, the best over all apexes between. An
// edge that the mesh has already may not be used once more. It returns nil where there is no way.
func (m *Mesh) patch(loop []int32, count map[edge]int8) (faces [][3]int32) {
	n := len(loop)
	if n < 3 {
		return nil
	}
	var out vec // of the loop: the sum of the normals of any triangulation
	for i := range loop {
		out = add(out, cross(sub(m.Vertices[loop[i]], m.Vertices[loop[0]]), sub(m.Vertices[loop[(i+1)%n]], m.Vertices[loop[0]])))
	}
	least, apex := make([]float64, n*n), make([]int, n*n)
	for gap := 2; gap < n; gap++ {
		for i := 0; i+gap < n; i++ {
			k := i + gap
			best := math.Inf(1)
			if count[edgeOf(loop[i], loop[k])] == 0 || gap == n-1 {
				for j := i + 1; j < k; j++ {
					normal := between(m.Vertices[loop[i]], m.Vertices[loop[j]], m.Vertices[loop[k]])
					a := least[i*n+j] + least[j*n+k] + length(normal)
					if dot(normal, out) < 0 {
						a += turnedOver * length(normal)
					}
					if a < best {
						best, apex[i*n+k] = a, j
					}
				}
			}
			least[i*n+k] = best
		}
	}
	if math.IsInf(least[n-1], 1) {
		return nil
	}
	parts := [][2]int{{0, n - 1}}
	for len(parts) > 0 {
		i, k := parts[len(parts)-1][0], parts[len(parts)-1][1]
		parts = parts[:len(parts)-1]
		if k-i < 2 {
			continue
		}
		j := apex[i*n+k]
		faces = append(faces, [3]int32{loop[i], loop[j], loop[k]})
		parts = append(parts, [2]int{i, j}, [2]int{j, k})
	}
	return faces
}
