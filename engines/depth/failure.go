package depth

import "fmt"

// Failure says why there are no maps and what can be done about it. A cancellation by the caller is no Failure: it comes
// back as the context's error.
type Failure struct {
	Code    string `json:"code"`    // one of the codes below; stable
	Message string `json:"message"` // what happened, in one sentence
	Advice  string `json:"advice"`  // what to do, in one sentence
	Err     error  `json:"-"`       // the cause, for logs
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s (%s): %v", f.Message, f.Code, f.Err)
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

func (f *Failure) Unwrap() error { return f.Err }

// Codes.
const (
	RuntimeMissing   = "depth_runtime_missing"   // no ONNX Runtime here, or this program cannot load one
	RuntimeFailed    = "depth_runtime_failed"    // it is here and does not work
	ModelMissing     = "depth_model_missing"     // no weights here
	ModelLicense     = "depth_model_license"     // its licence has not been accepted
	ModelUnreachable = "depth_model_unreachable" // its address does not answer
	ModelDamaged     = "depth_model_damaged"     // not the file that the descriptor names, or no ONNX
	ModelUnsuitable  = "depth_model_unsuitable"  // an ONNX graph, but not one that the descriptor describes
	BadOutput        = "depth_bad_output"        // NaN, infinite, all zero or constant
	OutOfMemory      = "depth_out_of_memory"     // Options.MemoryBytes do not suffice for images of this size
	UnreadableImage  = "depth_unreadable_image"
)

// Unavailable says whether depth cannot be had on this machine at all, as opposed to for these images.
func (f *Failure) Unavailable() bool {
	switch f.Code {
	case RuntimeMissing, RuntimeFailed, ModelMissing, ModelLicense, ModelUnreachable, ModelDamaged, ModelUnsuitable:
		return true
	}
	return false
}
