package simd

import "fmt"

// SSIM's window and constants (Wang et al. 2004): 11x11 Gaussian with standard deviation 1.5, range 1, zero padding.
const (
	ssimTaps   = 11
	ssimRadius = ssimTaps / 2
	ssimC1     = 0.01 * 0.01
	ssimC2     = 0.03 * 0.03
)

// ssimWindow is half of the normalised window, from the edge to the centre.
var ssimWindow = [ssimRadius + 1]float32{0.00102838, 0.00759876, 0.03600077, 0.10936069, 0.21300554, 0.26601172}

// Truth is one channel of a ground truth image with the moments of its SSIM windows, 5 bytes a pixel: computed once for
// an image and resolution. Moments are fixed-point: 16-bit floats would blur SSIM in flat bright regions, where its
// constant C2 = 9e-4 competes with mu·4.9e-4.
type Truth struct {
	W, H int
	Pix  []uint8  // W*H, 0..255
	Mu   []uint16 // window mean, times 65535
	Var  []uint16 // window variance, times 4·65535
}

const (
	muScale  = 65535
	varScale = 4 * 65535
)

// NewTruth computes the moments of one channel, pix of w*h values in row order, which it keeps.
func (k *Kernels) NewTruth(pix []uint8, w, h int) (*Truth, error) {
	if w <= 0 || h <= 0 || len(pix) != w*h {
		return nil, fmt.Errorf("simd: %d pixels for a channel of %dx%d", len(pix), w, h)
	}
	t := &Truth{W: w, H: h, Pix: pix, Mu: make([]uint16, w*h), Var: make([]uint16, w*h)}
	l := NewLoss(w)
	mu, square := l.stats[0], l.stats[1]
	for r := 0; r < h+ssimRadius; r++ {
		slot := r % ssimTaps
		if r < h {
			copy(l.pix, pix[r*w:r*w+w])
			k.loss.bytes(l.y[ssimPad:ssimPad+l.row], l.pix)
			k.loss.multiply(l.xx, l.y, l.y)
			k.loss.convolveRow(l.ringA[0][slot], l.y)
			k.loss.convolveRow(l.ringA[1][slot], l.xx)
		} else {
			clear(l.ringA[0][slot])
			clear(l.ringA[1][slot])
		}
		c := r - ssimRadius
		if c < 0 {
			continue
		}
		k.loss.convolveColumns(mu, &l.windowsA[0][l.slot(c)])
		k.loss.convolveColumns(square, &l.windowsA[1][l.slot(c)])
		for x := 0; x < w; x++ {
			t.Mu[c*w+x] = uint16(min(max(mu[x]*muScale+0.5, 0), 65535))
			t.Var[c*w+x] = uint16(min(max((square[x]-mu[x]*mu[x])*varScale+0.5, 0), 65535))
		}
	}
	return t, nil
}

// ssimPad zeros stand on either side of a padded row: at least ssimRadius, and a whole register.
const ssimPad = 16

// Loss is the scratch memory of the photometric loss for images of one width: about 250 bytes for each column, so that a
// row's work stays in the second-level cache. One for each goroutine.
type Loss struct {
	w, row int // row: w rounded up to whole registers; scratch rows are so long, and padded rows 2*ssimPad longer

	pix      []uint8   // of a row of the truth
	mu       []uint16  //
	variance []uint16  //
	valid    []float32 // 1 inside the image, 0 in the rest of the last register
	x, y     []float32 // padded: render and truth
	xx, xy   []float32 // padded: products
	grad     []float32
	stats    [3][]float32 // moments of one row, then the sums of the gradient
	parts    [3][]float32 // padded: SSIM's partial derivatives
	ringA    [3]ring      // the last 11 rows of x, x², xy, convolved along x
	ringB    [3]ring      // and of parts
	windowsA [3][ssimTaps]ring
	windowsB [3][ssimTaps]ring
}

// ring holds row r in slot r mod 11; a window holds the rows centre-5 ... centre+5 in order, for a centre of each slot.
type ring [ssimTaps][]float32

// NewLoss returns scratch memory for images w pixels wide.
func NewLoss(w int) *Loss {
	l := &Loss{w: w, row: (w + 15) &^ 15}
	padded := func() []float32 { return Aligned(l.row + 2*ssimPad) }
	l.x, l.y, l.xx, l.xy, l.grad, l.valid = padded(), padded(), padded(), padded(), Aligned(l.row), Aligned(l.row)
	l.pix, l.mu, l.variance = make([]uint8, l.row), make([]uint16, l.row), make([]uint16, l.row)
	for i := range w {
		l.valid[i] = 1
	}
	for i := range l.stats {
		l.stats[i] = Aligned(l.row)
		l.parts[i] = padded()
		for j := range l.ringA[i] {
			l.ringA[i][j] = Aligned(l.row)
			l.ringB[i][j] = Aligned(l.row)
		}
		for centre := range ssimTaps {
			for j := range ssimTaps {
				slot := l.slot(centre - ssimRadius + j)
				l.windowsA[i][centre][j], l.windowsB[i][centre][j] = l.ringA[i][slot], l.ringB[i][slot]
			}
		}
	}
	return l
}

func (l *Loss) slot(row int) int { return (row + 2*ssimTaps) % ssimTaps }

