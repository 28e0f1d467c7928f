package gpu

import (
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// Options of a frame.
type Options struct {
	Degree     int        // of the SH evaluated, at most the model's
	Background [3]float32 // colour behind everything
	Depth      bool       // draw the inverse depth; Update takes its gradient
	Pose       bool       // Update finds the gradient by the camera too
}

// Drawn says what a frame shows.
type Drawn struct {
	Width, Height      int
	Visible, Instances int // Gaussians drawn, and (Gaussian, tile) pairs
}

// Forward draws the model into the engine's frame, as raster.Renderer.Forward does.
func (e *Engine) Forward(m *Model, cam *raster.Camera, o Options) (Drawn, error) {
	e.setView(m, cam, o.Degree)
	e.depth, e.pose = o.Depth, o.Pose
	e.frame = Drawn{Width: cam.Width, Height: cam.Height}
	e.project(m)
	e.bin()
	e.blend(o)
	return e.frame, e.finish()
}

// project fills the records of the visible Gaussians, gives each a rank and its gradient slots, and waits for their numbers.
func (e *Engine) project(m *Model) {
	n := m.lanes()
	splats, boxes := e.grown(&e.splats, 64*n), e.grown(&e.boxes, 8*n)
	counts, visible, keys := e.grown(&e.counts, 4*n), e.grown(&e.visible, 4*n), e.grown(&e.keys, 4*n)
	ranks, firstSlot := e.grown(&e.ranks, 4*(n+1)), e.grown(&e.firstSlot, 4*(n+1))
	totals := e.grown(&e.totals, 8)
	e.launch(kProject, groups(n, perGroup), m.params.buffer, ByValue(&e.view), splats, boxes, counts, visible, keys)
	e.scan(visible, ranks, n, 0)
	e.scan(counts, firstSlot, n, 0)
	e.launch(kTotals, 1, ranks, firstSlot, totals, uint32(n))
	var found [2]uint32
	read(e, totals, found[:])
	e.frame.Visible, e.frame.Instances = int(found[0]), int(found[1])
}

// bin sorts the visible by depth, then their instances by tile: a stable sort keeps the nearest first in each.
func (e *Engine) bin() {
	n, visible, instances := int(e.view.N), e.frame.Visible, e.frame.Instances
	count := int(e.view.Across) * groups(int(e.view.Height), simd.TileSize)
	starts := e.grown(&e.starts, 4*(count+1))
	order, keys := e.grown(&e.order, 4*visible), e.grown(&e.depthKeys, 4*visible)
	order2, keys2 := e.grown(&e.order2, 4*visible), e.grown(&e.depthKeys2, 4*visible)
	e.launch(kCompact, groups(n, perGroup), e.visible.buffer, e.ranks.buffer, e.keys.buffer, keys, order, uint32(n))
	_, order = e.sort(keys, order, keys2, order2, visible, depthBits)

	ordered, places := e.grown(&e.ordered, 4*visible), e.grown(&e.places, 4*(visible+1))
	e.launch(kGather, groups(visible, perGroup), e.counts.buffer, order, ordered, uint32(visible))
	e.scan(ordered, places, visible, 0)
	tiles, slots := e.grown(&e.tiles, 4*instances), e.grown(&e.slots, 4*instances)
	tiles2, slots2 := e.grown(&e.tiles2, 4*instances), e.grown(&e.slots2, 4*instances)
	owners := e.grown(&e.owners, 4*instances)
	e.launch(kEmit, groups(visible, perGroup), order, places, e.firstSlot.buffer, e.boxes.buffer, tiles, slots, owners, uint32(visible), e.view.Across)
	tiles, e.sortedSlots = e.sort(tiles, slots, tiles2, slots2, instances, tileBits(count))
	e.launch(kRanges, groups(instances+1, perGroup), tiles, starts, uint32(instances), uint32(count))
}

// blend draws every tile.
func (e *Engine) blend(o Options) {
	pixels := e.frame.Width * e.frame.Height
	image, transmittance := e.grown(&e.image, 12*pixels), e.grown(&e.transmittance, 4*pixels)
	bg := o.Background
	if !o.Depth {
		e.launchTiles(kForward, image, transmittance, bg[0], bg[1], bg[2])
		return
	}
	e.launchTiles(kForwardDepth, image, e.grown(&e.inverseDepth, 4*pixels), transmittance, bg[0], bg[1], bg[2])
}

// launchTiles runs both forms of a kernel on every tile, of which each leaves those of the other alone: which are long is
// known on the device only.
func (e *Engine) launchTiles(k blending, args ...any) {
	count := int(e.view.Across) * groups(e.frame.Height, simd.TileSize)
	args = append([]any{e.splats.buffer, e.owners.buffer, e.sortedSlots, e.starts.buffer, ByValue(&e.view), e.LongTile}, args...)
	e.launch(k.long, count, args...)
	e.launch(k.tiles, count, args...)
}

// Read waits and copies the frame's planes into f: colour and transmittance, and the inverse depth if it was drawn.
func (e *Engine) Read(f *raster.Frame) error {
	pixels := e.frame.Width * e.frame.Height
	f.Width, f.Height, f.Visible, f.Instances = e.frame.Width, e.frame.Height, e.frame.Visible, e.frame.Instances
	planes := make([]float32, 3*pixels)
	read(e, e.image.buffer, planes)
	for channel := range f.Color {
		f.Color[channel] = planes[channel*pixels : (channel+1)*pixels : (channel+1)*pixels]
	}
	f.Transmittance = make([]float32, pixels)
	read(e, e.transmittance.buffer, f.Transmittance)
	if e.depth {
		f.InverseDepth = make([]float32, pixels)
		read(e, e.inverseDepth.buffer, f.InverseDepth)
	}
	return e.finish()
}
