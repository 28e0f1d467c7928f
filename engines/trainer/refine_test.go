package trainer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// trained are n Gaussians as a training has them before a refinement: some are faint, some opaque, some flat, some were not seen, some
// have equal gradients, some fill the screen.
func trained(n, degree int) *gaussians {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(degree)))
	g := &gaussians{spare: raster.NewParams(0, degree, splat.Mip)}
	for _, array := range []**raster.Params{&g.params, &g.m, &g.v} {
		*array = raster.NewParams(n, degree, splat.Mip)
		for i := range n {
			for row := range (*array).Rows() {
				*(*array).At(i, row) = float32(rng.NormFloat64())
			}
		}
	}
	g.stats.reset(n)
	for i := range n {
		for k := range 3 {
			*g.params.At(i, simd.RowScale+k) -= 3
		}
		*g.params.At(i, simd.RowOpacity) *= 4 // beyond the logit of 1/255 on either side
		if i%5 == 0 {
			continue
		}
		g.stats.views[i] = uint32(1 + rng.IntN(9))
		g.stats.gradient[i] = float32(rng.Float64()) / 8
		g.stats.extent[i] = float32(rng.Float64()) * 0.52
		if i%7 == 0 {
			g.stats.views[i], g.stats.gradient[i] = 4, 0.25
		}
	}
	return g
}

// upTo splits those that are wanted most, at most that number, by signs of a seed.
func upTo(most int, seed uint64) func(kept, wanted int) []uint32 {
	return func(_, wanted int) []uint32 {
		rng := rand.New(rand.NewPCG(seed, 1))
		signs := make([]uint32, min(most, wanted))
		for i := range signs {
			signs[i] = rng.Uint32() & 7
		}
		return signs
	}
}

// compareRefinement refines a model on a device and by the definition, and returns what that did.
func compareRefinement(t *testing.T, device gpu.Device, g *gaussians, r *refinement) refined {
	t.Helper()
	card := newDevice(device, &Config{}, &Dataset{})
	defer card.close()
	got := g.clone()
	if err := card.put(got); err != nil {
		t.Fatal(err)
	}
	did, err := card.refine(r)
	if err == nil {
		err = card.get()
	}
	if err != nil {
		t.Fatal(err)
	}
	want := g.refine(r, 1)
	if did != want || got.params.Len() != g.params.Len() {
		t.Fatalf("the device keeps %+v and has %d Gaussians then, the processor %+v and %d", did, got.params.Len(), want, g.params.Len())
	}
	const rounding = 2e-5
	for i := range g.params.Len() {
		for row := range g.params.Rows() {
			a, b := *got.params.At(i, row), *g.params.At(i, row)
			exact := row >= simd.RowDC || row >= simd.RowRotation && row < simd.RowOpacity
			if a != b && (exact || !(math.Abs(float64(a)-float64(b)) <= rounding*max(1, math.Abs(float64(b))))) {
				t.Fatalf("row %d of Gaussian %d is %v, the processor's %v", row, i, a, b)
			}
		}
	}
	if !slices.Equal(got.m.Data(), g.m.Data()) || !slices.Equal(got.v.Data(), g.v.Data()) {
		t.Error("the moments differ")
	}
	if !slices.Equal(got.stats.gradient, g.stats.gradient) || !slices.Equal(got.stats.views, g.stats.views) || !slices.Equal(got.stats.extent, g.stats.extent) {
		t.Error("the statistics differ")
	}
	return want
}

