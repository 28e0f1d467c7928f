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

// BenchmarkStep times one frame forward and backward at 640×360, whole and by step, at every instruction set; ns/op of a
// level can be compared with those of "plain" in the same run.
func BenchmarkStep(b *testing.B) {
	cam := testCamera(rand.New(rand.NewPCG(1, 1)), 640, 360)
	up, _ := randomUpstream(rand.New(rand.NewPCG(2, 2)), cam)
	for _, size := range []struct {
		n  int
		px float64
	}{{20_000, 3}, {50_000, 2}, {100_000, 1.4}} {
		params := benchmarkCloud(size.n, size.px, cam)
		for _, level := range simd.Levels() {
			r := NewRenderer(1, level.Kernels())
			frame := r.Forward(params, cam, Options{Degree: 3})
			none := func(int, *GroupGradient) {}
			r.Backward(up, none)
			for _, step := range []struct {
				name string
				run  func()
			}{
				{"project", r.project}, {"bin", r.bin}, {"blend", r.blend},
				{"backwardTiles", func() { r.backwardTiles(up) }},
				{"backwardGroups", func() { r.backwardGroups(none) }},
				{"whole", func() { r.Forward(params, cam, Options{Degree: 3}); r.Backward(up, none) }},
			} {
				b.Run(fmt.Sprintf("%dk/%v/%s", size.n/1000, level, step.name), func(b *testing.B) {
					start := cpuTime()
					for b.Loop() {
						step.run()
					}
					b.ReportMetric((cpuTime()-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
					b.ReportMetric(float64(frame.Instances), "instances")
				})
			}
		}
	}
}

// BenchmarkThreads shows what a second and a fourth thread bring.
func BenchmarkThreads(b *testing.B) {
	cam := testCamera(rand.New(rand.NewPCG(1, 1)), 640, 360)
	up, _ := randomUpstream(rand.New(rand.NewPCG(2, 2)), cam)
	params := benchmarkCloud(50_000, 2, cam)
	for _, workers := range []int{1, 2, 4} {
		r := NewRenderer(workers, simd.Best().Kernels())
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			for b.Loop() {
				r.Forward(params, cam, Options{Degree: 3})
				r.Backward(up, func(int, *GroupGradient) {})
			}
		})
	}
}
