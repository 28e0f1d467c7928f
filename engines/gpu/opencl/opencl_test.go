//go:build gpu && (linux || darwin)

package opencl_test

import (
	"errors"
	"flag"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/gputest"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/opencl"
)

var (
	gaussians = flag.Int("gaussians", 100_000, "of BenchmarkKernels")
	width     = flag.Int("width", 640, "of its picture, 16:9")
)

// A driver's own compiler makes of the same source what plain Go computes: a witness beside the PTX interpreter.
func TestOpenCLMatchesPlainGo(t *testing.T) {
	if found, err := opencl.Devices(); errors.Is(err, opencl.ErrNone) {
		t.Skipf("%v; Debian's pocl-opencl-icd is one for the processor", err)
	} else if err != nil {
		t.Fatal(err)
	} else {
		t.Logf("devices: %+v", found)
	}
	gputest.Run(t, func(t testing.TB) gpu.Device {
		d, err := opencl.Open(0, kernels.OpenCL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	})
}

// A source that does not compile is an error with the compiler's words.
func TestOpenReturnsTheCompilersWords(t *testing.T) {
	if _, err := opencl.Devices(); err != nil {
		t.Skip(err)
	}
	if _, err := opencl.Open(0, "__kernel void k() { fantasy(); }"); err == nil {
		t.Error("nonsense compiles")
	}
}

// Milliseconds of an iteration and its kernels, at the sizes of docs/gpu.md.
func BenchmarkKernels(b *testing.B) {
	d, err := opencl.Open(0, kernels.OpenCL())
	if err != nil {
		b.Skip(err)
	}
	defer d.Close()
	for range b.N {
		gputest.Benchmark(b, d, *gaussians, *width, *width*9/16, 0.002)
	}
}
