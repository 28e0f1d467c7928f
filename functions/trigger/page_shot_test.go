package trigger_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
)

// ball is where coloured pixels are, in pixels of the picture.
func (s shot) ball() image.Rectangle {
	b := s.Bounds()
	var found image.Rectangle
	for y := b.Min.Y + b.Dy()/6; y < b.Max.Y-b.Dy()/4; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := s.At(x, y).RGBA()
			if max(r, g, bl)-min(r, g, bl) > 60<<8 {
				found = found.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return found.Sub(b.Min)
}

type shot struct{ image.Image }

// canvas is what the viewer shows at the moment.
func (p *person) canvas() shot {
	p.t.Helper()
	return p.part(".stage3d canvas")
}

// part is what the window shows of an element.
func (p *person) part(selector string) shot {
	p.t.Helper()
	var box struct{ X, Y, Width, Height float64 }
	p.Eval(fmt.Sprintf(`(e => { e.scrollIntoView({block: 'start'}); const {x, y, width, height} = e.getBoundingClientRect(); return {x, y, width, height} })(document.querySelector(%q))`, selector), &box)
	img, err := png.Decode(bytes.NewReader(p.Screenshot(false)))
	if err != nil {
		p.t.Fatal(err)
	}
	rect := image.Rect(int(box.X), int(box.Y), int(box.X+box.Width), int(box.Y+box.Height)).Intersect(img.Bounds())
	return shot{img.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(rect)}
}

// halves are how much each channel exceeds the darkest, on average over the left and the right half of a band.
type halves struct{ left, right [3]float64 }

func (s shot) colours(from, to float64) (h halves) {
	b := s.Bounds()
	n := 0.0
	for y := b.Min.Y + int(from*float64(b.Dy())); y < b.Min.Y+int(to*float64(b.Dy())); y++ {
		n += float64(b.Dx()) / 2
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := s.At(x, y).RGBA()
			v := [3]float64{float64(r >> 8), float64(g >> 8), float64(bl >> 8)}
			for i := range v {
				if x < (b.Min.X+b.Max.X)/2 {
					h.left[i] += v[i] - min(v[0], v[1], v[2])
				} else {
					h.right[i] += v[i] - min(v[0], v[1], v[2])
				}
			}
		}
	}
	for i := range 3 {
		h.left[i] /= n
		h.right[i] /= n
	}
	return h
}

func (s shot) differs(o shot) bool {
	a, b := s.colours(0.2, 0.45), o.colours(0.2, 0.45)
	return math.Abs(a.left[0]-b.left[0]) > 4 || math.Abs(a.right[1]-b.right[1]) > 4
}
