package depth

// Codes of failures.
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
