package raster

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/splatworks/splatworks/engines/simd"
)

// Renderer is the fast path: the reference's computation over 16×16-pixel tiles on several goroutines. One frame is
//
//	project   groups of Gaussians -> 64-byte records of the visible ones, tiles each touches     (project_fast.go)
//	bin       counting sort into tiles, one gradient slot per instance                           (bin.go)
//	blend     tiles as a queue, each sorted by depth -> image planes                             (sort.go, blend.go)
//	backward  tiles again -> gradient slots; then per group: slots -> parameters' gradients      (backward.go)
//
// Results do not depend on the number of workers, to the last bit: whatever is summed is summed by one goroutine in an
// order that the data fix. A Renderer is for one goroutine at a time; its buffers are reused from frame to frame.
type Renderer struct {
	kernels *simd.Kernels
	workers int
	tiles   []*simd.Tile  // one for each worker
	sorters []depthSorter // the same

	frame      Frame
	params     *Params
	cam        Camera
	view       *view[float32]
	kernelView *simd.View
	opt        Options

	visible  []uint16     // for each group, the lanes that are drawn
	splats   []simd.Splat // record of Gaussian i at i; only visible ones are valid
	boxes    []tileBox    // the tiles of each visible Gaussian
	counts   []uint32     // for each Gaussian, how many those are; 0 when it is not drawn
	slots    []uint32     // for each Gaussian, its first gradient slot
	chunkIns []int        // for each chunk of groups, its instances, then their prefix sum

	instances []simd.Instance // by tile, nearest first once the tile is drawn
	depths    []uint32        // sorting key of each, before that
	starts    []uint32        // of each tile in instances; one more than there are tiles
	cursors   [][]uint32      // for each part of the cloud, the next place in each tile
	masks     []uint16        // of each instance
	grads     []simd.Grad     // by slot
}

// Options of a frame.
type Options struct {
	Degree     int        // of the SH evaluated, at most the parameters'
	Background [3]float32 // colour behind everything
	Abs        bool       // Backward sums absolute screen gradients too

	Depth         bool // draw the inverse depth; Backward takes its gradient
	Transmittance bool // give the transmittance
}

// Frame is a drawn image as planes of Width·Height values, rows from the top. It belongs to the Renderer and lasts until
// the next Forward.
type Frame struct {
	Width, Height int
	Color         [3][]float32 // red, green, blue, background included, not clamped
	InverseDepth  []float32    // Σ w/z, not divided by alpha; defined with Options.Depth
	Transmittance []float32    // 1 − alpha; defined with Options.Transmittance
	// Visible is the number of Gaussians drawn, Instances that of (Gaussian, tile) pairs.
	Visible, Instances int
}

// NewRenderer makes a renderer with that number of workers (0: one for each processor) over the kernels of a level.
func NewRenderer(workers int, kernels *simd.Kernels) *Renderer {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	r := &Renderer{kernels: kernels, workers: workers, sorters: make([]depthSorter, workers)}
	for range workers {
		r.tiles = append(r.tiles, simd.NewTile())
	}
	return r
}

// Workers is the number of goroutines a frame is drawn with.
func (r *Renderer) Workers() int { return r.workers }

// Forward draws the cloud. The parameters must stay unchanged until Backward has been called.
func (r *Renderer) Forward(p *Params, cam *Camera, opt Options) *Frame {
	r.params, r.cam, r.opt = p, *cam, opt
	r.view = newView[float32](cam)
	r.kernelView = r.view.kernels(p.Mode)
	r.frame.resize(cam.Width, cam.Height)
	r.project()
	r.bin()
	r.blend()
	return &r.frame
}

// Bytes is the memory that the renderer's buffers hold.
func (r *Renderer) Bytes() int64 {
	perGaussian := int64(cap(r.splats))*64 + int64(cap(r.boxes))*8 + int64(cap(r.counts)+cap(r.slots))*4
	perInstance := int64(cap(r.instances))*8 + int64(cap(r.depths))*4 + int64(cap(r.masks))*2 + int64(cap(r.grads))*48
	return perGaussian + perInstance + int64(cap(r.frame.InverseDepth))*5*4
}

func (f *Frame) resize(width, height int) {
	f.Width, f.Height = width, height
	n := width * height
	for _, plane := range []*[]float32{&f.Color[0], &f.Color[1], &f.Color[2], &f.InverseDepth, &f.Transmittance} {
		*plane = resized(*plane, n)
	}
}

// resized returns a slice of length n that reuses s where it can; its contents are not defined.
func resized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// each runs work(worker, i) for every i in [0, n), handed out one by one. Which worker gets which i is left to chance:
// work must not depend on it.
func (r *Renderer) each(n int, work func(worker, i int)) {
	Each(r.workers, n, work)
}

// Each runs work(worker, i) for every i in [0, n) on that number of goroutines, handed out one by one in ascending order. Which
// worker gets which i is left to chance: work must not depend on it.
func Each(workers, n int, work func(worker, i int)) {
	workers = min(workers, n)
	if workers <= 1 {
		for i := range n {
			work(0, i)
		}
		return
	}
	var next atomic.Int64
	run := func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			work(worker, i)
		}
	}
	var wait sync.WaitGroup
	for worker := 1; worker < workers; worker++ {
		wait.Go(func() { run(worker) })
	}
	run(0)
	wait.Wait()
}
