package raster

import (
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// Evidence is what an image says about one Gaussian. With w its blending weight at a pixel, C the drawn colour, C' the colour
// that would be drawn without this Gaussian, and I the image's:
type Evidence struct {
	Weight float64 // Σ w over the pixels that count: how many it fills
	Effect float64 // Σ |C'−C|²: what taking it away changes
	Gain   float64 // Σ |C'−I|² − |C−I|²: by how much the error grows without it. Negative: the image is better without
}

// Add sums evidence.
func (e *Evidence) Add(o Evidence) {
	e.Weight += o.Weight
	e.Effect += o.Effect
	e.Gain += o.Gain
}

// Evidence compares the last Forward's frame with an image and adds to sums, one for each Gaussian, what the image says about
// it. The image's planes are of the frame's size, 0 to 1; mask has 128 and more where a pixel counts, nil: everywhere.
//
// Taking away one Gaussian with opacity α and colour c from C = A + T·(α·c + (1−α)·B), A before it and B behind it, leaves
// C' = A + T·B, and T·B = (C − A − w·c)/(1−α): one walk from front to back finds it for all Gaussians of a pixel.
func (r *Renderer) Evidence(image *[3][]float32, mask []uint8, sums []Evidence) {
	slots := make([]Evidence, r.frame.Instances)
	r.each(len(r.starts)-1, func(_, tile int) {
		x0, y0, w, h := r.tileRect(tile)
		for y := y0; y < y0+h; y++ {
			for x := x0; x < x0+w; x++ {
				if at := y*r.frame.Width + x; mask == nil || mask[at] >= 128 {
					r.pixelEvidence(tile, x, y, image, slots)
				}
			}
		}
	})
	for group, lanes := range r.visible {
		for m := lanes; m != 0; m &= m - 1 {
			i := group*simd.GroupLanes + bits.TrailingZeros16(m)
			for _, e := range slots[r.slots[i] : r.slots[i]+r.counts[i]] {
				sums[i].Add(e)
			}
		}
	}
}

func (r *Renderer) pixelEvidence(tile, x, y int, image *[3][]float32, slots []Evidence) {
	x0, y0, _, _ := r.tileRect(tile)
	block := uint16(1) << ((y-y0)/simd.BlockSize*(simd.TileSize/simd.BlockSize) + (x-x0)/simd.BlockSize)
	at := y*r.frame.Width + x
	var drawn, off, before [3]float64 // C, C − I, A
	for channel := range 3 {
		drawn[channel] = float64(r.frame.Color[channel][at])
		off[channel] = drawn[channel] - float64(image[channel][at])
	}
	t := 1.0
	for k := r.starts[tile]; k < r.starts[tile+1] && t > MinT; k++ {
		if r.masks[k]&block == 0 {
			continue
		}
		s := &r.splats[r.instances[k].Splat]
		alpha := float64(s.Alpha(float32(x)+0.5-s.U, float32(y)+0.5-s.V))
		if alpha == 0 {
			continue
		}
		w, seeThrough := alpha*t, 1/(1-alpha)
		e := &slots[r.instances[k].Slot]
		e.Weight += w
		for channel, c := range [3]float64{float64(s.Red), float64(s.Green), float64(s.Blue)} {
			behind := (drawn[channel] - before[channel] - w*c) * seeThrough
			change := alpha*behind - w*c
			e.Effect += change * change
			e.Gain += change * (change + 2*off[channel])
			before[channel] += w * c
		}
		t -= w
	}
}
