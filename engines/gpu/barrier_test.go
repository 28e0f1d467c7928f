package gpu_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/gputest"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// Every barrier of the committed PTX is taken away in turn, and the interpreter's checks notice each: none is redundant.
func TestEveryMissingBarrierIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every kernel once for each barrier")
	}
	lines := strings.Split(kernels.PTX, "\n")
	kernel, place, taken := "", 0, 0
	for i, line := range lines {
		if _, name, found := strings.Cut(line, ".entry "); found {
			kernel, place = strings.TrimSuffix(name, "("), 0
		}
		if fields := strings.Fields(line); len(fields) == 0 || !strings.HasPrefix(fields[0], "bar.") {
			continue
		}
		name := fmt.Sprintf("%s %d", kernel, place)
		place++
		taken++
		kernel := kernel
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mutant := append(append(append([]string{}, lines[:i]...), ""), lines[i+1:]...)
			d, err := ptx.Open(strings.Join(mutant, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if err := exercise(d, kernel); !errors.Is(err, ptx.ErrFindings) {
				t.Errorf("line %d: nothing notices that this barrier is missing: %v", i+1, err)
			}
		})
	}
	if taken < 20 {
		t.Errorf("only %d barriers found: the test would prove nothing", taken)
	}
}

// exercise runs a kernel, and those before it in an iteration, on data that uses all of it.
func exercise(d gpu.Device, kernel string) error {
	e := gpu.NewEngine(d)
	switch kernel {
	case "scan_blocks", "scan_add":
		_, err := e.Scan(make([]uint32, 2500))
		return err
	case "sort_count", "sort_scatter":
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([]uint32, 4200)
		for i := range keys {
			keys[i] = rng.Uint32() % 50
		}
		_, _, err := e.Sort(keys, keys, 8)
		return err
	}
	_, err := gputest.Iteration(e, 90, 37, 20, 0.15, strings.HasSuffix(kernel, "_depth") || kernel == "depth_loss")
	return err
}
