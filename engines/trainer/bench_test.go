package trainer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// benchmarkSizes are numbers of Gaussians and their typical size in pixels: more of them show finer detail.
var benchmarkSizes = []struct {
	n  int
	px float64
}{{20_000, 3}, {50_000, 2}, {100_000, 1.4}}

// benchmarkTraining is a training in the middle of its schedule: n Gaussians of about sizePx pixels before a camera of
// 640×360, at full resolution and SH degree 3.
func benchmarkTraining(b testing.TB, n int, sizePx float64, threads int) *training {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	cloud := splat.New(n, 3, splat.Mip)
	cam := ringCamera(0, 640, 360)
	for i := range n {
		z := 2 + 2*rng.Float64()
		cloud.Means[3*i] = float32((rng.Float64()*640 - 320) / cam.Fx * z)
		cloud.Means[3*i+1] = float32((rng.Float64()*360 - 180) / cam.Fy * z)
		cloud.Means[3*i+2] = float32(z - 3)
		for k := range 3 {
			cloud.LogScales[3*i+k] = float32(math.Log(sizePx*z/cam.Fx) + 0.4*rng.NormFloat64())
			cloud.DC[3*i+k] = float32(rng.NormFloat64())
		}
		for k := range 4 {
			cloud.Quats[4*i+k] = float32(rng.NormFloat64())
		}
		cloud.Opacities[i] = logit(0.02 + 0.58*rng.Float64())
	}
	cfg := testConfig(1000)
	cfg.MaxGaussians, cfg.Threads = n, threads
	img := NewPainter(cloud, &cfg).Paint(&cam)
	pix, _, _ := simd.Planes(img)
	d := &Dataset{Extent: 3, Train: []*View{newView("view", Picture{Camera: cam, Pix: pix})}}
	t := newTraining(cfg, d, Hooks{Clock: ticking(0)})
	t.params = raster.Pack(cloud)
	t.m.Resize(n)
	t.v.Resize(n)
	t.lr = make([]float32, t.params.Rows())
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	t.rebuild(all, nil)
	// Rates of zero: the cloud stays what it is, the work is the same.
	t.schedule = schedule{QuarterUntil: -1, HalfUntil: -1, DegreeEvery: 0.05, PositionFinal: 1, SSIM: defaultSchedule.SSIM}
	t.step(0.5)
	return t
}

// BenchmarkIteration times whole iterations on one thread and on two, and the loss alone; engines/raster splits the rest
// into its steps.
func BenchmarkIteration(b *testing.B) {
	for _, size := range benchmarkSizes {
		for _, threads := range []int{1, 2} {
			t := benchmarkTraining(b, size.n, size.px, threads)
			b.Run(fmt.Sprintf("%dk/threads=%d", size.n/1000, threads), func(b *testing.B) {
				start := cpuTime()
				for b.Loop() {
					t.step(0.5)
				}
				b.ReportMetric((cpuTime()-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
			})
		}
	}
	t := benchmarkTraining(b, 1000, 3, 1)
	pic := &t.data.Train[0].Levels[0]
	f := t.renderer.Forward(t.params, &pic.Camera, raster.Options{})
	b.Run("loss", func(b *testing.B) {
		start := cpuTime()
		for b.Loop() {
			t.loss.measure(f, t.truth(0), 0.2)
		}
		b.ReportMetric((cpuTime()-start).Seconds()*1e3/float64(b.N), "cpu-ms/op")
	})
}

// BenchmarkThreads is what a second thread brings to whole iterations. Iterations of one thread and of two take turns and
// the quickest of each count, so that what else the machine does disturbs both alike, and hardly.
func BenchmarkThreads(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dk", size.n/1000), func(b *testing.B) {
			one, two := benchmarkTraining(b, size.n, size.px, 1), benchmarkTraining(b, size.n, size.px, 2)
			quickest := map[*training]time.Duration{one: time.Hour, two: time.Hour}
			for range 40 + b.N {
				for _, t := range []*training{one, two} {
					start := time.Now()
					t.step(0.5)
					quickest[t] = min(quickest[t], time.Since(start))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(quickest[one]), "ms-1-thread")
			b.ReportMetric(milliseconds(quickest[two]), "ms-2-threads")
			b.ReportMetric(float64(quickest[one])/float64(quickest[two]), "x-1-thread")
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
