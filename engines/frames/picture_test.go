package frames

import (
	"image"
	"testing"
)

func TestGrayOfIsTheMean(t *testing.T) {
	m := textured(400, 300, 3)
	small := grayOf(m, 200)
	if small.W != 200 || small.H != 150 {
		t.Fatalf("%d x %d", small.W, small.H)
	}
	for _, p := range []image.Point{{0, 0}, {199, 149}, {77, 31}} {
		sum := 0
		for dy := range 2 {
			for dx := range 2 {
				sum += int(m.GrayAt(2*p.X+dx, 2*p.Y+dy).Y)
			}
		}
		if got := small.Pix[p.Y*200+p.X]; int(got) != sum/4 {
			t.Errorf("at %v: %d, want %d", p, got, sum/4)
		}
	}
	// Every format says the same about the same gray picture.
	rgba, nrgba, sixteen := image.NewRGBA(m.Rect), image.NewNRGBA(m.Rect), image.NewGray16(m.Rect)
	for y := range 300 {
		for x := range 400 {
			rgba.Set(x, y, m.GrayAt(x, y))
			nrgba.Set(x, y, m.GrayAt(x, y))
			sixteen.Set(x, y, m.GrayAt(x, y))
		}
	}
	for _, other := range []image.Image{rgba, nrgba, sixteen} {
		for i, p := range grayOf(other, 200).Pix {
			if absolute(int(p)-int(small.Pix[i])) > 1 {
				t.Fatalf("%T differs: %d, want %d", other, p, small.Pix[i])
			}
		}
	}
}

// Shrinking by averages first changes the picture no more than the scaler alone would be off.
func TestShrink(t *testing.T) {
	in := image.NewYCbCr(image.Rect(0, 0, 60, 40), image.YCbCrSubsampleRatio420)
	for i := range in.Y {
		in.Y[i] = byte(i * 7)
	}
	for i := range in.Cb {
		in.Cb[i], in.Cr[i] = byte(i*3), byte(200-i)
	}
	out := shrink(in, 4).(*image.YCbCr)
	if out.Rect.Dx() != 15 || out.Rect.Dy() != 10 {
		t.Fatalf("%v", out.Rect)
	}
	sum := 0
	for v := range 4 {
		for u := range 4 {
			sum += int(in.YCbCrAt(8+u, 12+v).Y)
		}
	}
	if got := int(out.YCbCrAt(2, 3).Y); absolute(got-(sum+8)/16) > 0 {
		t.Errorf("got %d, want %d", got, (sum+8)/16)
	}
	if got, want := out.YCbCrAt(2, 3).Cb, (int(in.YCbCrAt(8, 12).Cb)+int(in.YCbCrAt(10, 12).Cb)+int(in.YCbCrAt(8, 14).Cb)+int(in.YCbCrAt(10, 14).Cb)+2)/4; int(got) != want {
		t.Errorf("Cb %d, want %d", got, want)
	}
}

func absolute(x int) int { return max(x, -x) }
