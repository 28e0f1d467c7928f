package trainer

import (
	"fmt"
	"math"

	"github.com/splatworks/splatworks/engines/raster"
)

// depthLevel is the finest level of the pyramid that the prior is kept at: a network's answer has no finer detail, and a
// full one would take a quarter of the memory of the images. Full pictures are compared with its pixels doubled.
const depthLevel = 1

// AttachInverseDepth gives a training view the inverse depth that a monocular network predicted for it, aligned to the
// scene: values in 1/world units, rows from the top, of width × height pixels that cover the whole image; NaN or
// negative where nothing is known. Training then pulls the rendered inverse depth towards it, strongly at first. Views
// without a prior and held-out views are not touched.
func (d *Dataset) AttachInverseDepth(name string, width, height int, values []float32) error {
	if width <= 0 || height <= 0 || len(values) != width*height {
		return fmt.Errorf("inverse depth of %s: %d values for %dx%d pixels", name, len(values), width, height)
	}
	for _, v := range d.Train {
		if v.Name != name {
			continue
		}
		for level := depthLevel; level < Levels; level++ {
			pic := &v.Levels[level]
			pic.inverseDepth = sampleAreas(values, width, height, pic.Camera.Width, pic.Camera.Height)
		}
		return nil
	}
	for _, v := range d.Test {
		if v.Name == name {
			return nil
		}
	}
	return fmt.Errorf("inverse depth of %s: there is no such image", name)
}

// sampleAreas averages the known values of the area of each target pixel; NaN where none is known.
func sampleAreas(src []float32, w, h, tw, th int) []float32 {
	dst := make([]float32, tw*th)
	for y := range th {
		y0, y1 := y*h/th, max(y*h/th+1, (y+1)*h/th)
		for x := range tw {
			x0, x1 := x*w/tw, max(x*w/tw+1, (x+1)*w/tw)
			sum, n := float32(0), 0
			for sy := y0; sy < y1; sy++ {
				for sx := x0; sx < x1; sx++ {
					if v := src[sy*w+sx]; v >= 0 && !math.IsInf(float64(v), 0) {
						sum += v
						n++
					}
				}
			}
			dst[y*tw+x] = float32(math.NaN())
			if n > 0 {
				dst[y*tw+x] = sum / float32(n)
			}
		}
	}
	return dst
}

// prior is the inverse depth that a picture of some level is compared with: that of its own level, or of depthLevel;
// nil when there is none.
func (v *View) prior(level int) *Picture {
	if p := &v.Levels[max(level, depthLevel)]; p.inverseDepth != nil {
		return p
	}
	return nil
}

// depthLoss is w·mean|D − prior| with D = Σ w/z as drawn, not divided by alpha (Kerbl et al. 2024, "Hierarchical 3D
// Gaussians", section 4.4). The weight is one in units of 1/extent times the extent, so that it does not depend on the size of
// the world. It returns the loss, and the gradient in a plane that the next call reuses. What the mask hides does not count.
func (p *processor) depthLoss(f *raster.Frame, prior *Picture, mask []uint8, weight float64) (loss float64, grad []float32) {
	pixels := f.Width * f.Height
	if cap(p.depthGrad) < pixels {
		p.depthGrad = make([]float32, pixels)
	}
	grad = p.depthGrad[:pixels]
	each := float32(weight / float64(pixels))
	step := 1
	if prior.Camera.Width < f.Width || prior.Camera.Height < f.Height {
		step = 2
	}
	sum := 0.0
	for y := range f.Height {
		// An odd last row or column has no half of its own.
		row := prior.inverseDepth[min(y/step, prior.Camera.Height-1)*prior.Camera.Width:][:prior.Camera.Width]
		for x := range f.Width {
			i := y*f.Width + x
			diff := f.InverseDepth[i] - row[min(x/step, len(row)-1)]
			if mask != nil && mask[i] < maskHalf {
				diff = 0
			}
			switch {
			case diff > 0:
				grad[i] = each
				sum += float64(diff)
			case diff < 0:
				grad[i] = -each
				sum -= float64(diff)
			default: // equal, or nothing known
				grad[i] = 0
			}
		}
	}
	return sum * float64(each), grad
}
