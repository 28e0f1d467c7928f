package raster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// benchmarkCloud fills a view with n Gaussians of log-normal size, σ about sizePx, and opacities from 0.02 to 0.6: what a
// scene looks like in the middle of training.
func benchmarkCloud(n int, sizePx float64, cam *Camera) *Params {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	gs := randomGaussians(rng, cam, n, sizePx)
	for i := range gs {
		g := &gs[i]
		z := 2 + 3*rng.Float64()
		pc := [3]float64{(rng.Float64()*float64(cam.Width) - cam.Cx) / cam.Fx * z, (rng.Float64()*float64(cam.Height) - cam.Cy) / cam.Fy * z, z}
		center := cam.Center()
		for k := range 3 {
			g.Mean[k] = center[k] + cam.R[0][k]*pc[0] + cam.R[1][k]*pc[1] + cam.R[2][k]*pc[2]
			g.LogScale[k] = math.Log(sizePx*z/cam.Fx) + 0.4*rng.NormFloat64()
		}
		o := 0.02 + 0.58*rng.Float64()
		g.Opacity = math.Log(o / (1 - o))
	}
	return Pack(cloudOf(gs, 3, splat.Mip))
}

// cpuTime is the processor time of this process: on a machine that is shared, steadier than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStep splits one frame forward and backward at 640×360 into its steps, CPU milliseconds on one thread, for every
// instruction set: the least of several rounds, in which all take turns. x-plain compares with plain Go in the same run.
func BenchmarkStep(b *testing.B) {
	cam := testCamera(rand.New(rand.NewPCG(1, 1)), 640, 360)
	up, _ := randomUpstream(rand.New(rand.NewPCG(2, 2)), cam)
	for _, size := range []struct {
		n  int
		px float64
	}{{20_000, 3}, {50_000, 2}, {100_000, 1.4}} {
		params := benchmarkCloud(size.n, size.px, cam)
		plain := newStopwatch(simd.Plain, params, cam)
		plain.frame(up)
		for _, level := range simd.Levels() {
			b.Run(fmt.Sprintf("%dk/%v", size.n/1000, level), func(b *testing.B) {
				w := newStopwatch(level, params, cam)
				for range b.N {
					if level != simd.Plain {
						for range 10 {
							w.frame(up)
						}
					}
					plain.frame(up)
				}
				if level == simd.Plain {
					w = plain
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(w.renderer.frame.Instances)/1e3, "kinst")
				for i, step := range w.steps() {
					b.ReportMetric(w.best[i].Seconds()*1e3, step.name+"-ms")
				}
				b.ReportMetric(w.whole().Seconds()*1e3, "whole-ms")
				b.ReportMetric(float64(plain.whole())/float64(w.whole()), "x-plain")
			})
		}
	}
}

// stopwatch keeps the least time of each step of a frame.
type stopwatch struct {
	renderer *Renderer
	up       *Upstream
	best     []time.Duration
}

type timedStep struct {
	name string
	run  func()
}

func (w *stopwatch) steps() []timedStep {
	r := w.renderer
	return []timedStep{
		{"project", r.project}, {"bin", r.bin}, {"sort+blend", r.blend},
		{"blend-backward", func() { r.backwardTiles(w.up) }},
		{"project-backward", func() { r.backwardGroups(func(int, *GroupGradient) {}) }},
	}
}

func newStopwatch(level simd.Level, params *Params, cam *Camera) *stopwatch {
	w := &stopwatch{renderer: NewRenderer(1, level.Kernels())}
	w.renderer.Forward(params, cam, Options{Degree: 3, Abs: true})
	for range w.steps() {
		w.best = append(w.best, time.Hour)
	}
	return w
}

func (w *stopwatch) frame(up *Upstream) {
	w.up = up
	for i, step := range w.steps() {
		start := cpuTime()
		step.run()
		w.best[i] = min(w.best[i], cpuTime()-start)
	}
}

func (w *stopwatch) whole() (sum time.Duration) {
	for _, d := range w.best {
		sum += d
	}
	return sum
}
