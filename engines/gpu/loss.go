package gpu

import (
	"fmt"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// Image is a picture in device memory, 8 bits a value.
type Image struct {
	width, height int
	truth, mask   room
	masked        bool // the mask counts in the loss of colour
	solid         bool // and in that of inverse depth
}

// Upload copies a picture's planes of width × height values, and its mask, 128 and more where a pixel counts, nil: all count.
// Without a mask, alpha, nil or of the same kind, says where inverse depth counts. It reuses img's memory. What is enqueued after
// it waits for the copy only where it uses the image.
func (e *Engine) Upload(img *Image, planes *[3][]uint8, mask, alpha []uint8, width, height int) error {
	pixels := width * height
	if len(planes[0]) != pixels || len(planes[1]) != pixels || len(planes[2]) != pixels || mask != nil && len(mask) != pixels || alpha != nil && len(alpha) != pixels {
		return fmt.Errorf("gpu: an image of %dx%d with planes of %d, %d, %d and a mask of %d values", width, height, len(planes[0]), len(planes[1]), len(planes[2]), len(mask))
	}
	img.width, img.height, img.masked = width, height, mask != nil
	if mask == nil {
		mask = alpha
	}
	img.solid = mask != nil
	e.writeAhead(&img.truth, planes[:]...)
	e.writeAhead(&img.mask, mask)
	return e.finish()
}

// Free releases the image's memory.
func (img *Image) Free() {
	for _, r := range []*room{&img.truth, &img.mask} {
		if r.buffer != nil {
			r.buffer.Free()
		}
		*r = room{}
	}
}

// Bytes is what the image holds on the device.
func (img *Image) Bytes() int { return img.truth.bytes + img.mask.bytes }

// lossArgument is the Loss of loss.cl.
type lossArgument struct {
	Gain                          [3]float32
	L1, SSIM                      float32
	Width, Height, Across, Masked uint32
}

// MostLosses is the number of comparisons whose sums wait on the device until Losses reads them.
const MostLosses = 32

// Losses are the sums of a comparison, over all pixels and channels.
type Losses struct {
	L1, SSIM float64    // Σ|x−y| and ΣSSIM
	Drawn    [3]float64 // Σx of each channel, after the gain
	Depth    float64    // Σ|D−prior|
}

// Where the sums of each comparison are in its part of results.
const (
	sumL1 = iota
	sumSSIM
	sumDrawn
	sumDepth
	resultFloats = 3*sumDepth + 1
)

// Compare enqueues the loss (1−λ)·L1 + λ·(1−SSIM) of the frame with an image, means over all values, and its gradient by the
// frame, which Update reads. The frame counts times gain, a factor for each channel; pixels that the mask hides count
// as equal and have no gradient. The sums wait for Losses, at most those of MostLosses comparisons.
func (e *Engine) Compare(img *Image, gain [3]float32, lambda float64) error {
	w, h := e.frame.Width, e.frame.Height
	if img.width != w || img.height != h {
		return fmt.Errorf("gpu: an image of %dx%d against a frame of %dx%d", img.width, img.height, w, h)
	}
	if len(e.compared) == MostLosses {
		return fmt.Errorf("gpu: nothing read the losses of the last %d comparisons", MostLosses)
	}
	e.compared = append(e.compared, false)
	values := float64(3 * w * h)
	arg := lossArgument{Gain: gain, L1: float32((1 - lambda) / values), SSIM: float32(lambda / values), Width: uint32(w), Height: uint32(h), Across: uint32(groups(w, simd.TileSize))}
	if img.masked {
		arg.Masked = 1
	}
	n := 3 * groups(w, simd.TileSize) * groups(h, simd.TileSize)
	parts, upstream := e.grown(&e.parts, 9*4*w*h), e.grown(&e.upstream, 12*w*h)
	l1, ssim, drawn := e.grown(&e.sums[sumL1], 4*n), e.grown(&e.sums[sumSSIM], 4*n), e.grown(&e.sums[sumDrawn], 4*n)
	results := e.grown(&e.results, 4*resultFloats*MostLosses)
	e.launch(kWindows, n, e.image.buffer, img.truth.buffer, img.mask.buffer, ByValue(&arg), parts, ssim)
	e.launch(kLossGradient, n, e.image.buffer, img.truth.buffer, img.mask.buffer, ByValue(&arg), parts, upstream, l1, drawn)
	for k, sums := range []Buffer{l1, ssim, drawn} {
		e.launch(kSumChannels, 3, sums, results, uint32(n), uint32(3), uint32(e.result(3*k)))
	}
	return e.finish()
}

// result is where a sum of the last comparison is in results.
func (e *Engine) result(sum int) int { return (len(e.compared)-1)*resultFloats + sum }

// Prior is an inverse depth in device memory; NaN where nothing is known.
type Prior struct {
	width, height int
	values        room
}

// UploadPrior copies width × height values as Upload does, and reuses p's memory.
func (e *Engine) UploadPrior(p *Prior, values []float32, width, height int) error {
	if len(values) != width*height {
		return fmt.Errorf("gpu: an inverse depth of %dx%d with %d values", width, height, len(values))
	}
	p.width, p.height = width, height
	e.writeAhead(&p.values, bytesOf(values))
	return e.finish()
}

// Free releases the prior's memory.
func (p *Prior) Free() {
	if p.values.buffer != nil {
		p.values.buffer.Free()
	}
	p.values = room{}
}

// depthArgument is the DepthLoss of loss.cl.
type depthArgument struct {
	Width, Height, PriorWidth, PriorHeight, Halved, Masked uint32
	Each                                                   float32
}

// CompareDepth enqueues the loss each·Σ|D−prior| of a frame drawn with Options.Depth, and its gradient. A prior that is smaller
// than the frame has half its size. It comes after Compare, whose image's mask counts here too.
func (e *Engine) CompareDepth(p *Prior, img *Image, each float32) error {
	w, h := e.frame.Width, e.frame.Height
	arg := depthArgument{Width: uint32(w), Height: uint32(h), PriorWidth: uint32(p.width), PriorHeight: uint32(p.height), Each: each}
	if p.width < w || p.height < h {
		arg.Halved = 1
	}
	if img.solid {
		arg.Masked = 1
	}
	n := groups(w*h, perGroup)
	sums := e.grown(&e.sums[sumDepth], 4*n)
	e.launch(kDepthLoss, n, e.inverseDepth.buffer, p.values.buffer, img.mask.buffer, ByValue(&arg), e.grown(&e.upstreamDepth, 4*w*h), sums)
	e.launch(kSumChannels, 1, sums, e.results.buffer, uint32(n), uint32(1), uint32(e.result(3*sumDepth)))
	e.compared[len(e.compared)-1] = true
	return e.finish()
}

// Losses waits and returns the sums of the comparisons since the last call, in their order.
func (e *Engine) Losses() ([]Losses, error) {
	all := make([]float32, resultFloats*len(e.compared))
	read(e, e.results.buffer, all)
	list := make([]Losses, len(e.compared))
	for i, depth := range e.compared {
		l, r := &list[i], all[i*resultFloats:]
		for channel := range 3 {
			l.L1 += float64(r[3*sumL1+channel])
			l.SSIM += float64(r[3*sumSSIM+channel])
			l.Drawn[channel] = float64(r[3*sumDrawn+channel])
		}
		if depth {
			l.Depth = float64(r[3*sumDepth])
		}
	}
	e.compared = e.compared[:0]
	return list, e.finish()
}

// SetUpstream gives Update the gradient of a loss that was computed elsewhere.
func (e *Engine) SetUpstream(up *raster.Upstream) error {
	pixels := e.frame.Width * e.frame.Height
	to := e.grown(&e.upstream, 12*pixels)
	for channel, plane := range up.Color {
		if e.err == nil {
			e.err = to.Write(4*channel*pixels, bytesOf(plane))
		}
	}
	if e.depth {
		write(e, e.grown(&e.upstreamDepth, 4*pixels), up.InverseDepth)
	}
	return e.finish()
}

// Upstream waits and returns the gradient by the frame's colours.
func (e *Engine) Upstream() (planes [3][]float32, err error) {
	pixels := e.frame.Width * e.frame.Height
	all := make([]float32, 3*pixels)
	read(e, e.upstream.buffer, all)
	for channel := range planes {
		planes[channel] = all[channel*pixels : (channel+1)*pixels : (channel+1)*pixels]
	}
	return planes, e.finish()
}

// UpstreamDepth waits and returns the gradient by the frame's inverse depth.
func (e *Engine) UpstreamDepth() ([]float32, error) {
	plane := make([]float32, e.frame.Width*e.frame.Height)
	read(e, e.upstreamDepth.buffer, plane)
	return plane, e.finish()
}
