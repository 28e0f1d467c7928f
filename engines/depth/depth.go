// Package depth says how far every pixel of an image is: it runs monocular depth networks, Depth-Anything-V2 first of
// all, through ONNX Runtime, and aligns what they say to the sparse points of a reconstruction.
//
// The runtime is a shared library that is loaded by name (runtime.go); a program built without cgo has none and says so.
// Models are files with a descriptor beside them (model.go); none is part of this repository. A model's answer is
// relative: it means something only after it has been fitted to known points.
package depth

import "context"

// Map is what a model says about one image, in the model's own output space (Descriptor.Output). It covers the whole
// image, whatever its size: the image point (u, v) in pixels, pixel centres at half integers as in COLMAP, is at
// (u·Width/w, v·Height/h) of the map of a w x h image.
type Map struct {
	Width, Height int
	Values        []float32 // Width·Height, row by row from the top
}

// OutputKind is the space that a model answers in.
type OutputKind string

const (
	InverseDepth OutputKind = "inverse_depth" // s/z + t with unknown s > 0 and t: larger is nearer
	AffineDepth  OutputKind = "depth"         // s·z + t with unknown s > 0 and t: larger is farther
	MetricDepth  OutputKind = "metric"        // z in metres, as far as one image can tell
)

// Input is one image as a model wants it: resized, normalised, planar (Descriptor.Prepare).
type Input struct {
	Width, Height int
	Values        []float32 // three planes R, G, B of Width·Height values
}

// Estimator turns images into maps. Session is the real one; a stand-in needs no runtime and no weights.
type Estimator interface {
	// Descriptor of the model.
	Descriptor() Descriptor
	// Estimate gives one map per input, in order, each as large as its input. All inputs have the same size. A canceled
	// context stops a running inference; the error is then the context's. A *fault.Failure says what else went wrong.
	Estimate(ctx context.Context, inputs []Input) ([]Map, error)
	// Close frees the model. No Estimate may be running.
	Close() error
}
