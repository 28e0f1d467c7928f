package raster

import (
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// chunkGroups is the number of groups one worker takes at a time: 1024 Gaussians.
const chunkGroups = 64

func (r *Renderer) chunks() int { return (r.params.Groups() + chunkGroups - 1) / chunkGroups }

// project fills the records of the visible Gaussians and counts the tiles of each.
func (r *Renderer) project() {
	groups := r.params.Groups()
	n := groups * simd.GroupLanes
	r.visible = resized(r.visible, groups)
	r.splats = resized(r.splats, n)
	r.boxes = resized(r.boxes, n)
	r.counts = resized(r.counts, n)
	r.slots = resized(r.slots, n)
	r.chunkIns = resized(r.chunkIns, r.chunks()+1)
	visible := make([]int, r.chunks())
	r.each(r.chunks(), func(_, chunk int) {
		instances := 0
		for group := chunk * chunkGroups; group < min(groups, (chunk+1)*chunkGroups); group++ {
			r.projectGroup(group)
			for lane := range simd.GroupLanes {
				if r.visible[group]>>lane&1 != 0 {
					visible[chunk]++
					instances += int(r.counts[group*simd.GroupLanes+lane])
				}
			}
		}
		r.chunkIns[chunk] = instances
	})
	r.chunkIns[r.chunks()] = 0
	r.frame.Visible, r.frame.Instances = 0, 0
	for _, v := range visible {
		r.frame.Visible += v
	}
	for chunk, instances := range r.chunkIns {
		r.chunkIns[chunk] = r.frame.Instances
		r.frame.Instances += instances
	}
}

// projectGroup projects 16 Gaussians and keeps those whose box holds a pixel.
func (r *Renderer) projectGroup(group int) {
	first := group * simd.GroupLanes
	splats, counts := r.splats[first:first+simd.GroupLanes], r.counts[first:first+simd.GroupLanes]
	clear(counts)
	project := r.kernels.ProjectGroup
	if project == nil {
		project = r.projectGroupPlain
	}
	var drawn uint16
	for m := project(r.kernelView, r.params.Group(group), r.opt.Degree, uint32(first), splats); m != 0; m &= m - 1 {
		lane := bits.TrailingZeros16(m)
		s := &splats[lane]
		if box, ok := r.tilesOf(s); ok && s.Red+s.Green+s.Blue <= maxColor {
			r.boxes[first+lane] = box
			counts[lane] = box.tiles()
			drawn |= 1 << lane
		}
	}
	r.visible[group] = drawn
}

// projectGroupPlain is what simd's ProjectGroup does, by the reference.
func (r *Renderer) projectGroupPlain(_ *simd.View, group []float32, degree int, id uint32, splats []simd.Splat) (visible uint16) {
	var g Gaussian[float32]
	for lane := range simd.GroupLanes {
		g.load(group, lane, degree)
		if pr, ok := project(&g, r.view, r.params.Mode, degree, float32(MinAlpha)); ok {
			splats[lane] = simd.MakeSplat(pr.u, pr.v, pr.conicA, pr.conicB, pr.conicC, pr.opacity, pr.color, pr.z)
			splats[lane].ID = id + uint32(lane)
			visible |= 1 << lane
		}
	}
	return visible
}

// tileBox is a rectangle of tiles: x0 ≤ x < x1. It is small because binning reads it in depth order, all over the cloud.
type tileBox struct{ x0, y0, x1, y1 uint16 }

func (b tileBox) tiles() uint32 { return uint32(b.x1-b.x0) * uint32(b.y1-b.y0) }

// tilesOf finds the tiles that hold a pixel centre within the splat's extents. NaN and infinities give no tiles.
func (r *Renderer) tilesOf(s *simd.Splat) (b tileBox, ok bool) {
	w, h := float32(r.cam.Width), float32(r.cam.Height)
	left, right := s.U-s.ExtentX-0.5, s.U+s.ExtentX-0.5
	top, bottom := s.V-s.ExtentY-0.5, s.V+s.ExtentY-0.5
	if !(right >= 0 && left <= w-1 && bottom >= 0 && top <= h-1) {
		return b, false
	}
	b.x0, b.y0 = uint16(int32(max(left, 0))/simd.TileSize), uint16(int32(max(top, 0))/simd.TileSize)
	b.x1, b.y1 = uint16(int32(min(right, w-1))/simd.TileSize+1), uint16(int32(min(bottom, h-1))/simd.TileSize+1)
	return b, true
}
