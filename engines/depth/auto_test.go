//go:build cgo && (linux || darwin)

package depth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
)

// steps is a clock that advances by the next of its durations at every second call, over and over.
func steps(durations ...time.Duration) func() time.Time {
	now, calls := time.Unix(0, 0), 0
	return func() time.Time {
		if calls%2 == 1 {
			now = now.Add(durations[calls/2%len(durations)])
		}
		calls++
		return now
	}
}

// A GPU must give the CPU's maps, and sooner once it has been warmed up.
func TestAutoJudges(t *testing.T) {
	c := dav2.Tiny()
	path := write(t, dav2.Graph(c, dav2.Draw(c, 3)))
	gpu := open(t, path, descriptor, depth.Options{Provider: depth.CPU})
	same := open(t, path, descriptor, depth.Options{Provider: depth.CPU})
	other := open(t, write(t, dav2.Graph(c, dav2.Draw(c, 4))), descriptor, depth.Options{Provider: depth.CPU})
	const slow, fast = time.Second, time.Millisecond
	for name, test := range map[string]struct {
		reference *depth.Session
		clock     func() time.Time // the GPU's two inferences, then the CPU's
		better    bool
		err       string
	}{
		"faster":             {same, steps(slow, fast, slow, slow), true, ""},
		"slower once warm":   {same, steps(fast, slow, fast, fast), false, ""},
		"as fast":            {same, steps(slow), false, ""},
		"faster, other maps": {other, steps(slow, fast, slow, slow), false, "off by"},
	} {
		better, err := gpu.Outdoes(t.Context(), test.reference, test.clock)
		if better != test.better || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: better %v, %v", name, better, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if better, err := gpu.Outdoes(ctx, same, time.Now); better || err == nil {
		t.Errorf("canceled: better %v, %v", better, err)
	}
}

// A GPU that fails at an image is given up for the CPU: the map comes, and the session says what happened.
func TestAutoReturnsToTheCPU(t *testing.T) {
	c := dav2.Tiny()
	path := write(t, dav2.Graph(c, dav2.Draw(c, 3)))
	s := open(t, path, descriptor, depth.Options{Provider: depth.CPU, MemoryBytes: 32 << 20})
	s.InPlaceOfGPU(depth.Options{Library: library(t)})
	for _, size := range []int{70, 700, 700} {
		maps, err := s.Estimate(t.Context(), []depth.Input{noise(size, size, 1)})
		if err != nil || len(maps) != 1 || maps[0].Width != size {
			t.Fatalf("%d: %d maps, %v", size, len(maps), err)
		}
		if gaveUp := size == 700; gaveUp != (s.Fallback() != "") || gaveUp != (s.Provider() == depth.CPU) {
			t.Errorf("%d: on %s; %q", size, s.Provider(), s.Fallback())
		}
	}
}

// WebGPU keeps memory for every size of input. Beyond a few sizes it is released, and the maps stay the same.
func TestWebGPUForgetsSizes(t *testing.T) {
	provider(t, depth.WebGPU)
	path := write(t, dav2.StandIn(descriptor.Mean, descriptor.Std))
	s := accelerated(t, path, descriptor, depth.Options{Provider: depth.WebGPU})
	cpu := open(t, path, descriptor, depth.Options{Provider: depth.CPU})
	for i := range 14 {
		input := []depth.Input{noise(70+14*(i%7), 70, uint64(i))}
		got, err := s.Estimate(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		want, err := cpu.Estimate(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		if worst, _ := furthest(got[0].Values, float64s(want[0].Values)); !(worst < 1e-5) {
			t.Errorf("image %d: off by %.2g of the largest value", i, worst)
		}
	}
	if n := s.Sizes(); n > 4 {
		t.Errorf("it keeps memory for %d sizes", n)
	}
}
