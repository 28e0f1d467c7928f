package depth_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/onnx"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// library is ONNX Runtime, or the test is skipped.
func library(t testing.TB) string {
	t.Helper()
	path, err := toolchain.Locate("onnxruntime")
	if err != nil {
		t.Skip(err)
	}
	if _, err := depth.RuntimeVersion(path); err != nil {
		var f *fault.Failure
		if errors.As(err, &f) && f.Code == depth.RuntimeMissing {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return path
}

var descriptor = depth.Descriptor{Name: "tiny", File: "tiny.onnx", Output: depth.InverseDepth, InputMultiple: dav2.Patch, ShortSide: 70,
	Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}, InputName: dav2.InputName, OutputName: dav2.OutputName, License: "Apache-2.0"}

// write writes a model to a file and returns its path.
func write(t testing.TB, m *onnx.Model) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Write(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string, d depth.Descriptor, o depth.Options) *depth.Session {
	t.Helper()
	o.Library = library(t)
	s, err := depth.Open(context.Background(), path, d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func noise(width, height int, seed uint64) depth.Input {
	rng := rand.New(rand.NewPCG(seed, 5))
	in := depth.Input{Width: width, Height: height, Values: make([]float32, 3*width*height)}
	for i := range in.Values {
		in.Values[i] = float32(rng.NormFloat64())
	}
	return in
}

// The runtime, whatever it fuses and in whichever order it adds, computes the network that the plain Go code defines: at
// the position grid's own size, at others, and in a batch.
func TestTinyAgreesWithReference(t *testing.T) {
	c := dav2.Tiny()
	w := dav2.Draw(c, 11)
	s := open(t, write(t, dav2.Graph(c, w)), descriptor, depth.Options{Provider: depth.CPU})
	for _, size := range [][2]int{{70, 70}, {98, 56}, {42, 84}} {
		inputs := []depth.Input{noise(size[0], size[1], 1), noise(size[0], size[1], 2)}
		maps, err := s.Estimate(t.Context(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range maps {
			want := dav2.Predict(c, w, inputs[i].Values, size[1], size[0])
			if m.Width != size[0] || m.Height != size[1] || len(m.Values) != len(want) {
				t.Fatalf("a map of %d x %d", m.Width, m.Height)
			}
			if err := m.Check(); err != nil {
				t.Errorf("%v: %v", size, err)
			}
			if worst, spread := furthest(m.Values, want); !(worst < 1e-4) || !(spread > 0.1) {
				t.Errorf("%v, image %d: off by %.2g of the largest value; the values spread over %.2g of it", size, i, worst, spread)
			} else {
				t.Logf("%v, image %d: off by %.2g of the largest value", size, i, worst)
			}
		}
	}
}

// furthest is the largest difference, and the range of want, both relative to the largest of want.
func furthest(got []float32, want []float64) (worst, spread float64) {
	largest, low, high := 0.0, math.Inf(1), math.Inf(-1)
	for _, v := range want {
		largest, low, high = max(largest, math.Abs(v)), min(low, v), max(high, v)
	}
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); !(d <= worst) {
			worst = d
		}
	}
	return worst / largest, (high - low) / largest
}

// ramp paints an image whose red channel is known.
func ramp(w, h int) (*image.NRGBA, func(u, v float64) float64) {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	value := func(u, v float64) float64 { return 0.2 + 0.6*(0.7*u/float64(w)+0.3*v/float64(h)) }
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(math.Round(255 * value(float64(x)+0.5, float64(y)+0.5))), 77, uint8(x * y), 255})
		}
	}
	return m, value
}

// Through the whole path the stand-in answers what the picture shows, at the place where it shows it.
func TestStandInHasExactTruth(t *testing.T) {
	s := open(t, write(t, dav2.StandIn(descriptor.Mean, descriptor.Std)), descriptor, depth.Options{Provider: depth.CPU})
	for _, size := range [][2]int{{320, 200}, {150, 333}} {
		img, value := ramp(size[0], size[1])
		seen := 0
		_, err := depth.Run(t.Context(), s, 1, func(context.Context, int) (image.Image, error) { return img, nil },
			func(_ context.Context, r depth.Result) error {
				seen++
				for y := 2; y < r.Map.Height-2; y++ {
					for x := 2; x < r.Map.Width-2; x++ {
						u := (float64(x) + 0.5) * float64(r.Width) / float64(r.Map.Width)
						v := (float64(y) + 0.5) * float64(r.Height) / float64(r.Map.Height)
						got, want := float64(r.Map.Values[y*r.Map.Width+x]), dav2.Gain*value(u, v)+dav2.Shift
						if !(math.Abs(got-want) < dav2.Gain*0.6/255) {
							return fmt.Errorf("at %d, %d: %v, want %v", x, y, got, want)
						}
					}
				}
				return r.Err
			}, depth.RunOptions{})
		if err != nil || seen != 1 {
			t.Errorf("%v: %d images, %v", size, seen, err)
		}
	}
}

// A canceled context ends an inference between two of its operators: it costs a fraction of a whole one.
func TestCancelStopsInference(t *testing.T) {
	c := dav2.Tiny()
	c.Blocks, c.Taps = 40, [4]int{9, 19, 29, 39}
	s := open(t, write(t, dav2.Graph(c, dav2.Draw(c, 3))), descriptor, depth.Options{Provider: depth.CPU, Threads: 1})
	input := []depth.Input{noise(420, 420, 1)}
	run := func(ctx context.Context) (time.Duration, error) {
		before := cpuTime(t)
		_, err := s.Estimate(ctx, input)
		return cpuTime(t) - before, err
	}
	whole, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx := &canceledLater{Context: t.Context(), done: make(chan struct{})}
	part, err := run(ctx)
	if !errors.Is(err, context.Canceled) || !(part < whole/3) {
		t.Errorf("%v of CPU for a canceled inference, %v for a whole one; %v", part, whole, err)
	}
	t.Logf("%v of CPU for a canceled inference, %v for a whole one", part, whole)
	if _, err := run(t.Context()); err != nil { // the session is as good as before
		t.Error(err)
	}
}

// canceledLater is a context that is canceled as soon as somebody waits for its end: when the inference is about to start.
type canceledLater struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func (c *canceledLater) Done() <-chan struct{} {
	c.once.Do(func() { close(c.done) })
	return c.done
}

func (c *canceledLater) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := dav2.Tiny()
	path := write(t, dav2.Graph(c, dav2.Draw(c, 3)))
	isBounded(t, open(t, path, descriptor, depth.Options{Provider: depth.CPU, MemoryBytes: 32 << 20}))
}

// isBounded: a bound of 32 MiB turns an inference that needs more into an error, and leaves the session of the tiny network usable.
func isBounded(t *testing.T, s *depth.Session) {
	t.Helper()
	_, err := s.Estimate(t.Context(), []depth.Input{noise(700, 700, 1)}) // attention alone needs 75 MB
	var f *fault.Failure
	if !errors.As(err, &f) || f.Code != depth.OutOfMemory {
		t.Errorf("beyond its memory the session says %v", err)
	}
	if _, err := s.Estimate(t.Context(), []depth.Input{noise(70, 70, 1)}); err != nil {
		t.Error(err)
	}
}
