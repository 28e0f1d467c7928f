//go:build unix

package depth_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
)

// small writes a network of the size of Depth-Anything-V2 Small once a run.
var small = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "depth")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "vits.onnx")
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	c := dav2.ViTS()
	return path, dav2.Graph(c, dav2.Draw(c, 1)).Write(file)
})

func smallPath(t testing.TB) string {
	t.Helper()
	path, err := small()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := small(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// photo is a JPEG file of a size that phones film in.
func photo(t testing.TB, w, h int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		x, y := i/4%w, i/4/w
		img.Pix[i] = uint8((x*x/97 + y*3 + i%4*40) / 2)
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func decodeEach(file []byte) func(context.Context, int) (image.Image, error) {
	return func(context.Context, int) (image.Image, error) {
		img, err := jpeg.Decode(bytes.NewReader(file))
		return img, err
	}
}

// BenchmarkSmall is the real network's cost at the authors' size, 518 x 518, on this machine's CPU, from JPEG files of
// 1440 x 1440. Its floor is the arithmetic: GFLOP/CPU-s is what a core gets out of it. outside-% is the part of the
// processor's time that is spent anywhere but in the model (the same run with a model that costs nothing);
// wall-outside-% is how long the model waits.
func BenchmarkSmall(b *testing.B) {
	c := dav2.ViTS()
	d := descriptor
	d.ShortSide = 518
	s := open(b, smallPath(b), d, depth.Options{Provider: depth.CPU})
	input := noise(518, 518, 1)
	estimate := func(n int) time.Duration {
		before := cpuTime(b)
		for range n {
			if _, err := s.Estimate(b.Context(), []depth.Input{input}); err != nil {
				b.Fatal(err)
			}
		}
		return cpuTime(b) - before
	}
	estimate(1) // allocates
	file := photo(b, 1440, 1440)
	var model, outside time.Duration
	pass := func(ctx context.Context, e depth.Estimator, n int) (depth.Stats, time.Duration) {
		before := cpuTime(b)
		stats, err := depth.Run(ctx, e, n, decodeEach(file), func(_ context.Context, r depth.Result) error { return r.Err }, depth.RunOptions{Clock: time.Now})
		if err != nil {
			b.Fatal(err)
		}
		return stats, cpuTime(b) - before
	}
	var stats depth.Stats
	images := 0
	for b.Loop() {
		const n = 4
		model += estimate(n)
		_, cost := pass(b.Context(), &depthtest.StandIn{D: d}, n)
		outside += cost
		st, _ := pass(b.Context(), s, n)
		stats.Wall += st.Wall
		stats.Model += st.Model
		images += n
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	unit := 1.0 / 1024 // Linux reports KiB, macOS bytes
	if runtime.GOOS == "darwin" {
		unit /= 1024
	}
	n := float64(images)
	b.ReportMetric(n/stats.Wall.Seconds(), "images/s")
	b.ReportMetric(model.Seconds()/n, "CPU-s/image")
	b.ReportMetric(c.FLOPs(518, 518)*n/1e9/model.Seconds(), "GFLOP/CPU-s")
	b.ReportMetric(100*outside.Seconds()/(outside+model).Seconds(), "outside-%")
	b.ReportMetric(100*(1-stats.Model.Seconds()/stats.Wall.Seconds()), "wall-outside-%")
	b.ReportMetric(float64(u.Maxrss)*unit, "peak-MB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPrepare is the part of the processor's time that preparing an image takes of decoding and preparing it.
func BenchmarkPrepare(b *testing.B) {
	d := descriptor
	d.ShortSide = 518
	file := photo(b, 1920, 1080)
	var decode, prepare time.Duration
	for b.Loop() {
		from := cpuTime(b)
		img, err := jpeg.Decode(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		between := cpuTime(b)
		if _, err := d.Prepare(img); err != nil {
			b.Fatal(err)
		}
		decode += between - from
		prepare += cpuTime(b) - between
	}
	n := float64(b.N)
	b.ReportMetric(decode.Seconds()*1e3/n, "decode-ms")
	b.ReportMetric(prepare.Seconds()*1e3/n, "prepare-ms")
	b.ReportMetric(prepare.Seconds()/decode.Seconds(), "prepare/decode")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkProviders is the same network on a GPU, against the CPU of the same run: the model alone, one image and four at a
// time, and everything from JPEG files of 1440 x 1440 to written maps. first-s is the first inference, which compiles.
func BenchmarkProviders(b *testing.B) {
	d := descriptor
	d.ShortSide = 518
	file := photo(b, 1440, 1440)
	alone := func(b *testing.B, s *depth.Session, batch, n int) float64 {
		var inputs []depth.Input
		for i := range batch {
			inputs = append(inputs, noise(518, 518, uint64(i)))
		}
		started := time.Now()
		for range n / batch {
			if _, err := s.Estimate(b.Context(), inputs); err != nil {
				b.Fatal(err)
			}
		}
		return float64(n/batch*batch) / time.Since(started).Seconds()
	}
	whole := func(b *testing.B, s *depth.Session, n int) float64 {
		dir := b.TempDir()
		stats, err := depth.Run(b.Context(), s, n, decodeEach(file), func(_ context.Context, r depth.Result) error {
			if r.Err != nil {
				return r.Err
			}
			_, err := depth.WriteMap(dir, fmt.Sprint(r.Index), &r.Map)
			return err
		}, depth.RunOptions{Clock: time.Now, Batch: s.Batch(), Decoders: runtime.NumCPU(), Handlers: max(1, runtime.NumCPU()/4)})
		if err != nil {
			b.Fatal(err)
		}
		return float64(n) / stats.Wall.Seconds()
	}
	baseline := sync.OnceValue(func() (speed [2]float64) {
		s := open(b, smallPath(b), d, depth.Options{Provider: depth.CPU})
		alone(b, s, 1, 2)
		return [2]float64{alone(b, s, 1, 8), whole(b, s, 16)}
	})
	for _, p := range []depth.Provider{depth.CUDA, depth.WebGPU} {
		b.Run(string(p), func(b *testing.B) {
			gpu, software := provider(b, p)
			if software {
				b.Skip("only a GPU in software is here: " + gpu)
			}
			b.Logf("on %s", gpu)
			s := accelerated(b, smallPath(b), d, depth.Options{Provider: p})
			started := time.Now()
			alone(b, s, 1, 1)
			first := time.Since(started)
			alone(b, s, 4, 8)
			cpu := baseline()
			var one, four, all float64
			for b.Loop() {
				one += alone(b, s, 1, 32)
				four += alone(b, s, 4, 32)
				all += whole(b, s, 128)
			}
			n := float64(b.N)
			b.ReportMetric(one/n, "images/s")
			b.ReportMetric(one/n/cpu[0], "x-CPU")
			b.ReportMetric(four/n, "images/s-by-4")
			b.ReportMetric(all/n, "pipeline-images/s")
			b.ReportMetric(all/n/cpu[1], "pipeline-x-CPU")
			b.ReportMetric(first.Seconds(), "first-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
