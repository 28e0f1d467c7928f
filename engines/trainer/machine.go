package trainer

import "github.com/splatworks/splatworks/engines/raster"

// machine does what every iteration does to pixels and Gaussians. The processor is one (processor.go), a graphics card another
// (device.go). What is decided about iterations and refinements, and what happens between them (checkpoints, previews), is
// done here, on the model that get brings back, whichever machine it is.
type machine interface {
	// put hands over the model, at the start and whenever something else than step changed it.
	put(*gaussians) error
	// get makes the model that was put what the steps have made of it.
	get() error
	// step draws a view, compares, differentiates, and updates what the view saw and its statistics.
	step(*visit) (measured, error)
	// losses are those of the steps since the last call, in their order: of all of them, or of as many of the first as are known without
	// waiting.
	losses(all bool) ([]float64, error)
	// refine prunes, splits and lays out the model anew, as gaussians.refine does. What was put has the new size then, and its
	// content only after get.
	refine(*refinement) (refined, error)
	// draw shows the model through a camera before a background. The frame lasts until the next call of any method.
	draw(cam *raster.Camera, background [3]float32) (*raster.Frame, error)
	// close releases what the machine holds.
	close()
}

// visit is all that is decided about an iteration.
type visit struct {
	image      int   // in Dataset.Train
	level      int   // of the pyramid
	next       []int // images of the visits after it, as far as they are decided
	picture    *Picture
	once       bool     // the picture is of this visit alone
	prior      *Picture // has the inverse depth, or nil
	camera     raster.Camera
	background [3]float32
	degree     int         // of the spherical harmonics in use
	rates      []float32   // learning rate of each row
	ssim       float64     // weight of 1−SSIM in the loss; the rest is L1
	depth      float64     // weight of the mean difference of inverse depth, in world units
	gains      *[3]float32 // factors of the colours; nil: none, and no means are measured
	poses      bool        // the gradient by the camera is wanted
}

// measured is what the next iteration needs of this one.
type measured struct {
	drawn, shown [3]float64             // means of each channel of the drawing, before its gain, and of the picture
	pose         []raster.Pose[float32] // parts of the gradient by the camera, to be added in this order
}
