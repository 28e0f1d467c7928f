package simd

// GroupLanes is the number of Gaussians whose parameters lie side by side in one group: parameter row k of the group's
// Gaussian j is group[k*GroupLanes+j]. One row is one AVX-512 register and one cache line, and a group's parameters,
// gradients and moments are a few contiguous pages: what a camera does not see is never touched.
const GroupLanes = 16

// Rows of a group, raw parameters (activations are applied by the kernels).
const (
	RowMean     = 0  // x, y, z
	RowScale    = 3  // natural logarithms of the standard deviations
	RowRotation = 6  // quaternion w, x, y, z, not normalised
	RowOpacity  = 10 // logit
	RowDC       = 11 // SH degree 0: red, green, blue
	RowRest     = 14 // SH degrees 1..3: coefficient-major, red, green, blue inner
)

// GroupRows returns the number of rows of a group with SH coefficients up to degree 0..3: 14, 23, 38 or 59.
func GroupRows(degree int) int { return RowDC + 3*(degree+1)*(degree+1) }
