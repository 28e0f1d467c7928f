//go:build gpu && (linux || darwin)

package cuda_test

import (
	"errors"
	"flag"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cuda"
	"github.com/splatworks/splatworks/engines/gpu/gputest"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
)

var (
	gaussians = flag.Int("gaussians", 100_000, "of BenchmarkKernels")
	width     = flag.Int("width", 640, "of its picture, 16:9")
)

// On a machine with a card: the PTX does there what plain Go computes.
func TestCardMatchesPlainGo(t *testing.T) {
	cards, err := cuda.Cards()
	if errors.Is(err, cuda.ErrNone) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", cards)
	gputest.Run(t, func(t testing.TB) gpu.Device {
		d, err := cuda.Open(0, kernels.PTX)
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

// Without a card, opening one is an error that says so, and nothing crashes.
func TestOpenWithoutACard(t *testing.T) {
	if _, err := cuda.Cards(); !errors.Is(err, cuda.ErrNone) {
		t.Skip("this machine has a card")
	}
	if _, err := cuda.Open(0, kernels.PTX); !errors.Is(err, cuda.ErrNone) {
		t.Errorf("%v, want ErrNone", err)
	}
}

// Milliseconds of an iteration and its kernels, at the sizes of docs/gpu.md.
func BenchmarkKernels(b *testing.B) {
	d, err := cuda.Open(0, kernels.PTX)
	if err != nil {
		b.Skip(err)
	}
	defer d.Close()
	for range b.N {
		gputest.Benchmark(b, d, *gaussians, *width, *width*9/16, 0.002)
	}
}
