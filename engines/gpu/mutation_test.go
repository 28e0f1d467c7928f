package gpu_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/gputest"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// instruction is a line of the committed PTX that a test takes away.
type instruction struct {
	kernel string
	line   int // from 0
}

// instructions lists those of the committed PTX that are wanted; place counts the wanted ones of a kernel.
func instructions(wanted func(kernel string, place int, fields []string) bool) (list []instruction) {
	kernel, place := "", 0
	for i, line := range strings.Split(kernels.PTX, "\n") {
		if _, name, found := strings.Cut(line, ".entry "); found {
			kernel, place = strings.TrimSuffix(name, "("), 0
		}
		if fields := strings.Fields(line); len(fields) > 0 && wanted(kernel, place, fields) {
			list = append(list, instruction{kernel, i})
			place++
		}
	}
	return list
}

// eachIsNoticed takes each of the instructions away in turn: the interpreter's checks must find something then.
func eachIsNoticed(t *testing.T, list []instruction) {
	lines := strings.Split(kernels.PTX, "\n")
	for _, taken := range list {
		t.Run(fmt.Sprintf("%s, line %d", taken.kernel, taken.line+1), func(t *testing.T) {
			t.Parallel()
			mutant := slices.Clone(lines)
			mutant[taken.line] = ""
			d, err := ptx.Open(strings.Join(mutant, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if err := exercise(d, taken.kernel); !errors.Is(err, ptx.ErrFindings) {
				t.Errorf("nothing notices that it is missing: %v", err)
			}
		})
	}
}

// Every barrier of the committed PTX is taken away in turn, and the interpreter's checks notice each: none is redundant.
func TestEveryMissingBarrierIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every kernel once for each barrier")
	}
	list := instructions(func(_ string, _ int, fields []string) bool { return strings.HasPrefix(fields[0], "bar.") })
	if len(list) < 20 {
		t.Errorf("only %d barriers found: the test would prove nothing", len(list))
	}
	eachIsNoticed(t, list)
}

// The bounds guard that a kernel of an item for each value begins with is taken away in turn, and the interpreter's checks notice.
func TestEveryMissingGuardIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every kernel once for each guard")
	}
	compared := "" // the predicate of the last comparison of an item's number with the count
	guarded := map[string]bool{}
	list := instructions(func(kernel string, place int, fields []string) bool {
		guard := place == 0 && compared != "" && fields[0] == "@"+compared && fields[1] == "bra"
		if (fields[0] == "setp.ge.u32" || fields[0] == "setp.gt.u32") && strings.HasPrefix(fields[3], "%r") {
			compared = strings.TrimSuffix(fields[1], ",")
		}
		guarded[kernel] = guarded[kernel] || guard
		return guard
	})
	for _, kernel := range []string{
		"project", "compact", "gather", "emit", "ranges", "update", "update_poses", "gradients",
		"survey", "adopt", "lay_out", "split", "axis_keys", "curve_keys", "forget",
	} {
		if !guarded[kernel] {
			t.Errorf("%s has no guard, or the test does not find it", kernel)
		}
	}
	eachIsNoticed(t, list)
}

// exercise runs a kernel, and those before it in an iteration, on data that uses all of it.
func exercise(d gpu.Device, kernel string) error {
	e := gpu.NewEngine(d)
	switch kernel {
	case "scan_blocks", "scan_add":
		_, err := e.Scan(make([]uint32, 2100)) // of the second group only some items have a value
		return err
	case "sort_count", "sort_scatter":
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([]uint32, 4200)
		for i := range keys {
			keys[i] = rng.Uint32() % 50
		}
		_, _, err := e.Sort(keys, keys, 8)
		return err
	case "survey", "adopt", "lay_out", "split", "axis_keys", "curve_keys", "forget":
		_, err := gputest.Refine(e, 90)
		return err
	case "gradients":
		return gputest.Gradients(e, 90, 37, 20, 0.15)
	}
	_, err := gputest.Iteration(e, 90, 37, 20, 0.15, gpu.Options{
		Depth: strings.HasSuffix(kernel, "_depth") || kernel == "depth_loss", Pose: kernel == "update_poses",
	})
	return err
}
