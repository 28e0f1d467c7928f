package mesh

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
)

// side is the number of voxels along a block.
const side = 8

const blockVoxels = side * side * side

// band is the distance, in voxels, up to which a depth says how far a surface is, for depths up to the typical one; farther depths are
// less certain, and have a band that grows with them. Beyond it in front there is nothing; behind it nothing is known.
const band = 4.0

// reach is the band of a depth, in world units.
func reach(depth, size, extent float64) float64 { return band * size * max(1, depth/extent) }

// emptiness is the weight of a pixel that shows no surface, of which a depth of the typical distance has up to 1.
const emptiness = 0.1

// block is the state of 8³ voxels, x fastest: the mean distance to the surface, positive outside, and the weight of
// what it is the mean of.
type block struct {
	distance, weight [blockVoxels]float32
}

const blockBytes = blockVoxels*8 + 64 // with its share of the index

type key [3]int32

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a[2], b[2]), cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0]))
}

// volume is a truncated signed distance (Curless and Levoy 1996) in blocks near the surface alone. Voxel (i, j, k) is the point
// (i, j, k)·size, and block (a, b, c) holds the voxels from (8a, 8b, 8c) on.
type volume struct {
	size   float64 // of a voxel, world units
	keys   []key   // of the blocks, in order
	blocks []block
	index  map[key]int32
}

// errTooFine says that the volume would need more memory than it may.
var errTooFine = errors.New("mesh: the voxels are too small for the memory")

func newVolume(size float64, keys []key) *volume {
	v := &volume{size: size, keys: keys, blocks: make([]block, len(keys)), index: make(map[key]int32, len(keys))}
	for i, k := range keys {
		v.index[k] = int32(i)
	}
	return v
}

// keyOf is the block that a point is in, in a world of such voxels. It is false for points too far out to count.
func keyOf(p vec, size float64) (k key, ok bool) {
	for axis := range 3 {
		c := math.Floor(p[axis] / (size * side))
		if !(math.Abs(c) < 1<<24) {
			return k, false
		}
		k[axis] = int32(c)
	}
	return k, true
}

// near lists the blocks within the band of the surface that any view sees, errTooFine if they are more than most.
func near(views []*view, size, extent float64, box *box, most, workers int) ([]key, error) {
	found := make([]map[key]struct{}, len(views))
	raster.Each(workers, len(views), func(_, i int) { found[i] = views[i].blocks(size, extent, box, most) })
	all := map[key]struct{}{}
	for _, f := range found {
		for k := range f {
			all[k] = struct{}{}
		}
		if len(all) > most {
			return nil, errTooFine
		}
	}
	keys := make([]key, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	return keys, nil
}

// blocks within the band of what one view sees; it stops once they are more than most.
func (w *view) blocks(size, extent float64, box *box, most int) map[key]struct{} {
	found := map[key]struct{}{}
	var last key
	for y := 0; y < w.cam.Height; y++ {
		for x := 0; x < w.cam.Width; x++ {
			z := float64(w.depth[y*w.cam.Width+x])
			if !solid(float32(z)) {
				continue
			}
			far := reach(z, size, extent)
			for step := -far; step <= far; step += band * size / 2 {
				p := w.world(x, y, z+step)
				k, ok := keyOf(p, size)
				if !ok || k == last || !box.holds(p) {
					continue
				}
				last = k
				found[k] = struct{}{}
			}
		}
		if len(found) > most {
			break
		}
	}
	return found
}

// integrate adds what the views see, in their order, to every voxel.
func (v *volume) integrate(views []*view, extent float64, workers int) {
	raster.Each(workers, len(v.blocks), func(_, i int) {
		for _, w := range views {
			v.add(i, w, extent)
		}
	})
}

// add brings one view into one block. The distance is that along the ray times the cosine of the surface: to the plane at the
// pixel. Its weight is the cosine
// squared over the fourth power of the depth, one over the variance: the error of a depth grows with its square.
func (v *volume) add(i int, w *view, extent float64) {
	k, b := v.keys[i], &v.blocks[i]
	corner := vec{float64(k[0]) * side * v.size, float64(k[1]) * side * v.size, float64(k[2]) * side * v.size}
	if !w.mayShow(corner, v.size*side) {
		return
	}
	at := 0
	for z := range side {
		for y := range side {
			p := w.camera(add(corner, scaled(vec{0, float64(y), float64(z)}, v.size)))
			for range side {
				depth, facing := w.look(p)
				if depth > 0 {
					far := reach(min(depth, farthest*extent), v.size, extent)
					if ray := depth - p[2]; ray > -far { // farther behind may be another side of the thing
						d := min(far, ray*facing)
						weight := float32(emptiness)
						if solid(float32(depth)) {
							weight = float32(facing * facing * min(16, math.Pow(extent/depth, 4)))
						}
						sum := b.weight[at] + weight
						b.distance[at] += (float32(d) - b.distance[at]) * weight / sum
						b.weight[at] = sum
					}
				}
				for axis := range 3 {
					p[axis] += w.cam.R[axis][0] * v.size
				}
				at++
			}
		}
	}
}
