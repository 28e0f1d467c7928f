package choose

import (
	"math"
	"slices"
)

// move is the displacement of a block from one picture to another, with its place from the middle of the picture, all as
// shares of the longer edge.
type move struct{ x, y, dx, dy float64 }

func (m move) length() float64 { return math.Hypot(m.dx, m.dy) }

func lengths(moves []move) []float64 {
	out := make([]float64, len(moves))
	for i, m := range moves {
		out[i] = m.length()
	}
	return out
}

// parallaxStep is the travel over which parallax is measured: some pixels of the pictures that blocks are found in, so that
// their precision of a tenth of a pixel is a small part.
const parallaxStep = 0.04

// parallax is how much of the blocks' displacements a camera that only turns cannot explain, as a share of their median
// length; see unexplained. ok is false when there are too few blocks to tell.
func parallax(moves []move) (share float64, ok bool) {
	rest, ok := unexplained(moves)
	length := median(lengths(moves))
	if !ok || !(length > 0) {
		return 0, false
	}
	return median(rest) / length, true
}

// unexplained are the blocks' distances from the flow field of eight parameters that a turning camera, or one that moves before
// a plane, causes (Longuet-Higgins and Prazdny, Proc. R. Soc. Lond. B 208, 1980, equation 2.4 and its form for planes). ok is
// false when there are too few blocks to tell.
func unexplained(moves []move) (residuals []float64, ok bool) {
	const parameters = 8
	if len(moves) < parameters+2 {
		return nil, false
	}
	weights := make([]float64, len(moves))
	for i := range weights {
		weights[i] = 1
	}
	residuals = make([]float64, len(moves))
	for range 4 {
		var a [parameters][parameters + 1]float64
		add := func(row [parameters]float64, value, weight float64) {
			for i := range row {
				for j := range row {
					a[i][j] += weight * row[i] * row[j]
				}
				a[i][parameters] += weight * row[i] * value
			}
		}
		for i, m := range moves {
			add([parameters]float64{1, m.x, m.y, 0, 0, 0, m.x * m.x, m.x * m.y}, m.dx, weights[i])
			add([parameters]float64{0, 0, 0, 1, m.x, m.y, m.x * m.y, m.y * m.y}, m.dy, weights[i])
		}
		p, ok := solve(a)
		if !ok {
			return nil, false
		}
		for i, m := range moves {
			dx := p[0] + p[1]*m.x + p[2]*m.y + p[6]*m.x*m.x + p[7]*m.x*m.y
			dy := p[3] + p[4]*m.x + p[5]*m.y + p[6]*m.x*m.y + p[7]*m.y*m.y
			residuals[i] = math.Hypot(m.dx-dx, m.dy-dy)
		}
		// Blocks that were found in a wrong place, or are at another depth than most, count less.
		scale := max(1e-4, 2*median(slices.Clone(residuals)))
		for i, r := range residuals {
			weights[i] = 1 / (1 + r*r/(scale*scale))
		}
	}
	return residuals, true
}

// views are some pictures of a video, evenly spread over it, however long it is.
type views struct {
	kept         []pyramid
	stride, seen int
}

// mostViews are kept at the most, and half as many at least. All pairs of them are compared.
const mostViews = 16

func (v *views) add(p pyramid) {
	v.stride = max(1, v.stride)
	if v.seen++; (v.seen-1)%v.stride != 0 {
		return
	}
	if len(v.kept) == mostViews {
		for i := range mostViews / 2 {
			v.kept[i] = v.kept[2*i]
		}
		v.kept = v.kept[:mostViews/2]
		if v.stride *= 2; (v.seen-1)%v.stride != 0 {
			return
		}
	}
	v.kept = append(v.kept, p)
}

const (
	// smallReach is the way that nearlyAll of the picture stays within when the camera does not go anywhere: a tenth of the
	// picture's longer edge.
	smallReach = 0.1
	// leastDepth is what has to move differently from the rest by then, in the same unit: three pixels of the analysed
	// picture, less than one of those that blocks are found in. Measured: leaves in the wind before a camera on a tripod that is
	// turned a little 0.0041, a picture that is slid 0.0006, walks of 0.7 s 0.016 and 0.046, of 5 s 0.11 and 0.14.
	leastDepth = 0.006
)

// still says whether the camera stays in one place: whether hardly anything gets far from where it was in any other view, and
// what does so does it as it does for a camera that turns. Unlike the frames' Travel it is no sum: neither a sensor's noise nor
// leaves in the wind add up.
func (v *views) still() bool {
	var ways, rests []float64
	for i := range v.kept {
		for j := range i {
			moves, textured, _ := blockMotion(v.kept[i], v.kept[j])
			if textured == 0 {
				continue
			}
			way := lengths(moves)
			slices.Sort(way)
			if far := quantile(way, nearlyAll); 2*len(moves) >= textured {
				ways = append(ways, far)
			} else {
				ways = append(ways, 1) // out of sight
				continue
			}
			if rest, ok := unexplained(moves); ok {
				slices.Sort(rest)
				rests = append(rests, quantile(rest, nearlyAll))
			}
		}
	}
	slices.Sort(ways)
	slices.Sort(rests)
	// Too few are no evidence.
	return len(rests) >= 10 && quantile(ways, 0.9) < smallReach && quantile(rests, 0.75) < leastDepth
}

// MedianParallax is the median of Frame.Parallax where it was measured; 0 where it never was.
func MedianParallax(frames []Frame) float64 {
	var measured []float64
	for _, f := range frames {
		if f.Parallax > 0 {
			measured = append(measured, f.Parallax)
		}
	}
	return median(measured)
}

// solve does so for eight linear equations, the right side in the last column (Gauss with pivots).
func solve(a [8][9]float64) (x [8]float64, ok bool) {
	for i := range 8 {
		best := i
		for r := i + 1; r < 8; r++ {
			if math.Abs(a[r][i]) > math.Abs(a[best][i]) {
				best = r
			}
		}
		a[i], a[best] = a[best], a[i]
		if !(math.Abs(a[i][i]) > 1e-12) {
			return x, false
		}
		for r := i + 1; r < 8; r++ {
			f := a[r][i] / a[i][i]
			for c := i; c < 9; c++ {
				a[r][c] -= f * a[i][c]
			}
		}
	}
	for i := 7; i >= 0; i-- {
		sum := a[i][8]
		for c := i + 1; c < 8; c++ {
			sum -= a[i][c] * x[c]
		}
		x[i] = sum / a[i][i]
	}
	return x, true
}
