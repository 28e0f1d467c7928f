package gputest

import (
	"bytes"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Open makes a device with the module of package kernels, and closes it when the test ends.
type Open func(t testing.TB) gpu.Device

// Run runs all of it.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(t *testing.T, open Open){
		"buffers hold what is written":                  buffersHoldWhatIsWritten,
		"launches refuse":                               launchesRefuse,
		"frame and gradients match plain Go":            frameAndGradientsMatchPlainGo,
		"frame of a lower degree":                       frameOfALowerDegree,
		"thousands of instances in one tile":            thousandsOfInstancesInOneTile,
		"frame of nothing":                              frameOfNothing,
		"garbage stays where it is":                     garbageStaysWhereItIs,
		"loss matches plain Go":                         lossMatchesPlainGo,
		"the depth loss has the sign of the difference": depthLossHasTheSignOfTheDifference,
		"losses wait to be read":                        lossesWaitToBeRead,
		"updates match Adam":                            updatesMatchAdam,
		"updates repeat":                                updatesRepeat,
		"pose gradients match plain Go":                 poseGradientsMatchPlainGo,
		"refinements repeat":                            refinementsRepeat,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// buffersHoldWhatIsWritten: at any offset, and of any size from none on.
func buffersHoldWhatIsWritten(t *testing.T, open Open) {
	d := open(t)
	for _, n := range []int{0, 1, 5, 4096} {
		b, err := d.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7)
		}
		if err := b.Write(0, data); err != nil {
			t.Fatal(err)
		}
		if n > 2 {
			data[n-2] = 99
			if err := b.Write(n-2, data[n-2:]); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, n)
		if err := b.Read(0, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes come back changed", n)
		}
		if n > 4 {
			if err := b.Read(n-1, make([]byte, 2)); err == nil {
				t.Error("a read past the end is no error")
			}
			if err := b.Write(-1, data[:1]); err == nil {
				t.Error("a write before the start is no error")
			}
		}
		b.Free()
		b.Free() // twice is once
		if err := b.Read(0, make([]byte, 1)); err == nil {
			t.Error("a read of freed memory is no error")
		}
	}
}

// launchesRefuse what cannot be right, and the device works on.
func launchesRefuse(t *testing.T, open Open) {
	d, other := open(t), open(t)
	alloc := func(d gpu.Device) gpu.Buffer {
		b, err := d.Alloc(64)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Write(0, make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	k := gpu.Kernel{Name: "sum_channels", Threads: 256}
	in, out, freed := alloc(d), alloc(d), alloc(d)
	freed.Free()
	for name, err := range map[string]error{
		"no such kernel":          d.Launch(gpu.Kernel{Name: "nothing", Threads: 32}, 1, in),
		"a type":                  d.Launch(k, 1, in, out, 1, uint32(1), uint32(0)),
		"another device's buffer": d.Launch(k, 1, alloc(other), out, uint32(4), uint32(1), uint32(0)),
		"freed memory":            d.Launch(k, 1, freed, out, uint32(4), uint32(1), uint32(0)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := d.Launch(k, 0, in, out, uint32(4), uint32(1), uint32(0)); err != nil {
		t.Errorf("no groups: %v", err)
	}
	if err := d.Launch(k, 1, in, out, uint32(4), uint32(1), uint32(0)); err != nil {
		t.Error(err)
	}
	if err := d.Wait(); err != nil {
		t.Error(err)
	}
}

// Iteration runs every kernel of an iteration with n Gaussians on w × h pixels, and returns how many instances there are.
func Iteration(e *gpu.Engine, n, w, h int, size float64, o gpu.Options) (instances int, err error) {
	it, err := newIteration(e, n, w, h, size, o)
	if err != nil {
		return 0, err
	}
	return it.run()
}

// Megapixel runs an iteration of a hundredth of a usual large scene: of a million Gaussians of degree 3 on a megapixel, of which four in
// ten are seen, each with a standard deviation of 2.5 pixels. What it holds is freed with the device.
func Megapixel(e *gpu.Engine) (gpu.Drawn, error) {
	const n, w, h = 10_000, 134, 76
	p := cloud(n, splat.MaxDegree, splat.Classic, 0.053)
	for i := range n {
		if i%20 < 10 {
			*p.At(i, simd.RowMean+2) = -4 // behind the camera
		}
	}
	it, err := iterationOf(e, p, w, h, gpu.Options{})
	if err != nil {
		return gpu.Drawn{}, err
	}
	drawn, err := e.Forward(&it.model, it.cam, it.options)
	if err != nil {
		return gpu.Drawn{}, err
	}
	if err := e.Compare(&it.image, [3]float32{1, 1, 1}, 0.2); err != nil {
		return gpu.Drawn{}, err
	}
	return drawn, e.Update(&it.model, it.rates)
}

// LongTile runs an iteration on a picture of one tile, with thousands of faint Gaussians.
func LongTile(e *gpu.Engine) (instances int, err error) {
	p := cloud(3000, 0, splat.Classic, 0.08)
	for i := range p.Len() {
		*p.At(i, simd.RowOpacity) = -4
	}
	it, err := iterationOf(e, p, 16, 16, gpu.Options{})
	if err != nil {
		return 0, err
	}
	defer it.free()
	return it.run()
}

// Gradients runs the kernel that only tests need: the gradients of a frame without a step.
func Gradients(e *gpu.Engine, n, w, h int, size float64) error {
	it, err := newIteration(e, n, w, h, size, gpu.Options{})
	if err != nil {
		return err
	}
	if _, err := it.run(); err != nil {
		return err
	}
	_, err = e.Gradients(&it.model)
	return err
}

// iteration is what an iteration needs, on the device.
type iteration struct {
	e       *gpu.Engine
	model   gpu.Model
	image   gpu.Image
	prior   gpu.Prior
	options gpu.Options
	cam     *raster.Camera
	rates   []float32
}

func newIteration(e *gpu.Engine, n, w, h int, size float64, o gpu.Options) (*iteration, error) {
	return iterationOf(e, cloud(n, 1, splat.Mip, size), w, h, o)
}

func iterationOf(e *gpu.Engine, p *raster.Params, w, h int, o gpu.Options) (*iteration, error) {
	n := p.Len()
	o.Degree = p.Degree
	it := &iteration{e: e, options: o, cam: camera(w, h), rates: make([]float32, p.Rows())}
	blank := raster.NewParams(n, p.Degree, p.Mode)
	stats := gpu.Statistics{Pulls: make([]float32, n), Views: make([]uint32, n), Extents: make([]float32, n)}
	if err := e.Put(&it.model, p, blank, blank, &stats); err != nil {
		return nil, err
	}
	planes, mask := picture(w, h)
	if err := e.Upload(&it.image, &planes, mask, nil, w, h); err != nil {
		return nil, err
	}
	return it, e.UploadPrior(&it.prior, make([]float32, w*h), w, h)
}

func (it *iteration) run() (instances int, err error) {
	drawn, err := it.e.Forward(&it.model, it.cam, it.options)
	if err != nil {
		return 0, err
	}
	if err := it.e.Compare(&it.image, [3]float32{1, 1, 1}, 0.2); err != nil {
		return 0, err
	}
	if it.options.Depth {
		if err := it.e.CompareDepth(&it.prior, &it.image, 1); err != nil {
			return 0, err
		}
	}
	return drawn.Instances, it.e.Update(&it.model, it.rates)
}

func (it *iteration) free() {
	it.image.Free()
	it.prior.Free()
	it.e.Free(&it.model)
}
