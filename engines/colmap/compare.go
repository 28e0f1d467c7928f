package colmap

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
)

// comparison finds which features of two images look alike, as COLMAP's cpu_brute_force_matcher does (FindBestMatchesBruteForce,
// feature/sift.cc): the nearest by angle, if it is near enough, clearly nearer than the second nearest, and each is the other's. It
// keeps its memory from pair to pair.
type comparison struct {
	kernels *simd.Kernels
	ratio   float64 // of the angles of the best and the second best; COLMAP's max_ratio
	a, b    side
}

// side is one of the two images.
type side struct {
	rows   []byte
	blocks simd.Descriptors
}

func (s *side) set(rows []byte) {
	s.rows = rows
	s.blocks.Fill(rows)
}

const (
	maxDistance    = 0.7   // radians; COLMAP's max_distance
	descriptorNorm = 512.0 // of SIFT descriptors as bytes
	defaultRatio   = 0.8   // COLMAP's max_ratio
)

// pairs returns the indices of features that match: of the first image, then of the second.
func (c *comparison) pairs() [][2]uint32 {
	forth := make([]int, c.a.blocks.Count)
	for i := range forth {
		forth[i] = i
	}
	nearest := c.nearest(&c.a, &c.b, forth)
	asked := make([]int, 0, len(nearest))
	seen := make(map[int]bool)
	for _, k := range nearest {
		if k >= 0 && !seen[k] {
			seen[k] = true
			asked = append(asked, k)
		}
	}
	back := make(map[int]int, len(asked))
	for at, i := range c.nearest(&c.b, &c.a, asked) {
		back[asked[at]] = i
	}
	var pairs [][2]uint32
	for i, k := range nearest {
		if k >= 0 && back[k] == i {
			pairs = append(pairs, [2]uint32{uint32(i), uint32(k)})
		}
	}
	return pairs
}

// nearest returns for each of the features of one image the index of the one in another image that it matches, -1 for none.
func (c *comparison) nearest(from, to *side, features []int) []int {
	found := make([]int, len(features))
	var queries simd.Queries
	var n simd.Nearest
	for first := 0; first < len(features); first += len(queries) {
		group := features[first:min(first+len(queries), len(features))]
		for j, feature := range group {
			queries.Set(j, from.rows[feature*simd.DescriptorSize:])
		}
		n.Begin()
		c.kernels.Nearest(&queries, to.blocks, 0, to.blocks.Blocks(), &n)
		for j := range group {
			best, second, index := n.Of(j)
			found[first+j] = -1
			if best > 0 && distinct(best, second, c.ratio) {
				found[first+j] = index
			}
		}
	}
	return found
}

// distinct says whether a match is near enough, and nearer than ratio times the second nearest, by dot products.
func distinct(best, second int32, ratio float64) bool {
	angle := func(dot int32) float64 { return math.Acos(min(float64(dot)/(descriptorNorm*descriptorNorm), 1)) }
	distance := angle(best)
	return distance <= maxDistance && distance < ratio*angle(second)
}
