package depth

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"github.com/splatworks/splatworks/engines/fault"
)

// maxAspect bounds the long side of an input: attention's memory grows with the square of the pixels. Longer images get a
// smaller short side, where the authors would let the long one grow without end.
const maxAspect = 2.5

// Size is the size of the input for an image: the shorter side is ShortSide, the aspect is kept as far as both being
// multiples of InputMultiple allows (Depth-Anything-V2, util/transform.py, Resize with lower_bound).
func (d Descriptor) Size(width, height int) (w, h int) {
	if d.Width > 0 {
		return d.Width, d.Height
	}
	short, long := float64(min(width, height)), float64(max(width, height))
	side := float64(d.ShortSide)
	if long/short > maxAspect {
		side = math.Sqrt(maxAspect * side * side * short / long)
	}
	scale := side / short
	round := func(v float64) int {
		m := float64(d.InputMultiple)
		n := math.RoundToEven(v/m) * m
		if n < side && long/short <= maxAspect {
			n = math.Ceil(v/m) * m
		}
		return int(max(n, m))
	}
	return round(scale * float64(width)), round(scale * float64(height))
}

// Prepare makes the input of an image as the model's authors do: colours from 0 to 1, bicubic resampling without
// smoothing (OpenCV's INTER_CUBIC, a = -0.75, edges repeated, nothing clamped), mean and deviation taken out. Alpha is
// ignored.
func (d Descriptor) Prepare(img image.Image) (Input, error) {
	b := img.Bounds()
	if b.Dx() < 1 || b.Dy() < 1 || b.Dx() > 1<<16 || b.Dy() > 1<<16 {
		return Input{}, &fault.Failure{Code: UnreadableImage, Message: fmt.Sprintf("An image of %d x %d pixels has no depth.", b.Dx(), b.Dy()), Advice: "Leave it out."}
	}
	w, h := d.Size(b.Dx(), b.Dy())
	in := Input{Width: w, Height: h, Values: make([]float32, 3*w*h)}
	columns := newTaps(w, b.Dx())
	rows := newTaps(h, b.Dy())
	line := make([]float32, 3*b.Dx())
	// Rows of the image, already resampled horizontally: four neighbours at a time are in use, so that row y can stand in
	// slot y mod 4.
	var ring [4]struct {
		row    int
		values []float32
	}
	for i := range ring {
		ring[i].row, ring[i].values = -1, make([]float32, 3*w)
	}
	row := func(y int) []float32 {
		slot := &ring[y%4]
		if slot.row != y {
			slot.row = y
			readRow(img, b.Min.Y+y, line)
			columns.apply(line, slot.values)
		}
		return slot.values
	}
	plane := w * h
	for y := range h {
		at, weights := rows.at[y], rows.weights[y]
		r0, r1, r2, r3 := row(at[0]), row(at[1]), row(at[2]), row(at[3])
		for c := range 3 {
			out := in.Values[c*plane+y*w : c*plane+y*w+w]
			mean, scale := d.Mean[c], 1/d.Std[c]
			for x := range out {
				i := 3*x + c
				v := r0[i]*weights[0] + r1[i]*weights[1] + r2[i]*weights[2] + r3[i]*weights[3]
				out[x] = (v - mean) * scale
			}
		}
	}
	return in, nil
}

// taps says for every output pixel which four inputs it is made of, and how.
type taps struct {
	at      [][4]int
	weights [][4]float32
}

func newTaps(to, from int) taps {
	t := taps{make([][4]int, to), make([][4]float32, to)}
	scale := float64(from) / float64(to)
	for i := range to {
		position := float32((float64(i)+0.5)*scale - 0.5) // OpenCV's precision
		first := int(math.Floor(float64(position)))
		t.weights[i] = cubic(position - float32(first))
		for k := range 4 {
			t.at[i][k] = min(max(first-1+k, 0), from-1)
		}
	}
	return t
}

// cubic is OpenCV's interpolateCubic, in its order of operations.
func cubic(x float32) [4]float32 {
	const a = -0.75
	var c [4]float32
	c[0] = ((a*(x+1)-5*a)*(x+1)+8*a)*(x+1) - 4*a
	c[1] = ((a+2)*x-(a+3))*x*x + 1
	c[2] = ((a+2)*(1-x)-(a+3))*(1-x)*(1-x) + 1
	c[3] = 1 - c[0] - c[1] - c[2]
	return c
}

// apply resamples one row of R, G, B triples.
func (t taps) apply(line, out []float32) {
	for x, at := range t.at {
		w := t.weights[x]
		p0, p1, p2, p3 := line[3*at[0]:], line[3*at[1]:], line[3*at[2]:], line[3*at[3]:]
		o := out[3*x : 3*x+3]
		for c := range o {
			o[c] = p0[c]*w[0] + p1[c]*w[1] + p2[c]*w[2] + p3[c]*w[3]
		}
	}
}

// unit is 0 to 255 as 0 to 1.
var unit = func() (u [256]float32) {
	for i := range u {
		u[i] = float32(float64(i) / 255)
	}
	return u
}()

// readRow reads one row of an image as R, G, B triples from 0 to 1.
func readRow(img image.Image, y int, line []float32) {
	b := img.Bounds()
	switch m := img.(type) {
	case *image.YCbCr: // what JPEG decodes to
		luma := m.Y[m.YOffset(b.Min.X, y):]
		shift := 0
		if m.SubsampleRatio == image.YCbCrSubsampleRatio420 || m.SubsampleRatio == image.YCbCrSubsampleRatio422 {
			shift = 1
		} else if m.SubsampleRatio != image.YCbCrSubsampleRatio444 && m.SubsampleRatio != image.YCbCrSubsampleRatio440 {
			shift = 2
		}
		chroma := m.COffset(b.Min.X, y) - b.Min.X>>shift
		for x := range b.Dx() {
			at := chroma + (b.Min.X+x)>>shift
			r, g, bl := color.YCbCrToRGB(luma[x], m.Cb[at], m.Cr[at])
			line[3*x], line[3*x+1], line[3*x+2] = unit[r], unit[g], unit[bl]
		}
	case *image.RGBA:
		readPixels(m.Pix[m.PixOffset(b.Min.X, y):], b.Dx(), line)
	case *image.NRGBA:
		readPixels(m.Pix[m.PixOffset(b.Min.X, y):], b.Dx(), line)
	case *image.Gray:
		pix := m.Pix[m.PixOffset(b.Min.X, y):]
		for x := range b.Dx() {
			v := unit[pix[x]]
			line[3*x], line[3*x+1], line[3*x+2] = v, v, v
		}
	default:
		for x := range b.Dx() {
			c := color.NRGBA64Model.Convert(img.At(b.Min.X+x, y)).(color.NRGBA64)
			line[3*x], line[3*x+1], line[3*x+2] = float32(c.R)/0xffff, float32(c.G)/0xffff, float32(c.B)/0xffff
		}
	}
}

func readPixels(pix []uint8, n int, line []float32) {
	for x := range n {
		line[3*x], line[3*x+1], line[3*x+2] = unit[pix[4*x]], unit[pix[4*x+1]], unit[pix[4*x+2]]
	}
}
