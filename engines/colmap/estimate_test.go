package colmap

import "testing"

// What was measured, of the commands that Reconstruct runs; an estimate that is wrong by more than half helps nobody.
func TestEstimateBesideMeasurements(t *testing.T) {
	defer func(v bool) { vectors = v }(vectors)
	for name, test := range map[string]struct {
		size         Size
		vectors      bool
		cpuS         float64
		extractBytes int64 // on two threads
	}{
		"fox, 50 frames at 640":    {Size{Images: 50, Width: 360, Height: 640, Frames: true}, true, 49, 258 << 20},
		"fox, by COLMAP alone":     {Size{Images: 50, Width: 360, Height: 640, Frames: true}, false, 71, 258 << 20},
		"fox, 50 frames at 960":    {Size{Images: 50, Width: 540, Height: 960, Frames: true}, false, 152, 426 << 20},
		"sceaux, 11 photos at 960": {Size{Images: 11, Width: 960, Height: 722}, false, 54, 525 << 20},
		"fox, 25 frames at 640":    {Size{Images: 25, Width: 360, Height: 640, Frames: true}, false, 45, 258 << 20},
	} {
		vectors = test.vectors
		e := Plan{MaxNumFeatures: 8192}.Estimate(test.size, 2)
		t.Logf("%s: %+v", name, e)
		if ratio := e.CPUS / test.cpuS; !(ratio > 1/1.6 && ratio < 1.6) {
			t.Errorf("%s: %.0f CPU seconds were expected, %.0f were taken", name, e.CPUS, test.cpuS)
		}
		if ratio := float64(e.MemoryBytes) / float64(test.extractBytes); !(ratio > 0.75 && ratio < 1.33) {
			t.Errorf("%s: %d MiB were expected, %d were taken", name, e.MemoryBytes>>20, test.extractBytes>>20)
		}
		if !(e.WallS > e.CPUS/2.5 && e.WallS < e.CPUS) || e.Pairs <= 0 || e.Features <= 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestMatcherFor(t *testing.T) {
	for _, test := range []struct {
		images          int
		frames, located bool
		want            Matcher
	}{
		{50, true, false, Sequential},
		{25, true, false, Exhaustive}, // no more pairs than sequential matching has
		{50, false, false, Exhaustive},
		{200, false, true, Exhaustive},
		{201, false, true, Spatial},
		{201, false, false, Vocabulary},
		{400, true, true, Sequential},
	} {
		m := MatcherFor(test.images, test.frames, test.located)
		if m != test.want {
			t.Errorf("%+v: %s", test, m)
		}
		all := test.images * (test.images - 1) / 2
		if n := m.Pairs(test.images, 1); n <= 0 || n > all || m == Exhaustive && n != all {
			t.Errorf("%+v: %d of %d pairs", test, n, all)
		}
	}
	// Neighbours at distances 1, 2, 4, ... 32, and 10 frames that ask for 6 look-alikes.
	if n := Sequential.Pairs(50, 1); n != 49+48+46+42+34+18+60 {
		t.Errorf("%d pairs of 50 frames", n)
	}
	// Neighbours at distances 1, 2, 4, 8 and 16, of six images each, and 60 images that ask.
	if n := Sequential.Pairs(300, 6); n != (49+48+46+42+34)*36+360 {
		t.Errorf("%d pairs of 50 frames of a rig", n)
	}
	if n := Exhaustive.Pairs(72, 6); n != 12*11/2*36 {
		t.Errorf("%d pairs of 12 frames of a rig", n)
	}
}

func TestThreadsWithinMemory(t *testing.T) {
	size := Size{Images: 100, Width: 1680, Height: 1260}
	plan := Plan{MaxImageSize: 1600}
	if n := plan.ThreadsWithin(64<<30, size, 8); n != 8 {
		t.Errorf("%d threads in plenty", n)
	}
	if n := plan.ThreadsWithin(2<<30, size, 8); n != 3 {
		t.Errorf("%d threads in 2 GiB", n)
	}
	if e := plan.Estimate(size, 3); e.MemoryBytes > 2<<30 {
		t.Errorf("three threads take %d MiB", e.MemoryBytes>>20)
	}
	if n := plan.ThreadsWithin(1, size, 8); n != 1 {
		t.Errorf("%d threads in nothing", n)
	}
}

// TestPairsBesideMeasurements: CPU seconds of one pair, of photos of the real captures, compared by COLMAP, brought to an idle machine by
// what extraction took beside its own figure there; guided matching in addition.
func TestPairsBesideMeasurements(t *testing.T) {
	for _, test := range []struct {
		name     string
		features float64
		guided   bool
		cpuS     float64
	}{
		{"banana at 504", 4285, false, 0.36},
		{"banana at 480", 3957, false, 0.41},
		{"sceaux at 960", 4300, false, 0.39},
		{"sceaux at 1000", 6000, false, 0.97},
		{"sceaux at 504", 2125, true, 0.26},
		{"banana at 504", 4285, true, 0.68},
		{"sceaux at 1000", 6000, true, 2.3},
	} {
		expected := matchedSPerFeature2*test.features*test.features + verifiedS(test.features, test.guided)
		if ratio := expected / test.cpuS; !(ratio > 0.6 && ratio < 1.4) {
			t.Errorf("%s, guided %v: %.2f s are expected of a pair, %.2f were taken", test.name, test.guided, expected, test.cpuS)
		}
	}
}
