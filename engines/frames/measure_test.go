package frames

import (
	"math"
	"testing"
)

// scattered is a picture of smooth random blobs, about size pixels wide, with all gray levels.
func scattered(w, h, size int, seed uint64) gray {
	g := gray{w: w, h: h, pix: make([]byte, w*h)}
	value := func(x, y int) float64 {
		k := (uint64(x)*0x9e3779b97f4a7c15 ^ uint64(y)*0xbf58476d1ce4e5b9) + seed*0x94d049bb133111eb
		k ^= k >> 31
		k *= 0x7fb5d329728ea185
		k ^= k >> 27
		return float64(k>>40) / (1 << 24)
	}
	for y := range h {
		for x := range w {
			cx, cy := x/size, y/size
			fx, fy := float64(x%size)/float64(size), float64(y%size)/float64(size)
			top := value(cx, cy)*(1-fx) + value(cx+1, cy)*fx
			bottom := value(cx, cy+1)*(1-fx) + value(cx+1, cy+1)*fx
			g.pix[y*w+x] = byte(255 * (top*(1-fy) + bottom*fy))
		}
	}
	return g
}

// smeared is the running mean over n pixels along rows.
func smeared(g gray, n int) gray {
	out := gray{w: g.w, h: g.h, pix: make([]byte, len(g.pix))}
	for y := range g.h {
		for x := range g.w {
			sum := 0
			for k := range n {
				sum += int(g.pix[y*g.w+min(g.w-1, max(0, x+k-n/2))])
			}
			out.pix[y*g.w+x] = byte(sum / n)
		}
	}
	return out
}

func cropped(g gray, x0, y0, w, h int) gray {
	out := gray{w: w, h: h, pix: make([]byte, 0, w*h)}
	for y := range h {
		out.pix = append(out.pix, g.pix[(y0+y)*g.w+x0:][:w]...)
	}
	return out
}

func mapped(g gray, f func(byte) byte) gray {
	out := gray{w: g.w, h: g.h, pix: make([]byte, len(g.pix))}
	for i, p := range g.pix {
		out.pix[i] = f(p)
	}
	return out
}

// blurEffect is Crete's definition, word for word, along rows: with the low-passed picture made.
func blurEffect(g gray) float64 {
	var sumF, sumV float64
	mean := func(x, y int) float64 {
		sum := 0.0
		for k := -4; k <= 4; k++ {
			sum += float64(g.pix[y*g.w+x+k])
		}
		return sum / 9
	}
	for y := range g.h {
		for x := 5; x < g.w-4; x++ {
			df := math.Abs(float64(g.pix[y*g.w+x]) - float64(g.pix[y*g.w+x-1]))
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
	if got := varied(g.pix, g.w, g.h, 1, g.w); !(math.Abs(got-want) < 1e-9) {
		t.Errorf("along rows: got %v, want %v", got, want)
	}
	turned := gray{w: g.h, h: g.w, pix: make([]byte, len(g.pix))}
	for y := range g.h {
		for x := range g.w {
			turned.pix[x*g.h+y] = g.pix[y*g.w+x]
		}
	}
	if got := varied(turned.pix, turned.h, turned.w, turned.w, 1); !(math.Abs(got-want) < 1e-9) {
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
	if got := sharpness(gray{w: 4, h: 4, pix: make([]byte, 16)}); got != 0 {
		t.Errorf("a tiny picture has %v", got)
	}
}

func TestExposure(t *testing.T) {
	g := gray{w: 20, h: 20, pix: make([]byte, 400)}
	for i := range g.pix {
		switch {
		case i < 100:
			g.pix[i] = 0
		case i < 150:
			g.pix[i] = 255
		default:
			g.pix[i] = 51
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
	flat := gray{w: 480, h: 270, pix: make([]byte, 480*270)}
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
				ma += float64(a.pix[(y+j)*60+x+i]) / (n * n)
				mb += float64(b.pix[(y+d[1]+j)*60+x+d[0]+i]) / (n * n)
			}
		}
		var ab, aa, bb, sum, square float64
		for j := range n {
			for i := range n {
				p, q := float64(a.pix[(y+j)*60+x+i]), float64(b.pix[(y+d[1]+j)*60+x+d[0]+i])
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
		var camera track
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
