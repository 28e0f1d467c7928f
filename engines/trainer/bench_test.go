package trainer

import (
	"errors"
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

// benchmarkTraining is a training in the middle of its schedule: n Gaussians of about sizePx pixels before a camera so
// many pixels wide, 16:9, at full resolution and SH degree 3.
func benchmarkTraining(b testing.TB, n int, sizePx float64, width, threads int) *training {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	cloud := splat.New(n, 3, splat.Mip)
	height := width * 9 / 16
	cam := ringCamera(0, width, height)
	for i := range n {
		z := 2 + 2*rng.Float64()
		cloud.Means[3*i] = float32((rng.Float64() - 0.5) * float64(width) / cam.Fx * z)
		cloud.Means[3*i+1] = float32((rng.Float64() - 0.5) * float64(height) / cam.Fy * z)
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
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	t.rebuild(all, nil, nil, t.renderer.Workers())
	// Rates of zero: the cloud stays what it is, the work is the same.
	t.schedule = schedule{QuarterUntil: -1, HalfUntil: -1, DegreeEvery: 0.05, PositionFinal: 1, SSIM: defaultSchedule.SSIM}
	if err := errors.Join(t.begin(), t.step(0.5)); err != nil {
		b.Fatal(err)
	}
	return t
}

func step(b *testing.B, t *training) {
	if err := t.step(0.5); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkIteration splits whole iterations at 640×360 into their steps, CPU milliseconds on one thread: the least of
// several rounds. engines/raster splits drawing further and compares it with plain Go; engines/simd has the loss and Adam
// alone, and blending against its counted floor.
func BenchmarkIteration(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dk", size.n/1000), func(b *testing.B) {
			split := benchmarkSplit(b, size.n, size.px, 640)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(split.forward), "forward-ms")
			b.ReportMetric(milliseconds(split.loss), "loss-ms")
			b.ReportMetric(milliseconds(split.backward), "backward+adam-ms")
			b.ReportMetric(milliseconds(split.whole), "whole-ms")
		})
	}
}

// BenchmarkGrowth shows how an iteration's cost grows with the number of Gaussians at 640×360, at the size that this number
// have in a scene, and with the number of pixels of one scene of 50 000. x-first compares with the first line of each.
func BenchmarkGrowth(b *testing.B) {
	type point struct {
		name  string
		n     int
		px    float64
		width int
	}
	var gaussians, pixels []point
	for _, n := range []int{10_000, 20_000, 50_000, 100_000, 200_000} {
		gaussians = append(gaussians, point{fmt.Sprintf("gaussians=%dk", n/1000), n, 3 * math.Sqrt(20_000/float64(n)), 640})
	}
	for _, width := range []int{160, 320, 640, 1280} {
		pixels = append(pixels, point{fmt.Sprintf("pixels=%dx%d", width, width*9/16), 50_000, 2 * float64(width) / 640, width})
	}
	for _, series := range [][]point{gaussians, pixels} {
		first := time.Duration(0)
		for _, p := range series {
			b.Run(p.name, func(b *testing.B) {
				whole := benchmarkSplit(b, p.n, p.px, p.width).whole
				if first == 0 {
					first = whole
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(milliseconds(whole), "whole-ms")
				b.ReportMetric(float64(whole)/float64(first), "x-first")
			})
		}
	}
}

// split is the CPU time of the steps of an iteration.
type split struct{ forward, loss, backward, whole time.Duration }

func benchmarkSplit(b *testing.B, n int, sizePx float64, width int) split {
	t := benchmarkTraining(b, n, sizePx, width, 1)
	least := split{time.Hour, time.Hour, time.Hour, time.Hour}
	lap := func(least *time.Duration, run func()) {
		start := cpuTime()
		run()
		*least = min(*least, cpuTime()-start)
	}
	pic := &t.data.Train[0].Levels[0]
	truth := t.machine.(*processor).truth(&visit{picture: pic})
	for range 7 + b.N {
		var f *raster.Frame
		lap(&least.whole, func() { step(b, t) })
		lap(&least.forward, func() { f = t.renderer.Forward(t.params, &pic.Camera, raster.Options{Degree: 3, Abs: true}) })
		lap(&least.loss, func() { t.loss.measure(f, truth, 0.2) })
	}
	least.backward = least.whole - least.forward - least.loss
	return least
}

// BenchmarkThreads is what a second thread brings to whole iterations. Iterations of one thread and of two take turns and
// the quickest of each count, so that what else the machine does disturbs both alike, and hardly.
func BenchmarkThreads(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dk", size.n/1000), func(b *testing.B) {
			one, two := benchmarkTraining(b, size.n, size.px, 640, 1), benchmarkTraining(b, size.n, size.px, 640, 2)
			quickest := map[*training]time.Duration{one: time.Hour, two: time.Hour}
			for range 40 + b.N {
				for _, t := range []*training{one, two} {
					start := time.Now()
					step(b, t)
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
