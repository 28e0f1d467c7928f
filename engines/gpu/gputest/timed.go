package gputest

import (
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
)

// Timed is a device that waits after each launch, and sums for each kernel what that took by a clock.
type Timed struct {
	gpu.Device
	Clock func() time.Duration
	Took  map[string]time.Duration
}

// Launch runs the kernel to its end.
func (d *Timed) Launch(k gpu.Kernel, groups int, args ...any) error {
	started := d.Clock()
	if err := d.Device.Launch(k, groups, args...); err != nil {
		return err
	}
	err := d.Wait()
	d.Took[k.Name] += d.Clock() - started
	return err
}

// Benchmark reports the milliseconds of an iteration with n Gaussians on width × height pixels, also with every tile drawn by one warp and
// with every tile by 8, and of each of its kernels: those with the wait after each, which an iteration does not have.
func Benchmark(b *testing.B, d gpu.Device, n, width, height int, size float64) {
	start := time.Now()
	clock := func() time.Duration { return time.Since(start) }
	timed := &Timed{Device: d, Clock: clock, Took: map[string]time.Duration{}}
	bytes := 0
	usual := gpu.NewEngine(d).LongTile
	run := func(d gpu.Device, longTile uint32, rounds int) time.Duration {
		e := gpu.NewEngine(d)
		e.LongTile = longTile
		it, err := newIteration(e, n, width, height, size, gpu.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer it.free()
		if _, err := it.run(); err != nil { // compiles, allocates
			b.Fatal(err)
		}
		clear(timed.Took)
		if _, err := it.e.Losses(); err != nil {
			b.Fatal(err)
		}
		began := clock()
		for range rounds {
			if _, err := it.run(); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Wait(); err != nil {
			b.Fatal(err)
		}
		bytes = it.e.Bytes(&it.model) + it.image.Bytes()
		return (clock() - began) / time.Duration(rounds)
	}
	const rounds = 20
	tiles, pixels, whole := run(d, math.MaxUint32, rounds), run(d, 0, rounds), run(d, usual, rounds)
	run(timed, usual, rounds)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(whole), "iteration-ms")
	b.ReportMetric(ms(tiles), "iteration-by-tiles-ms")
	b.ReportMetric(ms(pixels), "iteration-by-pixels-ms")
	b.ReportMetric(float64(bytes)/1e6, "MB-of-memory")
	for _, name := range slices.Sorted(maps.Keys(timed.Took)) {
		b.ReportMetric(ms(timed.Took[name])/rounds, name+"-ms")
	}
}
