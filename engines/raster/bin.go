package raster

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
)

// bin sorts the visible Gaussians by depth and hands them out to the tiles in that order: a counting sort, so that a
// tile's instances lie together, nearest first. Gaussians of equal depth keep the order of the cloud.
func (r *Renderer) bin() {
	r.sortByDepth()

	across, down := r.tileGrid()
	tiles := across * down
	parts := r.workers
	for len(r.cursors) < parts {
		r.cursors = append(r.cursors, nil)
	}
	part := func(k int) []uint32 {
		n := len(r.order)
		return r.order[k*n/parts : (k+1)*n/parts]
	}
	// Count, part by part of the order; the parts' counts are joined so that the result is that of one part.
	r.each(parts, func(_, k int) {
		r.cursors[k] = resized(r.cursors[k], tiles)
		count := r.cursors[k]
		clear(count)
		for _, i := range part(k) {
			b := r.boxes[i]
			for y := b.y0; y < b.y1; y++ {
				row := count[int(y)*across+int(b.x0) : int(y)*across+int(b.x1)]
				for x := range row {
					row[x]++
				}
			}
		}
	})
	r.starts = resized(r.starts, tiles+1)
	at := uint32(0)
	for tile := range tiles {
		r.starts[tile] = at
		for k := range parts {
			n := r.cursors[k][tile]
			r.cursors[k][tile] = at
			at += n
		}
	}
	r.starts[tiles] = at

	r.instances = resized(r.instances, r.frame.Instances)
	r.masks = resized(r.masks, r.frame.Instances)
	r.each(parts, func(_, k int) {
		next := r.cursors[k]
		for _, i := range part(k) {
			b := r.boxes[i]
			slot := r.slots[i]
			for y := b.y0; y < b.y1; y++ {
				row := next[int(y)*across+int(b.x0) : int(y)*across+int(b.x1)]
				for x := range row {
					r.instances[row[x]] = simd.Instance{Splat: i, Slot: slot}
					row[x]++
					slot++
				}
			}
		}
	})
}

func (r *Renderer) tileGrid() (across, down int) {
	return (r.cam.Width + simd.TileSize - 1) / simd.TileSize, (r.cam.Height + simd.TileSize - 1) / simd.TileSize
}

// Radix sort in three passes of 8 bits over the depth's 24 highest bits after the sign: depths that agree to 1 part in
// 2^16 keep the order of the cloud.
const (
	radixBits   = 8
	radixPasses = 3
	radixShift  = 31 - radixBits*radixPasses
	radixSize   = 1 << radixBits
)

// sortByDepth lists the visible Gaussians, gives each its gradient slots, and sorts the list by depth.
func (r *Renderer) sortByDepth() {
	n := r.frame.Visible
	r.order, r.order2 = resized(r.order, n), resized(r.order2, n)
	r.keys, r.keys2 = resized(r.keys, n), resized(r.keys2, n)
	groups := r.params.Groups()
	r.each(r.chunks(), func(_, chunk int) {
		at, slot := r.chunkVis[chunk], uint32(r.chunkIns[chunk])
		for group := chunk * chunkGroups; group < min(groups, (chunk+1)*chunkGroups); group++ {
			for lane := range simd.GroupLanes {
				if r.visible[group]>>lane&1 == 0 {
					continue
				}
				i := group*simd.GroupLanes + lane
				r.order[at] = uint32(i)
				r.keys[at] = math.Float32bits(r.splats[i].Z) >> radixShift
				r.slots[i] = slot
				slot += r.counts[i]
				at++
			}
		}
	})

	for len(r.histograms) < radixPasses {
		r.histograms = append(r.histograms, make([]uint32, radixSize))
	}
	for _, h := range r.histograms {
		clear(h)
	}
	for _, key := range r.keys {
		for pass := range radixPasses {
			r.histograms[pass][key>>(pass*radixBits)&(radixSize-1)]++
		}
	}
	for pass := range radixPasses {
		h := r.histograms[pass]
		at := uint32(0)
		for digit, count := range h {
			h[digit] = at
			at += count
		}
		shift := pass * radixBits
		for j, key := range r.keys {
			digit := key >> shift & (radixSize - 1)
			to := h[digit]
			h[digit]++
			r.keys2[to], r.order2[to] = key, r.order[j]
		}
		r.keys, r.keys2 = r.keys2, r.keys
		r.order, r.order2 = r.order2, r.order
	}
}
