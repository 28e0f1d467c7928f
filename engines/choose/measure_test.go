package choose

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/capturetest"
)

// scattered is a made-up picture; see capturetest.Texture.
func scattered(w, h, size int, seed uint64) Gray {
	return Gray{W: w, H: h, Pix: capturetest.Texture(w, h, size, seed)}
}

// smeared is the running mean over n pixels along rows.
func smeared(g Gray, n int) Gray {
	out := Gray{W: g.W, H: g.H, Pix: make([]byte, len(g.Pix))}
	for y := range g.H {
		for x := range g.W {
			sum := 0
			for k := range n {
				sum += int(g.Pix[y*g.W+min(g.W-1, max(0, x+k-n/2))])
			}
			out.Pix[y*g.W+x] = byte(sum / n)
		}
	}
	return out
}

func cropped(g Gray, x0, y0, w, h int) Gray {
	out := Gray{W: w, H: h, Pix: make([]byte, 0, w*h)}
	for y := range h {
		out.Pix = append(out.Pix, g.Pix[(y0+y)*g.W+x0:][:w]...)
	}
	return out
}

func mapped(g Gray, f func(byte) byte) Gray {
	out := Gray{W: g.W, H: g.H, Pix: make([]byte, len(g.Pix))}
	for i, p := range g.Pix {
		out.Pix[i] = f(p)
	}
	return out
}

// blurEffect is Crete's definition, word for word, along rows: with the low-passed picture made.
func blurEffect(g Gray) float64 {
	var sumF, sumV float64
	mean := func(x, y int) float64 {
		sum := 0.0
		for k := -4; k <= 4; k++ {
			sum += float64(g.Pix[y*g.W+x+k])
		}
		return sum / 9
	}
	for y := range g.H {
		for x := 5; x < g.W-4; x++ {
			df := math.Abs(float64(g.Pix[y*g.W+x]) - float64(g.Pix[y*g.W+x-1]))
			db := math.Abs(mean(x, y) - mean(x-1, y))
			sumF += df
			sumV += max(0, df-db)
		}
	}
	return (sumF - sumV) / sumF
}

func TestSharpnessIsTheDefinition(t *testing.T) {
	g := scattered(97, 64, 3, 1)
	want := 1 - blurEffect(g)
	if got := varied(g.Pix, g.W, g.H, 1, g.W); !(math.Abs(got-want) < 1e-9) {
		t.Errorf("along rows: got %v, want %v", got, want)
	}
	turned := Gray{W: g.H, H: g.W, Pix: make([]byte, len(g.Pix))}
	for y := range g.H {
		for x := range g.W {
			turned.Pix[x*g.H+y] = g.Pix[y*g.W+x]
		}
	}
	if got := varied(turned.Pix, turned.H, turned.W, turned.W, 1); !(math.Abs(got-want) < 1e-9) {
		t.Errorf("along columns: got %v, want %v", got, want)
	}
}

func TestSharpnessFallsWithBlurAndWithNothingElse(t *testing.T) {
	sharp := scattered(200, 120, 3, 2)
	last := sharpness(sharp)
	if !(last > 0.3) {
		t.Errorf("a sharp picture has %.3f", last)
	}
	for _, n := range []int{3, 5, 9, 15} {
		now := sharpness(smeared(sharp, n))
		if !(now < last-0.005) {
			t.Errorf("smeared over %d pixels: %.3f, before %.3f", n, now, last)
		}
		last = now
	}
	pale := mapped(sharp, func(p byte) byte { return 100 + p/3 })
	if got, want := sharpness(pale), sharpness(sharp); !(math.Abs(got-want) < 0.03) {
		t.Errorf("with a third of the contrast: %.3f, want about %.3f", got, want)
	}
	if got := sharpness(mapped(sharp, func(byte) byte { return 90 })); got != 0 {
		t.Errorf("a flat picture has %v", got)
	}
	if got := sharpness(Gray{W: 4, H: 4, Pix: make([]byte, 16)}); got != 0 {
		t.Errorf("a tiny picture has %v", got)
	}
}

func TestExposure(t *testing.T) {
	g := Gray{W: 20, H: 20, Pix: make([]byte, 400)}
	for i := range g.Pix {
		switch {
		case i < 100:
			g.Pix[i] = 0
		case i < 150:
			g.Pix[i] = 255
		default:
			g.Pix[i] = 51
		}
	}
	var f Frame
	f.measure(g)
	mean := (50*255 + 250*51) / 400.0
	spread := math.Sqrt((50*255*255+250*51*51)/400.0 - mean*mean)
	if !(math.Abs(f.Brightness-mean/255) < 1e-9) || !(math.Abs(f.Contrast-spread/255) < 1e-9) || f.Dark != 0.25 || f.Bright != 0.125 {
		t.Errorf("got %+v", f)
	}
}

