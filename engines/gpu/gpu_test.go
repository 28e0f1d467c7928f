package gpu_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/gputest"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// interpreter runs the committed PTX.
func interpreter(t testing.TB) *ptx.Device {
	t.Helper()
	d, err := ptx.Open(kernels.PTX)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range d.Findings() {
			t.Error(f)
		}
	})
	return d
}

// The committed PTX computes what plain Go does, and no check of the interpreter finds a fault.
func TestPTXMatchesPlainGo(t *testing.T) {
	gputest.Run(t, func(t testing.TB) gpu.Device { return interpreter(t) })
}

// What each kernel does in an iteration, counted: warp instructions and bytes, for an instance or a pixel of the scene.
func BenchmarkKernels(b *testing.B) {
	const n, width, height = 2000, 160, 90
	for b.Loop() {
		d := interpreter(b)
		instances, err := gputest.Iteration(gpu.NewEngine(d), n, width, height, 0.03, gpu.Options{})
		if err != nil {
			b.Fatal(err)
		}
		counts := d.Counts()
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			c := counts[name]
			b.Logf("%-16s %3d launches, %8d warp instructions, %9d bytes; %7.1f instructions an instance, %6.1f a pixel", name, c.Launches, c.Instructions, c.Bytes,
				float64(c.Instructions)/float64(instances), float64(c.Instructions)/(width*height))
		}
		b.ReportMetric(float64(counts["blend_forward"].Instructions)/float64(instances), "forward/instance")
		b.ReportMetric(float64(counts["blend_backward"].Instructions)/float64(instances), "backward/instance")
	}
}
