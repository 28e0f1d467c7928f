package frames

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
// length: the median distance from the flow field of eight parameters that a turning camera, or one that moves before a
// plane, causes (Longuet-Higgins and Prazdny, Proc. R. Soc. Lond. B 208, 1980, equation 2.4 and its form for planes). ok is
// false when there are too few blocks to tell.
func parallax(moves []move) (share float64, ok bool) {
	const parameters = 8
	if len(moves) < parameters+2 {
		return 0, false
	}
	weights := make([]float64, len(moves))
	for i := range weights {
		weights[i] = 1
	}
	residuals := make([]float64, len(moves))
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
			return 0, false
		}
		for i, m := range moves {
			dx := p[0] + p[1]*m.x + p[2]*m.y + p[6]*m.x*m.x + p[7]*m.x*m.y
			dy := p[3] + p[4]*m.x + p[5]*m.y + p[6]*m.x*m.y + p[7]*m.y*m.y
			residuals[i] = math.Hypot(m.dx-dx, m.dy-dy)
		}
		// Blocks that were found in a wrong place, or stand on another depth than most, count less.
		scale := max(1e-4, 2*median(slices.Clone(residuals)))
		for i, r := range residuals {
			weights[i] = 1 / (1 + r*r/(scale*scale))
		}
	}
	length := median(lengths(moves))
	if !(length > 0) {
		return 0, false
	}
	return median(residuals) / length, true
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
