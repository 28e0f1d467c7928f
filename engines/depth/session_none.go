//go:build !cgo || !(linux || darwin)

package depth

import (
	"context"

	"github.com/splatworks/splatworks/engines/fault"
)

// Session is a model that is loaded into the runtime. This build has no cgo and so cannot load one.
type Session struct{}

var _ Estimator = (*Session)(nil)

var errBuild = &fault.Failure{Code: RuntimeMissing, Message: "This program was built without cgo and cannot load ONNX Runtime.",
	Advice: "Build it with a C compiler and CGO_ENABLED=1 to have depth."}

// RuntimeVersion loads a runtime and says which version it is.
func RuntimeVersion(string) (string, error) { return "", errBuild }

// Open verifies the weights of a model and loads them.
func Open(_ context.Context, path string, d Descriptor, _ Options) (*Session, error) {
	if err := Verify(path, d); err != nil {
		return nil, err
	}
	return nil, errBuild
}

// Descriptor of the model.
func (*Session) Descriptor() Descriptor { return Descriptor{} }

// Provider is where the session computes.
func (*Session) Provider() Provider { return CPU }

// Fallback says why a GPU is there and not used.
func (*Session) Fallback() string { return "" }

// Batch is the most images that Estimate should be given at once.
func (*Session) Batch() int { return 1 }

// RuntimeVersion of ONNX Runtime.
func (*Session) RuntimeVersion() string { return "" }

// Estimate fails.
func (*Session) Estimate(context.Context, []Input) ([]Map, error) { return nil, errBuild }

// Close does nothing.
func (*Session) Close() error { return nil }