// refinementCases are refinements, and what each must have to be the case that it is named for.
var refinementCases = []struct {
	name      string
	n, degree int
	most      int // splits
	decay     float64
	change    func(*gaussians)
	shows     func(n int, after *gaussians, did refined) bool
}{
	{"one", 1, 3, 1, 0.004, func(g *gaussians) { opaque(g); g.stats.views[0], g.stats.gradient[0] = 1, 1 }, func(_ int, after *gaussians, _ refined) bool { return after.params.Len() == 2 }},
	{"a group", 16, 1, 4, 0.004, nil, nil},
	{"a group and one", 17, 0, 17, 0.003, nil, nil},
	{"some hundreds", 301, 3, 90, 0.002, nil, func(n int, after *gaussians, did refined) bool { return did.kept < n && after.params.Len() > did.kept }},
	{"more than a block of every kernel", 4500, 0, 2100, 0.002, nil, func(_ int, after *gaussians, _ refined) bool { return after.params.Len() > 4096 }},
	{"the cap is reached", 100, 2, 0, 0.004, nil, func(_ int, after *gaussians, did refined) bool { return after.params.Len() == did.kept }},
	{"nothing to do", 65, 1, 50, 0, func(g *gaussians) { opaque(g); g.stats.reset(65) }, func(n int, after *gaussians, _ refined) bool { return after.params.Len() == n }},
	{"everything is pruned", 40, 1, 40, 0.004, func(g *gaussians) {
		for i := range g.params.Len() {
			*g.params.At(i, simd.RowOpacity) = -9
		}
	}, func(_ int, after *gaussians, _ refined) bool { return after.params.Len() == 0 }},
	{"nothing is there", 0, 1, 4, 0.004, nil, nil},
	{"statistics that are not numbers", 90, 1, 60, 0.004, func(g *gaussians) {
		opaque(g)
		for i := range g.params.Len() {
			g.stats.gradient[i] = []float32{float32(math.NaN()), 1, float32(math.Inf(1))}[i%3]
			g.stats.extent[i] = []float32{float32(math.NaN()), 0, float32(math.Inf(1)), 0.1}[i%4]
		}
	}, func(_ int, after *gaussians, _ refined) bool { return after.params.Len() > 140 }},
	{"parameters that are not finite", 120, 3, 60, 0.004, func(g *gaussians) {
		for i := range g.params.Len() {
			if i%3 == 0 {
				*g.params.At(i, i%g.params.Rows()) = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[i/3%3]
			}
		}
		for k := range 4 {
			*g.params.At(1, simd.RowRotation+k) = 0
		}
	}, func(_ int, _ *gaussians, did refined) bool { return did.lost == 41 }},
}

func opaque(g *gaussians) {
	for i := range g.params.Len() {
		*g.params.At(i, simd.RowOpacity) = float32(i%9) - 4
	}
}

// refinesLikeTheProcessor: the same Gaussians are kept, split and forgotten, in the same order, with the same values but for the
// rounding of those that a split or the decay computes.
func refinesLikeTheProcessor(t *testing.T, device gpu.Device) {
	for seed, c := range refinementCases {
		t.Run(c.name, func(t *testing.T) {
			g := trained(c.n, c.degree)
			if c.change != nil {
				c.change(g)
			}
			did := compareRefinement(t, device, g, &refinement{faint: logit(defaultSchedule.PruneOpacity), decay: c.decay, split: upTo(c.most, uint64(seed))})
			if c.shows != nil && !c.shows(c.n, g, did) {
				t.Errorf("%+v of %d, then %d: the case shows nothing", did, c.n, g.params.Len())
			}
		})
	}
}

func TestDeviceRefinesLikeTheProcessor(t *testing.T) { refinesLikeTheProcessor(t, interpreted(t)) }

// A model grows on the device over several refinements, never comes back on the way, and takes no more memory than is planned.
func TestRefinementsStayOnTheDevice(t *testing.T) {
	cfg, d := testConfig(24), wavy(9)
	cfg.MaxGaussians = 120
	card := &reads{Device: interpreted(t)}
	run := newTraining(cfg, d, Hooks{Clock: ticking(1), Device: card})
	defer run.machine.close()
	run.start()
	run.first = 40
	run.resize(run.first)
	if err := run.begin(); err != nil {
		t.Fatal(err)
	}
	for ; run.iteration < cfg.Iterations; run.iteration++ {
		if err := run.step(run.fraction()); err != nil {
			t.Fatal(err)
		}
		if run.iteration%6 == 5 {
			if err := run.refine(run.fraction()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if run.params.Len() < 2*run.first {
		t.Errorf("%d Gaussians, %d at first", run.params.Len(), run.first)
	}
	if model := int64(4 * len(run.params.Data())); !(card.largest < model/4) {
		t.Errorf("%d bytes were read at once, the parameters are %d", card.largest, model)
	}
	_, pixels := d.bytes()
	const tables = 8 << 10 // of sorts and scans, and losses: nothing of a real cloud
	plan := int64(cfg.MaxGaussians)*bytesPerGaussianOnCard + pixels*bytesPerPixelOnCard + run.machine.(*device).album.used + tables
	if !(card.mostUsed <= plan) {
		t.Errorf("%d bytes were in use, planned are %d", card.mostUsed, plan)
	}
	if err := run.get(); err != nil {
		t.Fatal(err)
	}
	if keep, lost := run.survivors(logit(run.PruneOpacity)); lost > 0 || len(keep) < run.params.Len()/2 {
		t.Errorf("of %d Gaussians that come back %d are not finite and %d can be seen", run.params.Len(), lost, len(keep))
	}
}
