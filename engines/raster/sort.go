package raster

import (
	"math"
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// depthKey orders depths, which are positive, as integers: those that agree to 1 part in 2^16 keep the order of the cloud.
func depthKey(z float32) uint32 { return math.Float32bits(z) >> 7 }

// depthSorter is one worker's scratch for sorting a tile, a few hundred instances that stay in the first-level cache.
type depthSorter struct {
	keys, keys2 []uint64 // the depth's bits above the place in the tile
	sorted      []simd.Instance
	counts      [1 << maxDigit]uint32
}

// The most bits of a digit of the radix sort: the depths of one tile rarely span more than two of those.
const maxDigit = 10

// fewInstances is the number up to which insertion is quicker.
const fewInstances = 24

// sort orders a tile's instances, given the key of each, from near to far. Instances of equal depth keep their order, so the result does not
// depend on the method: a radix sort of the bits in which the tile's depths differ.
func (s *depthSorter) sort(depths []uint32, instances []simd.Instance) {
	n := len(instances)
	s.keys, s.keys2, s.sorted = resized(s.keys, n), resized(s.keys2, n), resized(s.sorted, n)
	least, most := uint32(math.MaxUint32), uint32(0)
	for j, depth := range depths {
		least, most = min(least, depth), max(most, depth)
		s.keys[j] = uint64(depth)<<32 | uint64(j)
	}
	if n <= fewInstances {
		s.insert()
	} else {
		s.radix(least, most)
	}
	for j, key := range s.keys {
		s.sorted[j] = instances[uint32(key)]
	}
	copy(instances, s.sorted)
}

func (s *depthSorter) insert() {
	for j := 1; j < len(s.keys); j++ {
		key, at := s.keys[j], j
		for ; at > 0 && s.keys[at-1] > key; at-- {
			s.keys[at] = s.keys[at-1]
		}
		s.keys[at] = key
	}
}

func (s *depthSorter) radix(least, most uint32) {
	width := bits.Len32(most - least)
	passes := (width + maxDigit - 1) / maxDigit
	digit := (width + passes - 1) / max(1, passes)
	base := uint64(least) << 32
	for pass := range passes {
		counts := s.counts[:1<<digit]
		clear(counts)
		shift, mask := 32+pass*digit, uint64(1)<<digit-1
		for _, key := range s.keys {
			counts[(key-base)>>shift&mask]++
		}
		at := uint32(0)
		for d, count := range counts {
			counts[d] = at
			at += count
		}
		for _, key := range s.keys {
			d := (key - base) >> shift & mask
			s.keys2[counts[d]] = key
			counts[d]++
		}
		s.keys, s.keys2 = s.keys2, s.keys
	}
}
