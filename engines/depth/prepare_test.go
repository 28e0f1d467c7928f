package depth

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"testing"
)

var imageNet = Descriptor{Name: "test", File: "test.onnx", Output: InverseDepth, InputMultiple: 14, ShortSide: 518,
	Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}, InputName: "pixel_values", OutputName: "predicted_depth"}

// The authors' get_size gives these.
func TestInputSize(t *testing.T) {
	for _, c := range []struct{ w, h, inW, inH int }{
		{518, 518, 518, 518}, {640, 480, 686, 518}, {480, 640, 518, 686}, {1920, 1080, 924, 518}, {1080, 1920, 518, 924},
		{100, 100, 518, 518}, {4000, 3000, 686, 518}, {1000, 999, 518, 518}, {360, 640, 518, 924},
		{5000, 1000, 1834, 364}, {10, 10000, 28, 25900}, // the authors would let the long side grow to 2590 and half a million
	} {
		w, h := imageNet.Size(c.w, c.h)
		if w != c.inW || h != c.inH {
			t.Errorf("%d x %d becomes %d x %d, want %d x %d", c.w, c.h, w, h, c.inW, c.inH)
		}
		if w%14 != 0 || h%14 != 0 || w*h > 3*518*518 {
			t.Errorf("%d x %d becomes %d x %d", c.w, c.h, w, h)
		}
	}
	fixed := imageNet
	fixed.Width, fixed.Height = 504, 280
	if w, h := fixed.Size(1000, 10); w != 504 || h != 280 {
		t.Errorf("a fixed input is %d x %d", w, h)
	}
}

// pattern is a picture with every frequency in it.
func pattern(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := func(c int) uint8 { return uint8((x*7 + y*13 + c*29 + (x*y)%31*5) % 256) }
			m.SetNRGBA(x, y, color.NRGBA{v(0), v(1), v(2), uint8(x)})
		}
	}
	return m
}

// testdata/opencv_cubic.json was made by OpenCV 4.5.1: the pattern as 64-bit floats from 0 to 1, resize with INTER_CUBIC,
// then ImageNet's mean and deviation. pts are column, row, R, G, B.
func TestPrepareEqualsOpenCV(t *testing.T) {
	body, err := os.ReadFile("testdata/opencv_cubic.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		W, H, OW, OH int
		Pts          [][5]float64
		Mean, Square [3]float64
	}
	if err := json.Unmarshal(body, &cases); err != nil || len(cases) != 4 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%dx%d to %dx%d", c.W, c.H, c.OW, c.OH), func(t *testing.T) {
			d := imageNet
			d.ShortSide = min(c.OW, c.OH)
			in, err := d.Prepare(pattern(c.W, c.H))
			if err != nil {
				t.Fatal(err)
			}
			if in.Width != c.OW || in.Height != c.OH {
				t.Fatalf("prepared as %d x %d", in.Width, in.Height)
			}
			for _, p := range c.Pts {
				for ch := range 3 {
					got := float64(in.Values[(ch*c.OH+int(p[1]))*c.OW+int(p[0])])
					if !(math.Abs(got-p[2+ch]) < 5e-6) {
						t.Errorf("channel %d at %v: %v, OpenCV has %v", ch, p[:2], got, p[2+ch])
					}
				}
			}
			for ch := range 3 {
				var sum, square float64
				for _, v := range in.Values[ch*c.OW*c.OH : (ch+1)*c.OW*c.OH] {
					sum += float64(v)
					square += float64(v) * float64(v)
				}
				n := float64(c.OW * c.OH)
				if !(math.Abs(sum/n-c.Mean[ch]) < 5e-6) || !(math.Abs(square/n-c.Square[ch]) < 5e-6) {
					t.Errorf("channel %d: mean %v and square %v, OpenCV has %v and %v", ch, sum/n, square/n, c.Mean[ch], c.Square[ch])
				}
			}
		})
	}
}

// Every form that decoders give is read like the general one.
func TestReadRow(t *testing.T) {
	base := pattern(37, 21)
	gray, rgba := image.NewGray(base.Bounds()), image.NewRGBA(base.Bounds())
	window := image.Rect(3, 5, 30, 19)
	forms := []image.Image{gray, rgba}
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		ycc := image.NewYCbCr(base.Bounds(), ratio)
		for i := range ycc.Y {
			ycc.Y[i] = uint8(i * 7)
		}
		for i := range ycc.Cb {
			ycc.Cb[i], ycc.Cr[i] = uint8(i*5), uint8(255-i*3)
		}
		forms = append(forms, ycc)
	}
	for y := range 21 {
		for x := range 37 {
			gray.Set(x, y, base.At(x, y))
			c := base.NRGBAAt(x, y)
			c.A = 255
			rgba.Set(x, y, c)
		}
	}
	for _, form := range forms {
		m := form.(interface {
			SubImage(image.Rectangle) image.Image
		}).SubImage(window)
		got, want := make([]float32, 3*27), make([]float32, 3*27)
		for y := 5; y < 19; y++ {
			readRow(m, y, got)
			readRow(struct{ image.Image }{m}, y, want)
			for i := range got {
				if !(math.Abs(float64(got[i]-want[i])) < 0.005) { // color.YCbCr rounds its 16-bit form otherwise
					t.Fatalf("%T, row %d, value %d: %v, want %v", m, y, i, got[i], want[i])
				}
			}
		}
	}
	if _, err := imageNet.Prepare(image.NewGray(image.Rect(0, 0, 0, 5))); err == nil {
		t.Error("an empty image has an input")
	}
}
