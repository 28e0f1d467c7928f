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

// instruction is one of the committed PTX that a test takes away.
type instruction struct {
	kernel      string
	place, line int // among those of the kernel that are taken away, and in the text from 0
}

// instructions lists those of the committed PTX that are wanted.
func instructions(wanted func(fields []string) bool) (list []instruction) {
	kernel, place := "", 0
	for i, line := range strings.Split(kernels.PTX, "\n") {
		if _, name, found := strings.Cut(line, ".entry "); found {
			kernel, place = strings.TrimSuffix(name, "("), 0
		}
		if fields := strings.Fields(line); len(fields) > 0 && wanted(fields) {
			list = append(list, instruction{kernel, place, i})
			place++
		}
	}
	return list
}

// eachIsNoticed takes each of the instructions away in turn: the interpreter's checks must find something then, but for those that
// are redundant, by kernel and place.
func eachIsNoticed(t *testing.T, list []instruction, redundant map[string]string) {
	lines := strings.Split(kernels.PTX, "\n")
	found := 0
	for _, taken := range list {
		name := fmt.Sprintf("%s %d", taken.kernel, taken.place)
		why := redundant[name]
		if why != "" {
			found++
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mutant := slices.Clone(lines)
			mutant[taken.line] = ""
			d, err := ptx.Open(strings.Join(mutant, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			switch err := exercise(d, taken.kernel); {
			case why == "" && !errors.Is(err, ptx.ErrFindings):
				t.Errorf("line %d: nothing notices that it is missing: %v", taken.line+1, err)
			case why != "" && err != nil:
				t.Errorf("line %d is not redundant (%s): %v", taken.line+1, why, err)
			}
		})
	}
	if found != len(redundant) {
		t.Errorf("%d of %d redundant instructions are there", found, len(redundant))
	}
}

// Every barrier of the committed PTX is taken away in turn, and the interpreter's checks notice each: none is redundant.
func TestEveryMissingBarrierIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every kernel once for each barrier")
	}
	list := instructions(func(fields []string) bool { return strings.HasPrefix(fields[0], "bar.") })
	if len(list) < 20 {
		t.Errorf("only %d barriers found: the test would prove nothing", len(list))
	}
	eachIsNoticed(t, list, nil)
}

// Every bounds guard of the committed PTX, a branch past what an item does when a number of it is not below another, is taken
// away in turn, and the interpreter's checks notice each but for a few.
func TestEveryMissingGuardIsNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs every kernel once for each guard")
	}
	passed := map[string]bool{}   // labels: a branch back to one is a loop's
	compares := map[string]bool{} // predicates that say that a number is not below another
	list := instructions(func(fields []string) bool {
		if label, found := strings.CutSuffix(fields[0], ":"); found {
			passed[label] = true
			return false
		}
		if predicate, found := strings.CutPrefix(fields[0], "@"); found && fields[1] == "bra" {
			return compares[predicate] && !passed[strings.TrimSuffix(fields[2], ";")]
		}
		if len(fields) > 3 {
			above := fields[0] == "setp.ge.u32" || fields[0] == "setp.gt.u32"
			compares[strings.TrimSuffix(fields[1], ",")] = above && strings.HasPrefix(fields[3], "%r")
		}
		return false
	})
	guarded := map[string]bool{}
	for _, guard := range list {
		guarded[guard.kernel] = true
	}
	for _, kernel := range []string{
		"project", "compact", "gather", "emit", "ranges", "update", "update_poses", "gradients",
		"survey", "adopt", "lay_out", "split", "axis_keys", "curve_keys", "forget",
	} {
		if !guarded[kernel] {
			t.Errorf("%s has no guard, or the test does not find it", kernel)
		}
	}
	const both = "not a bound: a long tile is drawn by both forms then, one after the other"
	eachIsNoticed(t, list, map[string]string{
		"blend_forward 0": both, "blend_forward_depth 0": both, "blend_backward 0": both, "blend_backward_depth 0": both,
		"sort_scatter 17": "a lane without a key reads the place of a digit that is there, and does not use it",
		"emit 1":          "before the first row of tiles: who is visible has one",
	})
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
	n := 90
	if kernel == "ranges" {
		n = 400 // more than a group of instances, several in a tile
	}
	if strings.Contains(kernel, "_long") {
		n, e.LongTile = 400, 0 // more than one batch of a group
	}
	_, err := gputest.Iteration(e, n, 37, 20, 0.15, gpu.Options{
		Depth: strings.HasSuffix(kernel, "_depth") || kernel == "depth_loss", Pose: kernel == "update_poses",
	})
	return err
}
