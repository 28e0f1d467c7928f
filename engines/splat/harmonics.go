package splat

import "math"

// basis evaluates the functions above degree 0 for a unit direction (docs/conventions.md, "Spherical harmonics").
func basis(d [3]float64) [15]float64 {
	x, y, z := d[0], d[1], d[2]
	return [15]float64{
		-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x,
		1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2*z*z - x*x - y*y), -1.0925484305920792 * x * z, 0.5462742152960396 * (x*x - y*y),
		-0.5900435899266435 * y * (3*x*x - y*y), 2.890611442640554 * x * y * z, -0.4570457994644658 * y * (4*z*z - x*x - y*y),
		0.3731763325901154 * z * (2*z*z - 3*x*x - 3*y*y), -0.4570457994644658 * x * (4*z*z - x*x - y*y), 1.445305721320277 * z * (x*x - y*y), -0.5900435899266435 * x * (x*x - 3*y*y),
	}
}

// shTurn turns coefficients with a rotation: one square matrix for each degree, since a rotation mixes only functions of the
// same degree.
type shTurn [][][]float64

// newSHTurn finds the matrices from the definition: the turned colour, seen from a turned direction, is the colour from the
// direction. With as many directions as functions that is a linear system.
func newSHTurn(rotation [4]float64, degree int) (t shTurn) {
	if math.Abs(rotation[0]) == 1 {
		return nil // no rotation
	}
	for d := 1; d <= degree; d++ {
		n := 2*d + 1
		first := RestCount(d - 1)
		before, after := make([][]float64, n), make([][]float64, n)
		for i := range n {
			direction := spiral(i, n)
			b, a := basis(direction), basis(rotate(rotation, direction))
			before[i], after[i] = append([]float64(nil), b[first:first+n]...), append([]float64(nil), a[first:first+n]...)
		}
		t = append(t, solve(after, before)) // after * new = before * old, for all old
	}
	return t
}

// spiral spreads n directions over the upper half of the sphere, none on an axis.
func spiral(i, n int) [3]float64 {
	z := (float64(i) + 0.7) / (float64(n) + 0.9)
	sin, cos := math.Sincos(2.399963 * (float64(i) + 0.3))
	r := math.Sqrt(1 - z*z)
	return [3]float64{r * cos, r * sin, z}
}

// solve returns X of A X = B by Gauss-Jordan elimination with pivots; A is regular here.
func solve(a, b [][]float64) [][]float64 {
	n := len(a)
	for col := range n {
		pivot := col
		for row := col; row < n; row++ {
			if math.Abs(a[row][col]) > math.Abs(a[pivot][col]) {
				pivot = row
			}
		}
		a[col], a[pivot], b[col], b[pivot] = a[pivot], a[col], b[pivot], b[col]
		scale := 1 / a[col][col]
		for j := range n {
			a[col][j] *= scale
			b[col][j] *= scale
		}
		for row := range n {
			if f := a[row][col]; row != col {
				for j := range n {
					a[row][j] -= f * a[col][j]
					b[row][j] -= f * b[col][j]
				}
			}
		}
	}
	return b
}

// apply turns the coefficients of one Gaussian in place: coefficient-major, r g b inner.
func (t shTurn) apply(rest []float32) {
	for d, matrix := range t {
		first := RestCount(d)
		var old [7][3]float64
		for j := range matrix {
			for channel := range 3 {
				old[j][channel] = float64(rest[3*(first+j)+channel])
			}
		}
		for j, row := range matrix {
			for channel := range 3 {
				sum := 0.0
				for i, m := range row {
					sum += m * old[i][channel]
				}
				rest[3*(first+j)+channel] = float32(sum)
			}
		}
	}
}
