package depth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
)

// swiftShader is the Vulkan driver that Chromium brings along: a GPU in software.
const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json"

// provider says whether a provider other than the CPU can be tried here, and on what; else the test is skipped.
func provider(t testing.TB, p depth.Provider) (name string, software bool) {
	t.Helper()
	if p == depth.CUDA {
		if _, err := os.Stat(filepath.Join(filepath.Dir(library(t)), "libonnxruntime_providers_cuda.so")); err != nil {
			t.Skip("this ONNX Runtime has no CUDA part beside it")
		}
		return "CUDA", false
	}
	library(t)
	if len(depth.GPUs()) == 0 {
		if _, err := os.Stat(swiftShader); err != nil {
			t.Skip("no Vulkan driver is here, not even Chromium's in software")
		}
		setenv(t, "VK_DRIVER_FILES", swiftShader)
		setenv(t, "VK_ICD_FILENAMES", swiftShader)
	}
	gpus := depth.GPUs()
	if len(gpus) == 0 {
		t.Skip("no Vulkan device is here")
	}
	i := max(0, slices.IndexFunc(gpus, func(g depth.GPU) bool { return !g.Software }))
	return gpus[i].Name, gpus[i].Software
}

func setenv(t testing.TB, name, value string) {
	before, ok := os.LookupEnv(name)
	os.Setenv(name, value)
	t.Cleanup(func() {
		if os.Unsetenv(name); ok {
			os.Setenv(name, before)
		}
	})
}

// accelerated opens a model on a provider, or the test is skipped.
func accelerated(t testing.TB, path string, d depth.Descriptor, o depth.Options) *depth.Session {
	t.Helper()
	o.Library = library(t)
	s, err := depth.Open(context.Background(), path, d, o)
	if err != nil {
		t.Skipf("%s does not start here: %v", o.Provider, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Another provider computes the same maps as the CPU, of one image and of several, and keeps the contract. The library of
// the toolchain script has WebGPU; where there is no GPU that is tried on Chromium's driver, with the tiny network only.
func TestProvidersAgreeWithCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("may be half a minute of a GPU in software: not under -short")
	}
	for _, p := range []depth.Provider{depth.CUDA, depth.WebGPU} {
		t.Run(string(p), func(t *testing.T) {
			gpu, software := provider(t, p)
			t.Logf("on %s", gpu)
			c := dav2.Tiny()
			tiny := write(t, dav2.Graph(c, dav2.Draw(c, 11)))
			t.Run("tiny", func(t *testing.T) {
				agree(t, p, tiny, descriptor, []depth.Input{noise(70, 98, 1), noise(70, 98, 2)})
			})
			t.Run("canceled", func(t *testing.T) { canceled(t, p, tiny, software) })
			if software {
				return
			}
			d := descriptor
			d.ShortSide = 518
			for _, size := range [][2]int{{518, 518}, {924, 518}} {
				var inputs []depth.Input
				for i := range 4 {
					inputs = append(inputs, noise(size[0], size[1], uint64(i)))
				}
				t.Run(fmt.Sprintf("small %d", size), func(t *testing.T) { agree(t, p, smallPath(t), d, inputs) })
			}
			t.Run("contract", func(t *testing.T) {
				depthtest.Contract(t, func(t *testing.T) depth.Estimator {
					return accelerated(t, tiny, descriptor, depth.Options{Provider: p})
				})
			})
		})
	}
}

// agree compares the maps of all inputs at once, and of the first alone, with the CPU's.
func agree(t *testing.T, p depth.Provider, path string, d depth.Descriptor, inputs []depth.Input) {
	cpu := open(t, path, d, depth.Options{Provider: depth.CPU})
	gpu := accelerated(t, path, d, depth.Options{Provider: p})
	if gpu.Provider() != p || gpu.Batch() < 1 {
		t.Errorf("asked for %s it computes on %s, %d images at once", p, gpu.Provider(), gpu.Batch())
	}
	var want []depth.Map
	for i := range inputs { // one by one: less memory
		m, err := cpu.Estimate(t.Context(), inputs[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, m...)
	}
	for _, n := range []int{1, len(inputs)} {
		maps, err := gpu.Estimate(t.Context(), inputs[:n])
		if err != nil {
			t.Fatal(err)
		}
		for i := range maps {
			if err := maps[i].Check(); err != nil {
				t.Error(err)
			}
			worst, _ := furthest(maps[i].Values, float64s(want[i].Values))
			t.Logf("image %d of %d at %d x %d: off by %.2g of the largest value", i, n, inputs[i].Width, inputs[i].Height, worst)
			if !(worst < 1e-2) {
				t.Errorf("image %d of %d: off by %.2g of the largest value", i, n, worst)
			}
		}
	}
}

func float64s(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = float64(v)
	}
	return out
}

// canceled ends an inference as it begins, and one under way. It comes back with the context's error, and the session
// answers afterwards what it did before.
func canceled(t *testing.T, p depth.Provider, tiny string, software bool) {
	path, size := tiny, 70
	if !software {
		path, size = smallPath(t), 518
	}
	s := accelerated(t, path, descriptor, depth.Options{Provider: p})
	input := []depth.Input{noise(size, size, 1)}
	run := func(ctx context.Context) ([]depth.Map, time.Duration, error) {
		started := time.Now()
		maps, err := s.Estimate(ctx, input)
		return maps, time.Since(started), err
	}
	before, first, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, whole, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, part, err := run(&canceledLater{Context: t.Context(), done: make(chan struct{})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled it says %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(whole/2, cancel)
	_, half, err := run(ctx)
	if timer.Stop() && err != nil || ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled half way it says %v", err)
	}
	cancel()
	t.Logf("%v for the first inference, %v for a later one, %v for one canceled as it starts, %v half way", first, whole, part, half)
	after, _, err := run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if worst, _ := furthest(after[0].Values, float64s(before[0].Values)); !(worst < 1e-4) {
		t.Errorf("after a canceled inference the map is off by %.2g of the largest value", worst)
	}
}

func TestMemoryOfCUDAIsBounded(t *testing.T) {
	provider(t, depth.CUDA)
	c := dav2.Tiny()
	path := write(t, dav2.Graph(c, dav2.Draw(c, 3)))
	isBounded(t, accelerated(t, path, descriptor, depth.Options{Provider: depth.CUDA, MemoryBytes: 32 << 20}))
}

// Auto never takes a GPU in software, nor WebGPU without a clock to compare it by; on hardware, where it must be faster for a
// network of the real size to be taken, it says which it takes.
func TestAutoChooses(t *testing.T) {
	gpu, software := provider(t, depth.WebGPU)
	if _, err := os.Stat(filepath.Join(filepath.Dir(library(t)), "libonnxruntime_providers_cuda.so")); err == nil {
		t.Skip("CUDA comes first here")
	}
	d := descriptor
	d.ShortSide = 518
	for name, clock := range map[string]func() time.Time{"no clock": nil, "clock": time.Now} {
		s := open(t, smallPath(t), d, depth.Options{Clock: clock})
		t.Logf("%s, %s: it chooses %s", gpu, name, s.Provider())
		if s.Fallback() != "" {
			t.Errorf("%s, %s: the GPU does not work: %s", gpu, name, s.Fallback())
		}
		if (software || clock == nil) && s.Provider() != depth.CPU {
			t.Errorf("%s, %s: it chooses %s", gpu, name, s.Provider())
		}
	}
}
