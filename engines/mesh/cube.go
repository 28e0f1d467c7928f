package mesh

import "slices"

// A cell of eight voxels whose corners are inside or outside is cut by the surface in one of 256 ways (Lorensen and Cline 1987).
// The table of its triangles is computed, not copied. On each side of the cell the surface is drawn as lines between crossed
// edges, with what is inside on their right seen from outside the cell; where all four edges of a side are crossed, the two corners
// inside are kept apart. That choice depends on the side alone, so both cells of a side draw the same lines, and the surface has no
// gap. The lines of a cell close to loops, and each loop is cut into triangles without a diagonal inside a side, where the
// neighbour could have the same.

// corner c of a cell is at (c&1, c>>1&1, c>>2&1).
func cornerAt(c int) [3]int { return [3]int{c & 1, c >> 1 & 1, c >> 2 & 1} }

// cubeEdge is an edge of a cell: from a corner, along an axis.
type cubeEdge struct{ from, axis int }

// cubeEdges are the twelve edges, and cubeSides the corners of the six sides, counter-clockwise from outside.
var (
	cubeEdges = edgesOfCube()
	cubeSides = [6][4]int{{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4}, {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}}
	cubeCases = casesOfCube()
)

func edgesOfCube() (edges [12]cubeEdge) {
	n := 0
	for axis := range 3 {
		for c := range 8 {
			if c>>axis&1 == 0 {
				edges[n] = cubeEdge{c, axis}
				n++
			}
		}
	}
	return edges
}

// edgeBetween is the number of the edge between two neighbouring corners.
func edgeBetween(a, b int) int {
	return slices.IndexFunc(cubeEdges[:], func(e cubeEdge) bool { return e.from == min(a, b) && e.from|1<<e.axis == max(a, b) })
}

// casesOfCube lists for each set of inside corners (bit c: corner c) the triangles, as edges of the cell.
func casesOfCube() (cases [256][][3]uint8) {
	for inside := range cases {
		next := linesOf(inside)
		for start := range next {
			var loop []uint8
			for e := start; next[e] >= 0; {
				loop = append(loop, uint8(e))
				e, next[e] = next[e], -1
			}
			if len(loop) > 0 {
				cases[inside] = append(cases[inside], triangulated(loop)...)
			}
		}
	}
	return cases
}

// linesOf draws the lines of the six sides: next[e] is the crossed edge that follows e; -1 where e is not crossed.
func linesOf(inside int) (next [12]int) {
	for e := range next {
		next[e] = -1
	}
	for _, side := range cubeSides {
		for k := range 4 {
			a, b := side[k], side[(k+1)%4]
			if inside>>a&1 == 0 || inside>>b&1 != 0 {
				continue
			}
			// The walk around the side leaves what is inside between a and b. The line begins there, and ends where the walk came in.
			back := k
			for inside>>side[(back+3)%4]&1 != 0 {
				back = (back + 3) % 4
			}
			next[edgeBetween(side[back], side[(back+3)%4])] = edgeBetween(a, b)
		}
	}
	return next
}

// triangulated cuts a loop of edges into triangles. A diagonal may not join two edges of one side.
func triangulated(loop []uint8) [][3]uint8 {
	if len(loop) == 3 {
		return [][3]uint8{{loop[0], loop[1], loop[2]}}
	}
	// The triangle on the loop's closing edge splits the rest in two; the first split that works is taken.
	last := len(loop) - 1
	for k := 1; k < last; k++ {
		if k > 1 && shareSide(loop[0], loop[k]) || k < last-1 && shareSide(loop[k], loop[last]) {
			continue
		}
		triangles := [][3]uint8{{loop[0], loop[k], loop[last]}}
		for _, part := range [][]uint8{loop[:k+1], loop[k:]} {
			if len(part) < 3 {
				continue
			}
			more := triangulated(part)
			if more == nil {
				triangles = nil
				break
			}
			triangles = append(triangles, more...)
		}
		if triangles != nil {
			return triangles
		}
	}
	return nil
}

func shareSide(a, b uint8) bool {
	for _, side := range cubeSides {
		if sideHas(side, cubeEdges[a]) && sideHas(side, cubeEdges[b]) {
			return true
		}
	}
	return false
}

func sideHas(side [4]int, e cubeEdge) bool {
	return slices.Contains(side[:], e.from) && slices.Contains(side[:], e.from|1<<e.axis)
}
