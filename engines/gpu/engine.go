package gpu

import (
	"fmt"
	"math/bits"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// The kernels, with the work items of a group.
var (
	kProject       = Kernel{"project", 256}
	kScanBlocks    = Kernel{"scan_blocks", 256}
	kScanAdd       = Kernel{"scan_add", 256}
	kSortCount     = Kernel{"sort_count", 256}
	kSortScatter   = Kernel{"sort_scatter", 256}
	kTotals        = Kernel{"totals", 32}
	kCompact       = Kernel{"compact", 256}
	kGather        = Kernel{"gather", 256}
	kEmit          = Kernel{"emit", 256}
	kRanges        = Kernel{"ranges", 256}
	kForward       = blending{Kernel{"blend_forward", 32}, Kernel{"blend_forward_long", 256}}
	kForwardDepth  = blending{Kernel{"blend_forward_depth", 32}, Kernel{"blend_forward_long_depth", 256}}
	kBackward      = blending{Kernel{"blend_backward", 32}, Kernel{"blend_backward_long", 256}}
	kBackwardDepth = blending{Kernel{"blend_backward_depth", 32}, Kernel{"blend_backward_long_depth", 256}}
	kWindows       = Kernel{"loss_windows", 256}
	kLossGradient  = Kernel{"loss_gradient", 256}
	kDepthLoss     = Kernel{"depth_loss", 256}
	kSumChannels   = Kernel{"sum_channels", 256}
	kUpdate        = Kernel{"update", 256}
	kUpdatePoses   = Kernel{"update_poses", 256}
	kGradients     = Kernel{"gradients", 256}
	kSurvey        = Kernel{"survey", 256}
	kAdopt         = Kernel{"adopt", 256}
	kLayOut        = Kernel{"lay_out", 256}
	kSplit         = Kernel{"split", 256}
	kAxisKeys      = Kernel{"axis_keys", 256}
	kCurveKeys     = Kernel{"curve_keys", 256}
	kForget        = Kernel{"forget", 256}
)

// blending is a kernel in its two forms: a warp for each tile, and 8 for each long one.
type blending struct{ tiles, long Kernel }

// What one group of a kernel takes.
const (
	perGroup  = 256
	scanGroup = 2048
	sortGroup = 4096
	depthBits = 24 // of a depth's sorting key; see project.cl
	longTile  = 1024
)

func groups(n, each int) int { return (n + each - 1) / each }

// Engine runs an iteration on a Device:
//
//	Forward   project -> prefix sums -> depth order -> instances -> tile order -> blend        (frame.go)
//	Compare   the loss of the frame and its gradient                                           (loss.go)
//	Update    blend's gradient -> projection's gradient, Adam and statistics                   (backward.go)
//	Refine    between iterations: prune, split, lay out along a curve                          (refine.go)
//
// Its buffers grow to what the largest frame needs and are reused. An Engine is for one goroutine at a time. Forward waits
// once for the device, to learn how many instances there are, Refine a few times; nothing else does but what reads.
type Engine struct {
	// LongTile is how many instances a tile has at most for one warp; 8 warps share a longer one. A frame does not depend on it,
	// gradients by a rounding.
	LongTile uint32

	d   Device
	err error // the first of the launches since begin

	view        kernelView
	depth, pose bool // of the last frame's Options
	frame       Drawn

	// By Gaussian, unused lanes included.
	splats, boxes, counts, visible, keys, ranks, firstSlot room
	// By visible Gaussian, and what sorting takes turns with.
	order, depthKeys, order2, depthKeys2, ordered, places room
	// By instance.
	tiles, slots, tiles2, slots2, owners, grads room
	starts, totals                              room
	sortCounts, sortBefore                      room
	scans                                       [4]struct{ totals, before room } // by level

	// By pixel.
	image, inverseDepth, transmittance, upstream, upstreamDepth, parts room
	sums                                                               [4]room // of groups: L1, SSIM, drawn, depth
	results                                                            room
	compared                                                           []bool // since Losses: each says whether its depth was, too

	poses, poseSums room // of groups, and of all: torque and force

	// The buffers that the last frame's sorts left their results in.
	sortedSlots Buffer
}

// NewEngine makes an engine on a device, which it does not close.
func NewEngine(d Device) *Engine { return &Engine{d: d, LongTile: longTile} }

// room is a buffer that grows; its content is lost when it does.
type room struct {
	buffer Buffer
	bytes  int
}

// grown returns the buffer with at least that number of bytes.
func (e *Engine) grown(r *room, bytes int) Buffer {
	bytes = max(bytes, 4)
	if r.buffer != nil && r.bytes >= bytes || e.err != nil {
		return r.buffer
	}
	if r.buffer != nil {
		r.buffer.Free()
		bytes += bytes / 4
	}
	r.buffer, e.err = e.d.Alloc(bytes)
	r.bytes = bytes
	if e.err != nil {
		r.buffer, r.bytes = nil, 0
	}
	return r.buffer
}

// launch enqueues a kernel unless something went wrong before.
func (e *Engine) launch(k Kernel, groups int, args ...any) {
	if e.err != nil || groups == 0 {
		return
	}
	if err := e.d.Launch(k, groups, args...); err != nil {
		e.err = fmt.Errorf("gpu: %s: %w", k.Name, err)
	}
}

// read copies values out of a buffer.
func read[T any](e *Engine, from Buffer, to []T) {
	if e.err == nil && len(to) > 0 {
		e.err = from.Read(0, bytesOf(to))
	}
}

func write[T any](e *Engine, to Buffer, from []T) {
	if e.err == nil && len(from) > 0 {
		e.err = to.Write(0, bytesOf(from))
	}
}

// writeAhead makes room for the parts and copies them beside what runs.
func (e *Engine) writeAhead(to *room, parts ...[]byte) {
	bytes := 0
	for _, part := range parts {
		bytes += len(part)
	}
	if buffer := e.grown(to, bytes); e.err == nil && bytes > 0 {
		e.err = buffer.WriteAhead(parts...)
	}
}

// finish ends a call: it returns the first error and forgets it.
func (e *Engine) finish() error {
	err := e.err
	e.err = nil
	return err
}

// kernelView is the View of types.cl.
type kernelView struct {
	simd.View
	Width, Height, Across, Degree, N, Stride uint32
}

func (e *Engine) setView(m *Model, cam *raster.Camera, degree int) {
	e.view = kernelView{
		View: *cam.View(m.Mode), Width: uint32(cam.Width), Height: uint32(cam.Height), Across: uint32(groups(cam.Width, simd.TileSize)),
		Degree: uint32(min(degree, m.Degree)), N: uint32(m.lanes()), Stride: uint32(simd.GroupRows(m.Degree) * simd.GroupLanes),
	}
}

// scan enqueues the exclusive prefix sums of n values; out gets n+1.
func (e *Engine) scan(in, out Buffer, n, level int) {
	blocks := groups(n+1, scanGroup)
	s := &e.scans[level]
	totals := e.grown(&s.totals, 4*blocks)
	e.launch(kScanBlocks, blocks, in, out, totals, uint32(n))
	if blocks > 1 {
		before := e.grown(&s.before, 4*(blocks+1))
		e.scan(totals, before, blocks, level+1)
		e.launch(kScanAdd, blocks, out, before, uint32(n))
	}
}

// sort enqueues a stable sort of n pairs by the lowest bits of the keys. It returns the buffers in which the result is;
// the other two are scratch.
func (e *Engine) sort(keys, values, keys2, values2 Buffer, n, keyBits int) (sortedKeys, sortedValues Buffer) {
	blocks := groups(n, sortGroup)
	counts, before := e.grown(&e.sortCounts, 4*256*blocks), e.grown(&e.sortBefore, 4*(256*blocks+1))
	for shift := 0; shift < keyBits && n > 0; shift += 8 {
		e.launch(kSortCount, blocks, keys, counts, uint32(n), uint32(shift), uint32(blocks))
		e.scan(counts, before, 256*blocks, 0)
		e.launch(kSortScatter, blocks, keys, values, keys2, values2, before, uint32(n), uint32(shift), uint32(blocks))
		keys, keys2, values, values2 = keys2, keys, values2, values
	}
	return keys, values
}

// Model is a cloud in device memory with Adam's moments and the statistics of each Gaussian since the last refinement.
type Model struct {
	Degree int
	Mode   splat.RenderMode
	n      int

	params, m, v          room // in the layout of raster.Params
	pulls, views, extents room
}

// Statistics of each Gaussian: the sum over views of the length of its absolute screen gradient in half images, the
// views that saw it, its largest half side on screen as a part of the longer image side.
type Statistics struct {
	Pulls   []float32
	Views   []uint32
	Extents []float32
}

// Len is the number of Gaussians.
func (m *Model) Len() int { return m.n }

func (m *Model) lanes() int { return groups(m.n, simd.GroupLanes) * simd.GroupLanes }

// Put copies a cloud, its moments and its statistics to the device. All are of the same size and degree.
func (e *Engine) Put(m *Model, params, first, second *raster.Params, s *Statistics) error {
	e.show(m, params)
	for _, part := range []struct {
		to   *room
		from *raster.Params
	}{{&m.m, first}, {&m.v, second}} {
		data := part.from.Data()
		write(e, e.grown(part.to, 4*len(data)), data)
	}
	// Lanes without a Gaussian have statistics too, which nothing reads.
	lanes := m.lanes()
	write(e, e.grown(&m.pulls, 4*lanes), padded(s.Pulls, lanes))
	write(e, e.grown(&m.views, 4*lanes), padded(s.Views, lanes))
	write(e, e.grown(&m.extents, 4*lanes), padded(s.Extents, lanes))
	return e.finish()
}

// Show copies a cloud that is to be drawn and no more.
func (e *Engine) Show(m *Model, params *raster.Params) error {
	e.show(m, params)
	return e.finish()
}

func (e *Engine) show(m *Model, params *raster.Params) {
	m.Degree, m.Mode, m.n = params.Degree, params.Mode, params.Len()
	data := params.Data()
	write(e, e.grown(&m.params, 4*len(data)), data)
}

// rooms are the buffers of a model and of the engine.
func (e *Engine) rooms(m *Model) []*room {
	rooms := []*room{
		&m.params, &m.m, &m.v, &m.pulls, &m.views, &m.extents,
		&e.splats, &e.boxes, &e.counts, &e.visible, &e.keys, &e.ranks, &e.firstSlot,
		&e.order, &e.depthKeys, &e.order2, &e.depthKeys2, &e.ordered, &e.places,
		&e.tiles, &e.slots, &e.tiles2, &e.slots2, &e.owners, &e.grads, &e.starts, &e.totals, &e.sortCounts, &e.sortBefore,
		&e.image, &e.inverseDepth, &e.transmittance, &e.upstream, &e.upstreamDepth, &e.parts, &e.results, &e.poses, &e.poseSums,
	}
	for i := range e.scans {
		rooms = append(rooms, &e.scans[i].totals, &e.scans[i].before)
	}
	for i := range e.sums {
		rooms = append(rooms, &e.sums[i])
	}
	return rooms
}

// Bytes is what the model and the engine hold on the device.
func (e *Engine) Bytes(m *Model) (sum int) {
	for _, r := range e.rooms(m) {
		sum += r.bytes
	}
	return sum
}

// Free releases the model's memory and the engine's.
func (e *Engine) Free(m *Model) {
	for _, r := range e.rooms(m) {
		if r.buffer != nil {
			r.buffer.Free()
		}
		*r = room{}
	}
	e.compared = nil
}

func padded[T any](v []T, n int) []T { return append(make([]T, 0, n), v...)[:n] }

// Get waits for the device and copies all of it back. The arguments have the sizes that Put had.
func (e *Engine) Get(m *Model, params, first, second *raster.Params, s *Statistics) error {
	read(e, m.params.buffer, params.Data())
	read(e, m.m.buffer, first.Data())
	read(e, m.v.buffer, second.Data())
	read(e, m.pulls.buffer, s.Pulls[:m.n])
	read(e, m.views.buffer, s.Views[:m.n])
	read(e, m.extents.buffer, s.Extents[:m.n])
	return e.finish()
}

// tileBits is what a tile's number takes.
func tileBits(tiles int) int { return max(1, bits.Len(uint(tiles-1))) }
