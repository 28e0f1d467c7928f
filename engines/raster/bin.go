package raster

import (
	"sort"

	"github.com/splatworks/splatworks/engines/simd"
)

// bin hands the visible Gaussians out to the tiles, in the order of the cloud: a counting sort, so that a tile's instances
// lie together. What is near in the cloud is near on screen, so that both passes run through memory in order. Each tile
// is sorted by depth when its turn to be drawn comes (sort.go), by the worker that draws it.
func (r *Renderer) bin() {
	across, down := r.tileGrid()
	tiles := across * down
	parts := r.workers
	for len(r.cursors) < parts {
		r.cursors = append(r.cursors, nil)
	}
	// Count, part by part of the cloud; the parts' counts are joined so that the result is that of one part.
	r.each(parts, func(_, k int) {
		r.cursors[k] = resized(r.cursors[k], tiles)
		count := r.cursors[k]
		clear(count)
		r.visit(k, parts, func(i int) {
			b := r.boxes[i]
			for y := b.y0; y < b.y1; y++ {
				row := count[int(y)*across+int(b.x0) : int(y)*across+int(b.x1)]
				for x := range row {
					row[x]++
				}
			}
		})
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
	r.depths = resized(r.depths, r.frame.Instances)
	r.masks = resized(r.masks, r.frame.Instances)
	r.each(parts, func(_, k int) {
		next := r.cursors[k]
		slot := uint32(r.chunkIns[r.boundary(k, parts)])
		r.visit(k, parts, func(i int) {
			b, depth := r.boxes[i], depthKey(r.splats[i].Z)
			r.slots[i] = slot
			for y := b.y0; y < b.y1; y++ {
				row := next[int(y)*across+int(b.x0) : int(y)*across+int(b.x1)]
				for x := range row {
					r.instances[row[x]] = simd.Instance{Splat: uint32(i), Slot: slot}
					r.depths[row[x]] = depth
					row[x]++
					slot++
				}
			}
		})
	})
}

func (r *Renderer) tileGrid() (across, down int) {
	return (r.cam.Width + simd.TileSize - 1) / simd.TileSize, (r.cam.Height + simd.TileSize - 1) / simd.TileSize
}

// boundary is the chunk at which part k of parts begins: each holds about as many instances as the others.
func (r *Renderer) boundary(k, parts int) int {
	if k == parts {
		return r.chunks()
	}
	return sort.SearchInts(r.chunkIns[:r.chunks()], k*r.frame.Instances/parts)
}

// visit calls back for the visible Gaussians of part k, in the order of the cloud.
func (r *Renderer) visit(k, parts int, one func(i int)) {
	last := min(r.params.Groups(), r.boundary(k+1, parts)*chunkGroups)
	for group := r.boundary(k, parts) * chunkGroups; group < last; group++ {
		if r.visible[group] == 0 {
			continue
		}
		for lane := range simd.GroupLanes {
			if r.visible[group]>>lane&1 != 0 {
				one(group*simd.GroupLanes + lane)
			}
		}
	}
}
