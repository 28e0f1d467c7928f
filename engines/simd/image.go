package simd

import (
	"image"
	"image/color"
)

// Planes converts an image to three channels of 8-bit values in row order, and returns its size.
func Planes(img image.Image) (planes [3][]uint8, w, h int) {
	b := img.Bounds()
	w, h = b.Dx(), b.Dy()
	for c := range planes {
		planes[c] = make([]uint8, w*h)
	}
	switch src := img.(type) {
	case *image.RGBA:
		for y := 0; y < h; y++ {
			row := src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y):][:4*w]
			for x := 0; x < w; x++ {
				planes[0][y*w+x], planes[1][y*w+x], planes[2][y*w+x] = row[4*x], row[4*x+1], row[4*x+2]
			}
		}
	case *image.YCbCr:
		for y := 0; y < h; y++ {
			for x := 0; x < w; x++ {
				yi, ci := src.YOffset(b.Min.X+x, b.Min.Y+y), src.COffset(b.Min.X+x, b.Min.Y+y)
				planes[0][y*w+x], planes[1][y*w+x], planes[2][y*w+x] = color.YCbCrToRGB(src.Y[yi], src.Cb[ci], src.Cr[ci])
			}
		}
	default:
		for y := 0; y < h; y++ {
			for x := 0; x < w; x++ {
				r, g, bl, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
				planes[0][y*w+x], planes[1][y*w+x], planes[2][y*w+x] = uint8(r>>8), uint8(g>>8), uint8(bl>>8)
			}
		}
	}
	return planes, w, h
}

// Halve returns a channel at half the size, rounded down, every pixel the rounded mean of 2x2; an odd last row or column
// is left out. The intrinsics of the smaller image are the larger's divided by 2 exactly.
func Halve(pix []uint8, w, h int) (half []uint8, hw, hh int) {
	hw, hh = w/2, h/2
	half = make([]uint8, hw*hh)
	for y := 0; y < hh; y++ {
		a, b := pix[2*y*w:][:w], pix[(2*y+1)*w:][:w]
		for x := 0; x < hw; x++ {
			half[y*hw+x] = uint8((int(a[2*x]) + int(a[2*x+1]) + int(b[2*x]) + int(b[2*x+1]) + 2) / 4)
		}
	}
	return half, hw, hh
}
