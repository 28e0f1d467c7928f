package trainer

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
)

// maskLeft hides the left half of a view at every level.
func maskLeft(v *View) {
	for level := range v.Levels {
		pic := &v.Levels[level]
		pic.Mask = make([]uint8, len(pic.Pix[0]))
		for i := range pic.Mask {
			if i%pic.Camera.Width >= pic.Camera.Width/2 {
				pic.Mask[i] = 255
			}
		}
	}
}

// What an image shows where its mask is black changes neither its loss, its gradient, nor its measured quality.
func TestHiddenPixelsDoNotMatter(t *testing.T) {
	cfg := testConfig(10)
	var wantGrad [3][]float32
	var wantLoss [2]float64
	var want *Quality
	for _, spoilt := range []bool{false, true} {
		d := synthetic(2, 48, 40)
		view := d.Train[0]
		maskLeft(view)
		pic := &view.Levels[0]
		if spoilt {
			for i, m := range pic.Mask {
				if m == 0 {
					pic.Pix[0][i], pic.Pix[1][i], pic.Pix[2][i] = 255, uint8(i*37), uint8(i)
				}
			}
		}
		cloud := syntheticCloud()
		for i := range cloud.DC {
			cloud.DC[i] *= 0.8
		}
		e := newEngine(&cfg)
		p := raster.Pack(cloud)
		f := e.renderer.Forward(p, &pic.Camera, raster.Options{})
		truth := newProcessor(e, &cfg, d).truth(&visit{picture: pic})
		cover(f, pic)
		l1, ssim := e.loss.measure(f, truth, 0.2)
		e.loss.hide(pic.Mask)
		q, err := Evaluate(cloud, []*View{view}, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, wantLoss = q, [2]float64{l1, ssim}
			for channel := range wantGrad {
				wantGrad[channel] = append(wantGrad[channel], e.loss.grad[channel]...)
			}
			if !(q.PSNR > 15 && q.PSNR < 40 && q.SSIM < 0.999) {
				t.Fatalf("quality %+v says nothing", q)
			}
			continue
		}
		if !(math.Abs(q.PSNR-want.PSNR) < 1e-9) || !(math.Abs(q.SSIM-want.SSIM) < 0.02) {
			t.Errorf("quality %.4f dB, SSIM %.4f with rubbish under the mask, %.4f and %.4f without", q.PSNR, q.SSIM, want.PSNR, want.SSIM)
		}
		if !(math.Abs(l1-wantLoss[0]) < 1e-7) || !(math.Abs(ssim-wantLoss[1]) < 0.02) {
			t.Errorf("loss %v, %v with rubbish under the mask, %v without", l1, ssim, wantLoss)
		}
		for channel := range wantGrad {
			for i, g := range e.loss.grad[channel] {
				// Windows that reach under the mask have another contrast there, but no difference.
				if far := i%48 >= 24+10; (far && !(math.Abs(float64(g-wantGrad[channel][i])) < 1e-9)) || (i%48 < 24 && g != 0) {
					t.Fatalf("gradient %g at pixel (%d, %d), %g without rubbish", g, i%48, i/48, wantGrad[channel][i])
				}
			}
		}
	}
}

func TestImagesHiddenWholeAreLeftOut(t *testing.T) {
	cfg := testConfig(10)
	d := synthetic(17, 48, 40)
	pic := &d.Test[1].Levels[0]
	pic.Mask = make([]uint8, len(pic.Pix[0]))
	q, err := Evaluate(syntheticCloud(), d.Test, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Views) != len(d.Test)-1 || !(q.PSNR <= maxPSNR) {
		t.Errorf("%d of %d images measured, %.2f dB", len(q.Views), len(d.Test), q.PSNR)
	}
}
