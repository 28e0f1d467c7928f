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
	t := &Truth{}
	k.MeasureTruth(NewLoss(w), t, pix, w, h)
	return t, nil
}

// MeasureTruth is NewTruth in memory that is there: l is scratch for the width w, and t's moments are reused when they
// are large enough. pix holds w*h values.
func (k *Kernels) MeasureTruth(l *Loss, t *Truth, pix []uint8, w, h int) {
	if l.w != w || len(pix) != w*h {
		panic(fmt.Sprintf("simd: moments of %d pixels as %dx%d with scratch for width %d", len(pix), w, h, l.w))
	}
	if cap(t.Mu) < w*h || cap(t.Var) < w*h {
		t.Mu, t.Var = make([]uint16, w*h), make([]uint16, w*h)
	}
	t.W, t.H, t.Pix, t.Mu, t.Var = w, h, pix, t.Mu[:w*h], t.Var[:w*h]
	for first := -ssimRadius - 1; first < h+ssimRadius; first += 2 {
		for r := first; r < first+2; r++ {
			slot := l.slot(r)
			if r < 0 || r >= h {
				clear(l.ringA[0][slot])
				clear(l.ringA[1][slot])
				continue
			}
			copy(l.pix, pix[r*w:r*w+w])
			k.loss.bytes(l.y[ssimPad:ssimPad+l.row], l.pix)
			k.loss.multiply(l.xx, l.y, l.y)
			k.loss.convolveRow(l.ringA[0][slot], l.y)
			k.loss.convolveRow(l.ringA[1][slot], l.xx)
		}
		c := first - ssimRadius
		if c+1 < 0 {
			continue
		}
		for i := range 2 {
			k.loss.convolveColumns(l.stats[0][i], l.stats[1][i], &l.windowsA[i][l.slot(c)])
		}
		for j := range 2 {
			if c+j < 0 || c+j >= h {
				continue
			}
			mu, square := l.stats[j][0], l.stats[j][1]
			for x := range w {
				at := (c+j)*w + x
				t.Mu[at] = uint16(min(max(mu[x]*muScale+0.5, 0), 65535))
				t.Var[at] = uint16(min(max((square[x]-mu[x]*mu[x])*varScale+0.5, 0), 65535))
			}
		}
	}
}

// ssimPad zeros are on either side of a padded row: at least ssimRadius, and a whole register.
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
	stats    [2][3][]float32 // moments of two rows, then the sums of their gradients
	parts    [3][]float32    // padded: SSIM's partial derivatives
	ringA    [3]ring         // the last 12 rows of x, x², xy, convolved along x
	ringB    [3]ring         // and of parts
	windowsA [3][ringRows]ring
	windowsB [3][ringRows]ring
}

// ringRows is what the windows of two neighbouring rows cover.
const ringRows = ssimTaps + 1

// ring holds row r in slot r mod 12; a window holds the rows centre-5 ... centre+6 in order, for a centre of each slot.
type ring [ringRows][]float32

// NewLoss returns scratch memory for images w pixels wide.
func NewLoss(w int) *Loss {
	l := &Loss{w: w, row: (w + 15) &^ 15}
	padded := func() []float32 { return Aligned(l.row + 2*ssimPad) }
	l.x, l.y, l.xx, l.xy, l.grad, l.valid = padded(), padded(), padded(), padded(), Aligned(l.row), Aligned(l.row)
	l.pix, l.mu, l.variance = make([]uint8, l.row), make([]uint16, l.row), make([]uint16, l.row)
	for i := range w {
		l.valid[i] = 1
	}
	for i := range l.parts {
		l.stats[0][i], l.stats[1][i] = Aligned(l.row), Aligned(l.row)
		l.parts[i] = padded()
		for j := range l.ringA[i] {
			l.ringA[i][j] = Aligned(l.row)
			l.ringB[i][j] = Aligned(l.row)
		}
		for centre := range ringRows {
			for j := range ringRows {
				slot := l.slot(centre - ssimRadius + j)
				l.windowsA[i][centre][j], l.windowsB[i][centre][j] = l.ringA[i][slot], l.ringB[i][slot]
			}
		}
	}
	return l
}

