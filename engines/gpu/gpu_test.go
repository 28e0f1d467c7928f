package gpu_test

import (
	"maps"
	"slices"
	"strings"
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

// floors are what an iteration must at least read and write, and issue, for a million Gaussians, of which 404,000 are seen with 1.67
// million instances on 1.016 megapixels: predicted before the kernels were written, from what each Gaussian, instance and pixel needs.
var floors = []struct {
	part       string
	kernels    []string
	mb, mwarps float64 // MB, million warp instructions
}{
	{"project", []string{"project"}, 159, 12},
	{"scan, compact, emit", []string{"scan", "totals", "compact", "gather", "emit"}, 36, 5},
	{"sorts", []string{"sort"}, 91, 11},
	{"ranges", []string{"ranges"}, 10, 1},
	{"blend_forward", []string{"blend_forward"}, 55, 125},
	{"loss", []string{"loss", "sum_channels"}, 27, 40},
	{"blend_backward", []string{"blend_backward"}, 143, 367},
	{"update", []string{"update"}, 691, 25},
}

// What each kernel does in an iteration, counted at a hundredth of a large scene and multiplied by 100, beside its floor. Bytes are of all
// loads and stores of global memory: what a card's caches keep from it is not taken off.
func BenchmarkKernels(b *testing.B) {
	for b.Loop() {
		d := interpreter(b)
		e := gpu.NewEngine(d)
		drawn, err := gputest.Megapixel(e)
		if err != nil {
			b.Fatal(err)
		}
		reached, err := e.BlocksReached()
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d Gaussians seen, %d instances, which reach %.2f blocks of 8x4 each", 100*drawn.Visible, 100*drawn.Instances, reached)
		counts := maps.Clone(d.Counts())
		var mb, mwarps float64
		for _, floor := range floors {
			var sum ptx.Count
			for name, c := range counts {
				if slices.ContainsFunc(floor.kernels, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
					sum.Launches, sum.Instructions, sum.Bytes = sum.Launches+c.Launches, sum.Instructions+c.Instructions, sum.Bytes+c.Bytes
					delete(counts, name)
				}
			}
			b.Logf("%-20s %3d launches, MB %6.0f (floor %4.0f), million warp instructions %5.0f (floor %4.0f)", floor.part, sum.Launches,
				float64(sum.Bytes)/1e4, floor.mb, float64(sum.Instructions)/1e4, floor.mwarps)
			mb, mwarps = mb+float64(sum.Bytes)/1e4, mwarps+float64(sum.Instructions)/1e4
		}
		for name := range counts {
			b.Errorf("%s has no floor", name)
		}
		b.ReportMetric(mb, "MB")
		b.ReportMetric(mwarps, "Mwarps")
	}
}

// A long tile takes much less of one warp when it is drawn by pixels. It is the last of a frame to end, so that this is what counts there.
func TestLongTilesAreShared(t *testing.T) {
	t.Parallel()
	longest := map[uint32]map[string]ptx.Count{}
	for _, most := range []uint32{0, 1 << 30} {
		d := interpreter(t)
		e := gpu.NewEngine(d)
		e.LongTile = most
		instances, err := gputest.LongTile(e)
		if err != nil {
			t.Fatal(err)
		}
		if instances < 2000 {
			t.Fatalf("%d instances are no long tile", instances)
		}
		longest[most] = maps.Clone(d.Counts())
	}
	for _, kernel := range []string{"blend_forward", "blend_backward"} {
		alone, shared := longest[1<<30][kernel], longest[0][kernel+"_long"]
		t.Logf("%s: %d warp instructions of one warp, %d of the longest of eight, %d of all eight", kernel, alone.Longest, shared.Longest, shared.Instructions)
		if !(float64(shared.Longest) < 0.5*float64(alone.Longest)) {
			t.Errorf("%s: %d instructions of one warp, %d when eight share it", kernel, alone.Longest, shared.Longest)
		}
	}
}
