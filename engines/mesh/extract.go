package mesh

import (
	"math"

	"github.com/splatworks/splatworks/engines/raster"
)

const padded = side + 1

// least is the weight that a voxel needs to count: about that of one view from twice the typical distance.
const least = 0.05

// crossing keeps a vertex off the ends of its edge, where its triangles would have no area.
const crossing = 0.02

// extract draws the surface where the distance changes its sign (cube.go). Vertices are shared; cells with a voxel that nothing is
// known of have no surface, so that the mesh ends where the views do.
func (v *volume) extract(workers int) *Mesh {
	vertices := make([][]vec, len(v.blocks))
	numbers := make([]*[3 * blockVoxels]int32, len(v.blocks)) // of the vertex on each edge of a block's voxels, within the block
	raster.Each(workers, len(v.blocks), func(_, i int) { vertices[i], numbers[i] = v.crossings(i) })
	m := &Mesh{}
	first := make([]int32, len(v.blocks))
	for i, some := range vertices {
		first[i] = int32(len(m.Vertices))
		m.Vertices = append(m.Vertices, some...)
	}
	faces := make([][][3]int32, len(v.blocks))
	raster.Each(workers, len(v.blocks), func(_, i int) { faces[i] = v.cells(i, numbers, first) })
	for _, some := range faces {
		m.Faces = append(m.Faces, some...)
	}
	return m.kept(func(int) bool { return true }) // without the crossings that no cell uses
}

// values are the distances of a block and of the voxels behind it along each axis, NaN where nothing is known.
func (v *volume) values(i int) (d [padded * padded * padded]float32) {
	var blocks [8]*block
	for c := range blocks {
		o := cornerAt(c)
		k := v.keys[i]
		if j, ok := v.index[key{k[0] + int32(o[0]), k[1] + int32(o[1]), k[2] + int32(o[2])}]; ok {
			blocks[c] = &v.blocks[j]
		}
	}
	at := 0
	for z := range padded {
		for y := range padded {
			for x := range padded {
				d[at] = float32(math.NaN())
				b := blocks[x/side|y/side<<1|z/side<<2]
				if j := (z%side*side+y%side)*side + x%side; b != nil && b.weight[j] >= least {
					d[at] = b.distance[j]
				}
				at++
			}
		}
	}
	return d
}

var steps = [3]int{1, padded, padded * padded}

// crossings finds the vertices on the edges that begin at a block's voxels.
func (v *volume) crossings(i int) (list []vec, numbers *[3 * blockVoxels]int32) {
	d := v.values(i)
	for z := range side {
		for y := range side {
			for x := range side {
				from := (z*padded+y)*padded + x
				for axis := range 3 {
					a, b := d[from], d[from+steps[axis]]
					if a != a || b != b || (a < 0) == (b < 0) {
						continue
					}
					if numbers == nil {
						numbers = new([3 * blockVoxels]int32)
						for n := range numbers {
							numbers[n] = -1
						}
					}
					k := v.keys[i]
					p := vec{float64(int(k[0])*side + x), float64(int(k[1])*side + y), float64(int(k[2])*side + z)}
					p[axis] += min(max(float64(a)/(float64(a)-float64(b)), crossing), 1-crossing)
					numbers[3*((z*side+y)*side+x)+axis] = int32(len(list))
					list = append(list, scaled(p, v.size))
				}
			}
		}
	}
	return list, numbers
}

// cells makes the triangles of a block's cells.
func (v *volume) cells(i int, numbers []*[3 * blockVoxels]int32, first []int32) (faces [][3]int32) {
	d := v.values(i)
	vertex := func(x, y, z int, e cubeEdge) int32 {
		o := cornerAt(e.from)
		x, y, z = x+o[0], y+o[1], z+o[2]
		k := v.keys[i]
		j := v.index[key{k[0] + int32(x/side), k[1] + int32(y/side), k[2] + int32(z/side)}]
		return first[j] + numbers[j][3*((z%side*side+y%side)*side+x%side)+e.axis]
	}
	for z := range side {
		for y := range side {
			for x := range side {
				inside, known := 0, true
				for c := range 8 {
					o := cornerAt(c)
					value := d[((z+o[2])*padded+y+o[1])*padded+x+o[0]]
					known = known && value == value
					if value < 0 {
						inside |= 1 << c
					}
				}
				if !known {
					continue
				}
				for _, t := range cubeCases[inside] {
					faces = append(faces, [3]int32{vertex(x, y, z, cubeEdges[t[0]]), vertex(x, y, z, cubeEdges[t[1]]), vertex(x, y, z, cubeEdges[t[2]])})
				}
			}
		}
	}
	return faces
}