// slot of a row, from 24 rows above the image on.
func (l *Loss) slot(row int) int { return (row + 2*ringRows) % ringRows }

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
	for r := y0 - 2*ssimRadius; r < y1+2*ssimRadius; r += 2 {
		// Moments along x of rows r and r+1.
		l.moments(k, x, truth, r)
		l.moments(k, x, truth, r+1)
		// SSIM and its partial derivatives in rows c and c+1, whose windows are now complete.
		c := r - ssimRadius
		if c < y0-ssimRadius {
			continue
		}
		for i := range l.parts {
			k.loss.convolveColumns(l.stats[0][i], l.stats[1][i], &l.windowsA[i][l.slot(c)])
		}
		for j := range 2 {
			s := l.similarity(k, truth, c+j, &l.stats[j])
			if c+j >= y0 && c+j < y1 {
				ssim += s
			}
		}
		// The gradient of rows d and d+1, whose windows of partial derivatives are now complete.
		d := c - ssimRadius
		if d < y0 {
			continue
		}
		for i := range l.parts {
			k.loss.convolveColumns(l.stats[0][i], l.stats[1][i], &l.windowsB[i][l.slot(d)])
		}
		for j := d; j < min(d+2, y1); j++ {
			l.read(k, x, truth, j)
			l1 += float64(k.loss.gradient(l.grad, &l.stats[j-d], l.x[ssimPad:], l.y[ssimPad:], weights))
			copy(grad[j*w:j*w+w], l.grad)
		}
	}
	return l1, ssim
}

// moments convolves one row of x, x², xy along x into the ring; rows outside the image are 0.
func (l *Loss) moments(k *Kernels, x []float32, truth *Truth, row int) {
	slot := l.slot(row)
	if row < 0 || row >= truth.H {
		for i := range l.ringA {
			clear(l.ringA[i][slot])
		}
		return
	}
	l.read(k, x, truth, row)
	k.loss.multiply(l.xx, l.x, l.x)
	k.loss.multiply(l.xy, l.x, l.y)
	k.loss.convolveRow(l.ringA[0][slot], l.x)
	k.loss.convolveRow(l.ringA[1][slot], l.xx)
	k.loss.convolveRow(l.ringA[2][slot], l.xy)
}

// similarity turns a row's moments into SSIM's partial derivatives, convolves them along x into the ring, and returns the
// row's sum of SSIM; rows outside the image are 0.
func (l *Loss) similarity(k *Kernels, truth *Truth, row int, stats *[3][]float32) float64 {
	slot, w := l.slot(row), truth.W
	if row < 0 || row >= truth.H {
		for i := range l.ringB {
			clear(l.ringB[i][slot])
		}
		return 0
	}
	copy(l.mu, truth.Mu[row*w:row*w+w])
	copy(l.variance, truth.Var[row*w:row*w+w])
	sum := k.loss.partials(&l.parts, stats, l.mu, l.variance, l.valid)
	for i := range l.parts {
		k.loss.convolveRow(l.ringB[i][slot], l.parts[i])
	}
	return float64(sum)
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
	// convolveColumns: above[i] = sum over k of window[k]·rows[k][i], and below[i] the same of the next rows.
	convolveColumns func(above, below []float32, rows *ring)
	// partials turns the moments of x, x², xy into dS/dmux, dS/dE[x²], dS/dE[xy] (padded; 0 where valid is 0) and returns
	// the sum of S.
	partials func(parts, stats *[3][]float32, mu, variance []uint16, valid []float32) float32
	// gradient: see Rows; returns the sum of |x - y|.
	gradient func(grad []float32, sums *[3][]float32, x, y []float32, weights LossWeights) float32
}
