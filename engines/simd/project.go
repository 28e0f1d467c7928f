package simd

// View is a pinhole camera as the projection kernels read it: x_camera = R·x_world + T, pixel centres at +0.5.
type View struct {
	R                  [3][3]float32
	T, Center          [3]float32 // Center = -Rᵀ·T
	FX, FY, CX, CY     float32    // pixels
	Near               float32    // Gaussians nearer along z are not visible
	ClampMin, ClampMax [2]float32 // range of x/z and y/z inside the projection's derivative
	CullMin, CullMax   [2]float32 // Gaussians whose x/z, y/z lies outside are not visible
	Mip                float32    // 1: scale the opacity by sqrt(det0/det) (Mip-Splatting), 0: do not
}

// Screen is the derivative by the projected means of a group, in pixels: its sum, and with Abs the sums of absolute values.
type Screen struct{ U, V, AbsU, AbsV [GroupLanes]float32 }

// The projection kernels have no plain form here: package raster holds their definition, with the same conventions, and its
// tests compare the two. At Plain they are nil.
//
// projectFunc writes the records of the group's 16 Gaussians to splats, IDs from id on, and returns which of them are
// visible: Gaussians inside the view, with opacity, quaternion and covariance within raster's bounds, and with some
// extent. The other records are undefined. group holds GroupRows of at least the SH degree that is evaluated, 0 to 3.
//
// backwardFunc differentiates it for the visible lanes: it sums grads[slots[lane]] to grads[slots[lane]+counts[lane]-1]
// and writes the derivative by every parameter row of the degree to rows, and by the means to screen; 0 in the other lanes.
// splats are the records of the forward pass. Gradients by depth and the absolute sums are as BlendBackward left them.
type (
	projectFunc       func(view *View, group []float32, degree int, id uint32, splats []Splat) (visible uint16)
	backwardGroupFunc func(view *View, group []float32, degree int, visible uint16, splats []Splat, grads []Grad, slots, counts []uint32, rows []float32, screen *Screen)
)