// LossWeights are the factors of the two terms of the loss, summed over pixels and channels: with n = 3·W·H and weight
// lambda of D-SSIM, L1 = (1-lambda)/n and SSIM = lambda/n.
type LossWeights struct{ L1, SSIM float32 }

// Rows computes the photometric loss of one channel in image rows y0 <= y < y1, and its gradient. x is the rendered
// channel and grad its gradient, both of the truth's size; only those rows of grad are written. It returns the sums over
// the rows of |x - y| and of SSIM, so that the loss's share is
//
//	weights.L1·l1 + weights.SSIM·(pixels - ssim)
//
// Rows may be shared out to goroutines, each with its own Loss; a share repeats the work of 10 rows at either end.
//
// With A = 2·mux·muy + C1, B = 2·covxy + C2, Cc = mux² + muy² + C1, D = varx + vary + C2 and S = AB/(Cc·D), G* the window:
//
//	grad = L1·sign(x-y) - SSIM·(G*dS/dmux + 2x·G*dS/dE[x²] + y·G*dS/dE[xy])
//	dS/dE[x²] = -S/D,  dS/dE[xy] = 2A/(Cc·D),  dS/dmux = 2(muy·B/(Cc·D) - mux·S/Cc + mux·S/D - muy·A/(Cc·D))
func (k *Kernels) Rows(l *Loss, x []float32, truth *Truth, y0, y1 int, weights LossWeights, grad []float32) (l1, ssim float64) {
	w, h := truth.W, truth.H
	if l.w != w || len(x) < w*h || len(grad) < w*h || y0 < 0 || y1 > h {
		panic(fmt.Sprintf("simd: loss rows %d..%d of %dx%d with scratch for width %d, %d rendered and %d gradient values", y0, y1, w, h, l.w, len(x), len(grad)))
	}
	for r := y0 - 2*ssimRadius; r < y1+2*ssimRadius; r++ {
		// Moments along x of row r.
		slot := l.slot(r)
		if r >= 0 && r < h {
			l.read(k, x, truth, r)
			k.loss.multiply(l.xx, l.x, l.x)
			k.loss.multiply(l.xy, l.x, l.y)
			k.loss.convolveRow(l.ringA[0][slot], l.x)
			k.loss.convolveRow(l.ringA[1][slot], l.xx)
			k.loss.convolveRow(l.ringA[2][slot], l.xy)
		} else {
			for i := range l.ringA {
				clear(l.ringA[i][slot])
			}
		}
		// SSIM and its partial derivatives in row c, whose window is now complete.
		c := r - ssimRadius
		if c < y0-ssimRadius {
			continue
		}
		slot = l.slot(c)
		if c >= 0 && c < h {
			for i := range l.stats {
				k.loss.convolveColumns(l.stats[i], &l.windowsA[i][slot])
			}
			copy(l.mu, truth.Mu[c*w:c*w+w])
			copy(l.variance, truth.Var[c*w:c*w+w])
			s := k.loss.partials(&l.parts, &l.stats, l.mu, l.variance, l.valid)
			if c >= y0 && c < y1 {
				ssim += float64(s)
			}
			for i := range l.parts {
				k.loss.convolveRow(l.ringB[i][slot], l.parts[i])
			}
		} else {
			for i := range l.ringB {
				clear(l.ringB[i][slot])
			}
		}
		// The gradient of row d, whose window of partial derivatives is now complete.
		d := c - ssimRadius
		if d < y0 {
			continue
		}
		for i := range l.stats {
			k.loss.convolveColumns(l.stats[i], &l.windowsB[i][l.slot(d)])
		}
		l.read(k, x, truth, d)
		l1 += float64(k.loss.gradient(l.grad, &l.stats, l.x[ssimPad:], l.y[ssimPad:], weights))
		copy(grad[d*w:d*w+w], l.grad)
	}
	return l1, ssim
}

// read fills the padded rows x and y from one row of the images.
func (l *Loss) read(k *Kernels, x []float32, truth *Truth, row int) {
	copy(l.x[ssimPad:], x[row*l.w:row*l.w+l.w])
	copy(l.pix, truth.Pix[row*l.w:row*l.w+l.w])
	k.loss.bytes(l.y[ssimPad:ssimPad+l.row], l.pix)
}

// lossRows are the row kernels of the loss. Rows are whole registers long, len(dst); a padded row has ssimPad more floats
// on either side.
type lossRows struct {
	// bytes: dst[i] = src[i]/255.
	bytes func(dst []float32, src []uint8)
	// multiply: dst[i] = a[i]·b[i].
	multiply func(dst, a, b []float32)
	// convolveRow: dst[i] = sum over k of window[k]·src[i+k-5], src padded.
	convolveRow func(dst, src []float32)
	// convolveColumns: dst[i] = sum over k of window[k]·rows[k][i].
	convolveColumns func(dst []float32, rows *ring)
	// partials turns the moments of x, x², xy into dS/dmux, dS/dE[x²], dS/dE[xy] (padded; 0 where valid is 0) and returns
	// the sum of S.
	partials func(parts, stats *[3][]float32, mu, variance []uint16, valid []float32) float32
	// gradient: see Rows; returns the sum of |x - y|.
	gradient func(grad []float32, sums *[3][]float32, x, y []float32, weights LossWeights) float32
}