func TestMotionOfAShiftedPicture(t *testing.T) {
	big := scattered(700, 500, 12, 3)
	before := cropped(big, 100, 100, 480, 270)
	for _, d := range [][2]int{{0, 0}, {3, 0}, {-7, 5}, {24, -10}, {50, 30}} {
		now := cropped(big, 100+d[0], 100+d[1], 480, 270)
		var f Frame
		f.compare(newPyramid(now), newPyramid(before))
		want := math.Hypot(float64(d[0]), float64(d[1])) / 480
		if !(math.Abs(f.Motion-want) < 0.0025) || !(f.Matched > 0.6) || !(f.Texture > 0.9) {
			t.Errorf("shift %v: motion %.4f, want %.4f; matched %.2f, texture %.2f", d, f.Motion, want, f.Matched, f.Texture)
		}
		if f.Duplicate != (d == [2]int{0, 0}) {
			t.Errorf("shift %v: duplicate %v", d, f.Duplicate)
		}
	}
}

func TestMotionDoesNotCareAboutExposure(t *testing.T) {
	g := scattered(480, 270, 12, 4)
	var f Frame
	f.compare(newPyramid(mapped(g, func(p byte) byte { return 20 + p/3 })), newPyramid(g))
	if !(f.Matched > 0.95) || !(f.Motion < 0.002) {
		t.Errorf("darker: matched %.2f, motion %.4f", f.Matched, f.Motion)
	}
}

func TestUnrelatedPicturesDoNotMatch(t *testing.T) {
	var f Frame
	f.compare(newPyramid(scattered(480, 270, 1, 5)), newPyramid(scattered(480, 270, 1, 6)))
	if !(f.Matched < 0.05) || f.Motion < motionReach || f.Duplicate {
		t.Errorf("noise: %+v", f)
	}
	flat := Gray{W: 480, H: 270, Pix: make([]byte, 480*270)}
	f = Frame{}
	f.compare(newPyramid(flat), newPyramid(flat))
	if f.Texture != 0 || f.Matched != 0 || f.Motion != 0 {
		t.Errorf("nothing to see: %+v", f)
	}
}

// The tables of sums give what adding up gives.
func TestCorrelationIsTheDefinition(t *testing.T) {
	a, b := scattered(60, 40, 4, 7), scattered(60, 40, 4, 8)
	past := newTable(b)
	const x, y, n = 20, 15, 9
	for _, d := range [][2]int{{0, 0}, {-5, 3}, {9, -9}} {
		var ma, mb float64
		for j := range n {
			for i := range n {
				ma += float64(a.Pix[(y+j)*60+x+i]) / (n * n)
				mb += float64(b.Pix[(y+d[1]+j)*60+x+d[0]+i]) / (n * n)
			}
		}
		var ab, aa, bb, sum, square float64
		for j := range n {
			for i := range n {
				p, q := float64(a.Pix[(y+j)*60+x+i]), float64(b.Pix[(y+d[1]+j)*60+x+d[0]+i])
				ab, aa, bb = ab+(p-ma)*(q-mb), aa+(p-ma)*(p-ma), bb+(q-mb)*(q-mb)
				sum, square = sum+p, square+p*p
			}
		}
		want := ab / math.Sqrt(aa*bb)
		if got := correlation(a, past, x, y, d[0], d[1], n, sum, square-sum*sum/(n*n)); !(math.Abs(got-want) < 1e-9) {
			t.Errorf("%v: got %v, want %v", d, got, want)
		}
	}
}

// However slowly the camera creeps, its way adds up; a tremble on the spot does not.
func TestTravel(t *testing.T) {
	big := scattered(900, 400, 12, 11)
	follow := func(n int, at func(i int) int) float64 {
		var camera Track
		var f Frame
		for i := range n {
			f = Frame{Index: i}
			camera.step(&f, newPyramid(cropped(big, at(i), 50, 480, 270)))
		}
		return f.Travel
	}
	const pixel = 1.0 / 480
	for _, test := range []struct {
		name      string
		n         int
		at        func(i int) int
		want, tol float64
	}{
		{"standing", 40, func(int) int { return 100 }, 0, 0.0005},
		{"trembling", 60, func(i int) int { return 100 + i%2 }, pixel, 0.002},
		{"creeping a pixel in three frames", 181, func(i int) int { return 100 + i/3 }, 60 * pixel, 0.015},
		{"walking", 31, func(i int) int { return 100 + 8*i }, 240 * pixel, 0.02},
	} {
		if got := follow(test.n, test.at); !(math.Abs(got-test.want) <= test.tol) {
			t.Errorf("%s: %.4f, want %.4f", test.name, got, test.want)
		}
	}
}
