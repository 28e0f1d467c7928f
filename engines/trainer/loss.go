package trainer

import (
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// lossRows is the height of one task of the loss: fixed, so that sums do not depend on the number of threads. Each task
// repeats 10 rows at either end.
const lossRows = 160

// photometric is L = (1−λ)·mean|C−I| + λ·(1−SSIM), means over 3·W·H, with its gradient. SSIM has an 11×11 Gaussian window
// and zero padding, as in the reference implementation.
type photometric struct {
	kernels *simd.Kernels
	workers int
	scratch []map[int]*simd.Loss // for each worker, by width
	grad    [3][]float32
	sums    []lossSum
}

type lossSum struct{ l1, ssim float64 }

func newPhotometric(kernels *simd.Kernels, workers int) *photometric {
	l := &photometric{kernels: kernels, workers: workers}
	for range workers {
		l.scratch = append(l.scratch, map[int]*simd.Loss{})
	}
	return l
}

// truth is the three channels of a picture with the moments of SSIM's windows, in memory that is reused.
func (l *photometric) truth(pic *Picture, truth *[3]simd.Truth) {
	w, h := pic.Camera.Width, pic.Camera.Height
	raster.Each(l.workers, 3, func(worker, channel int) {
		l.kernels.MeasureTruth(l.scratchFor(worker, w), &truth[channel], pic.Pix[channel], w, h)
	})
}

func (l *photometric) scratchFor(worker, w int) *simd.Loss {
	scratch := l.scratch[worker][w]
	if scratch == nil {
		scratch = simd.NewLoss(w)
		l.scratch[worker][w] = scratch
	}
	return scratch
}

// measure returns the mean absolute difference and the mean SSIM of a frame, and leaves the gradient in grad.
func (l *photometric) measure(f *raster.Frame, truth *[3]simd.Truth, lambda float64) (l1, ssim float64) {
	w, h := f.Width, f.Height
	values := float64(3 * w * h)
	weights := simd.LossWeights{L1: float32((1 - lambda) / values), SSIM: float32(lambda / values)}
	for channel := range l.grad {
		if cap(l.grad[channel]) < w*h {
			l.grad[channel] = simd.Aligned(w * h)
		}
		l.grad[channel] = l.grad[channel][:w*h]
	}
	bands := (h + lossRows - 1) / lossRows
	if cap(l.sums) < 3*bands {
		l.sums = make([]lossSum, 3*bands)
	}
	l.sums = l.sums[:3*bands]
	raster.Each(l.workers, 3*bands, func(worker, i int) {
		channel, band := i%3, i/3
		y0, y1 := band*h/bands, (band+1)*h/bands
		s := &l.sums[i]
		s.l1, s.ssim = l.kernels.Rows(l.scratchFor(worker, w), f.Color[channel], &truth[channel], y0, y1, weights, l.grad[channel])
	})
	for _, s := range l.sums {
		l1 += s.l1
		ssim += s.ssim
	}
	return l1 / values, ssim / values
}

// maskHalf is the least value of a mask at which its pixel counts.
const maskHalf = 128

// cover lays the image over the drawing where the mask says that the image does not count: SSIM's windows of the pixels
// beside it then find no difference there.
func cover(f *raster.Frame, pic *Picture) {
	for i, m := range pic.Mask {
		if m < maskHalf {
			for channel := range f.Color {
				f.Color[channel][i] = float32(pic.Pix[channel][i]) / 255
			}
		}
	}
}

// hide takes the gradient away there.
func (l *photometric) hide(mask []uint8) {
	for i, m := range mask {
		if m < maskHalf {
			l.grad[0][i], l.grad[1][i], l.grad[2][i] = 0, 0, 0
		}
	}
}
