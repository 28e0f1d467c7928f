package trainer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/kernels"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// interpreted runs the PTX that a card would load, with every check of the interpreter.
func interpreted(t testing.TB) *ptx.Device {
	t.Helper()
	d, err := ptx.Open(kernels.PTX)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range d.Findings() {
			t.Error(f)
		}
	})
	return d
}

// wavy is a capture of a coloured sheet of 8×8 soft Gaussians from cameras before it, 24×18 pixels. Unlike in a ball nothing is
// hidden behind anything: there the gradient is the rounding of sums that cancel, of which Adam makes whole steps, and
// no two machines step alike.
func wavy(views int) *Dataset {
	return wavyIn(views, func(rng *rand.Rand) float32 { return float32(rng.NormFloat64()) }, [3]float32{})
}

// wavyIn is wavy with other colours, before a background.
func wavyIn(views int, colour func(*rand.Rand) float32, background [3]float32) *Dataset {
	const across, width, height = 8, 24, 18
	rng := rand.New(rand.NewPCG(42, 9))
	truth := splat.New(across*across, 0, splat.Mip)
	d := &Dataset{Extent: 3}
	for i := range truth.Len() {
		var p Point
		x, y := 2.4*(float64(i%across)+0.5)/across-1.2, 2.4*(float64(i/across)+0.5)/across-1.2
		mean := [3]float64{x + 0.05*rng.NormFloat64(), y + 0.05*rng.NormFloat64(), 0.3 * math.Sin(2*x)}
		for k := range 3 {
			truth.Means[3*i+k] = float32(mean[k])
			truth.LogScales[3*i+k] = float32(math.Log(0.1) + 0.3*rng.NormFloat64())
			truth.DC[3*i+k] = colour(rng)
			p.XYZ[k] = mean[k] + 0.02*rng.NormFloat64()
			p.RGB[k] = toByte(0.5 + splat.C0*truth.DC[3*i+k])
		}
		for k := range 4 {
			truth.Quats[4*i+k] = float32(rng.NormFloat64())
		}
		truth.Opacities[i] = 1
		d.Points = append(d.Points, p)
	}
	painter := NewPainter(truth, &Config{Threads: 1, Background: background})
	for i := range views {
		sine, cosine := math.Sincos(2 * math.Pi * float64(i) / float64(views))
		cam := ringCamera(0.7*sine, width, height)
		cam.T[1] += 0.5 * cosine
		pix, _, _ := simd.Planes(painter.Paint(&cam))
		v := newView(fmt.Sprintf("view_%03d.png", i), Picture{Camera: cam, Pix: pix})
		if i%8 == 0 {
			d.Test = append(d.Test, v)
		} else {
			d.Train = append(d.Train, v)
		}
	}
	return d
}

// laden adds to every training image a mask, transparency and inverse depth.
func laden(t testing.TB, d *Dataset) *Dataset {
	t.Helper()
	for i, v := range d.Train {
		for level := range v.Levels {
			p := &v.Levels[level]
			p.Mask, p.Alpha = make([]uint8, len(p.Pix[0])), make([]uint8, len(p.Pix[0]))
			for at := range p.Mask {
				p.Alpha[at] = uint8(255 - at%40)
				if at%p.Camera.Width > p.Camera.Width/4 {
					p.Mask[at] = 255
				}
			}
		}
		if i == 0 {
			continue // one without a prior
		}
		cam := &v.Levels[0].Camera
		values := make([]float32, cam.Width*cam.Height)
		for at := range values {
			values[at] = 0.3 + 0.05*float32(math.Sin(float64(at)))
			if at%7 == 0 {
				values[at] = float32(math.NaN())
			}
		}
		if err := d.AttachInverseDepth(v.Name, cam.Width, cam.Height, values); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// fields are the parameters that are compared together.
var fields = []struct {
	name        string
	first, last int
}{
	{"mean", simd.RowMean, simd.RowScale}, {"scale", simd.RowScale, simd.RowRotation}, {"rotation", simd.RowRotation, simd.RowOpacity},
	{"opacity", simd.RowOpacity, simd.RowDC}, {"DC", simd.RowDC, simd.RowRest}, {"rest", simd.RowRest, 59},
}

// gap is how far values of a card are from those of the processor.
type gap struct{ off, norm float64 }

func (g *gap) add(card, cpu, before float32) {
	off, norm := float64(card)-float64(cpu), float64(cpu)-float64(before)
	g.off += off * off
	g.norm += norm * norm
}

// ratio is ‖card − cpu‖ over ‖cpu − before‖, 0 where nothing differs, NaN where something is.
func (g *gap) ratio() float64 {
	if g.off == 0 {
		return 0
	}
	return math.Sqrt(g.off / g.norm)
}

// compareSteps compares what a card and the processor made of the same model in one step.
func compareSteps(t *testing.T, card, cpu, before *gaussians) {
	t.Helper()
	const apart, stepApart = 1e-3, 1e-2
	for _, f := range fields {
		var first, second, step gap
		largest := float32(0)
		for i := range cpu.params.Len() {
			for row := f.first; row < f.last; row++ {
				first.add(*card.m.At(i, row), *cpu.m.At(i, row), *before.m.At(i, row))
				second.add(*card.v.At(i, row), *cpu.v.At(i, row), *before.v.At(i, row))
				largest = max(largest, *cpu.v.At(i, row))
			}
		}
		for i := range cpu.params.Len() {
			for row := f.first; row < f.last; row++ {
				// Where a gradient is 0 by symmetry or behind other Gaussians, it is the rounding of a sum that cancels, of which Adam
				// makes a whole step, this way or that.
				if *cpu.v.At(i, row) >= 1e-8*largest {
					step.add(*card.params.At(i, row), *cpu.params.At(i, row), *before.params.At(i, row))
				}
			}
		}
		if !(first.ratio() <= apart) || !(second.ratio() <= 2*apart) || !(step.ratio() <= stepApart) {
			t.Errorf("%s: first moment %.1e, second %.1e, step %.1e of its norm apart", f.name, first.ratio(), second.ratio(), step.ratio())
		}
	}
	var pulls, extents gap
	for i := range cpu.stats.views {
		pulls.add(card.stats.gradient[i], cpu.stats.gradient[i], before.stats.gradient[i])
		extents.add(card.stats.extent[i], cpu.stats.extent[i], 0)
	}
	if !(pulls.ratio() <= apart) || !(extents.ratio() <= 1e-5) || !slices.Equal(card.stats.views, cpu.stats.views) {
		t.Errorf("pulls %.1e, extents %.1e of their norm apart; counts of views equal: %v", pulls.ratio(), extents.ratio(), slices.Equal(card.stats.views, cpu.stats.views))
	}
}

// Each step of a training, from the same model, is the processor's: at every level and degree, with everything that a visit can
// have, through refinements.
func TestDeviceStepsLikeTheProcessor(t *testing.T) {
	for name, everything := range map[string]bool{"plain": false, "everything": true} {
		t.Run(name, func(t *testing.T) {
			cfg, d := testConfig(60), wavy(9)
			cfg.MaxGaussians = 100
			if everything {
				d = laden(t, d)
				cfg.Exposure, cfg.BackgroundMode, cfg.Sky, cfg.RefinePoses = true, BackgroundRandom, SkyOn, true
			}
			run := newTraining(cfg, d, Hooks{Clock: ticking(1)})
			run.start()
			for i := range run.params.Len() { // round ones have no gradient by their rotation
				*run.params.At(i, simd.RowScale+i%3) += 0.3
			}
			if err := run.begin(); err != nil {
				t.Fatal(err)
			}
			card := newDevice(interpreted(t), &cfg, d)
			for ; run.iteration < cfg.Iterations; run.iteration++ {
				fraction := run.fraction()
				v := run.visit(fraction)
				if compared := run.iteration%6 == 0; compared {
					model, before := run.gaussians.clone(), run.gaussians.clone()
					if err := card.put(model); err != nil {
						t.Fatal(err)
					}
					got, loss, err := stepped(card, &v)
					if err == nil {
						err = card.get()
					}
					if err != nil {
						t.Fatal(err)
					}
					want, wantedLoss, err := stepped(run.machine, &v)
					if err != nil {
						t.Fatal(err)
					}
					if !(math.Abs(loss-wantedLoss) <= 1e-4*wantedLoss) {
						t.Errorf("iteration %d: the loss is %v, the processor's %v", run.iteration, loss, wantedLoss)
					}
					if everything {
						card, cpu := poseGradient(got.pose, d.Extent), poseGradient(want.pose, d.Extent)
						if off := normApart(card[:], cpu[:]); !(off <= 1e-3) {
							t.Errorf("iteration %d: the gradient by the camera is %.1e of its norm apart", run.iteration, off)
						}
					}
					for channel := range 3 {
						if everything && (!(math.Abs(got.drawn[channel]-want.drawn[channel]) <= 1e-5) || !(math.Abs(got.shown[channel]-want.shown[channel]) <= 1e-9)) {
							t.Errorf("iteration %d: means %v and %v, the processor's %v and %v", run.iteration, got.drawn, got.shown, want.drawn, want.shown)
						}
					}
					compareSteps(t, model, &run.gaussians, before)
				} else if _, _, err := stepped(run.machine, &v); err != nil {
					t.Fatal(err)
				}
				if run.iteration%20 == 19 {
					if err := run.refine(fraction); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// stepped makes a step and waits for its loss.
func stepped(m machine, v *visit) (measured, float64, error) {
	seen, err := m.step(v)
	if err != nil {
		return seen, 0, err
	}
	losses, err := m.losses(true)
	if err != nil || len(losses) != 1 {
		return seen, 0, fmt.Errorf("%d losses of a step: %w", len(losses), err)
	}
	return seen, losses[0], nil
}

// calm is a training in which a rounding stays small for a while, whole and at the usual rates, and what it starts from. Three things make a
// step of a rounding at once, and are not in it: a round Gaussian has no gradient by its rotation, of whose rounding Adam makes a whole
// step; a black one learns its colour or not, as the rounding is above 0 or below; and black drawn on black has the sign of
// a rounding in L1.
func calm(cfg Config, device gpu.Device) (run *training) {
	grey := [3]float32{0.5, 0.5, 0.5}
	cfg.Background = grey
	run = newTraining(cfg, wavyIn(12, func(rng *rand.Rand) float32 { return (0.7*rng.Float32() - 0.35) / splat.C0 }, grey), Hooks{Clock: ticking(time.Millisecond), Device: device})
	run.start()
	rng := rand.New(rand.NewPCG(cfg.Seed, 77))
	for i := range run.params.Len() {
		for row := simd.RowScale; row < simd.RowRotation; row++ {
			*run.params.At(i, row) += float32(0.3 * rng.NormFloat64())
		}
		for row := simd.RowRotation; row < simd.RowOpacity; row++ {
			*run.params.At(i, row) = float32(rng.NormFloat64())
		}
	}
	return run
}

// A whole training at the usual rates ends where the processor's does, within 0.1 dB at equal seed: every level and degree, growth, and
// pruning with the splits that take the place of what it removes. One seed of five may be farther off: a start that is 1e-5 apart, which is
// about the rounding of a card's steps, has another Gaussian split in one training of ten, and ends up to 0.6 dB away. A start a rounding of
// the processor apart may not: where it ends more than a fifth of the bound away, this says nothing.
func TestDeviceTrainsLikeTheProcessor(t *testing.T) {
	const most, seeds = 0.1, 5 // dB
	far := 0
	for seed := range uint64(seeds) {
		cfg := testConfig(30)
		cfg.MaxGaussians, cfg.Seed = 100, 1+seed
		ends := func(run *training) *Result {
			defer run.machine.close()
			res, err := run.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		run, apart := calm(cfg, nil), calm(cfg, nil)
		start, err := evaluate(run.loss, run.paint(run.params), run.data.Test, &run.cfg)
		if err != nil {
			t.Fatal(err)
		}
		nudge(apart.params, 1+seed)
		processor, nudged, card := ends(run), ends(apart), ends(calm(cfg, interpreted(t)))
		off, offNudged := card.Held.PSNR-processor.Held.PSNR, nudged.Held.PSNR-processor.Held.PSNR
		t.Logf("seed %d: %.2f dB at first, then %.3f, on the device %+.4f, from a start a rounding apart %+.4f; %d Gaussians, %d relocated", cfg.Seed, start.PSNR, processor.Held.PSNR, off, offNudged,
			card.Cloud.Len(), card.Relocated)
		if !(math.Abs(off) <= most) {
			far++
		}
		if !(math.Abs(offNudged) <= most/5) {
			t.Errorf("seed %d: a start that is a rounding apart ends %+.3f dB away", cfg.Seed, offNudged)
		}
		if !(math.Min(processor.Held.PSNR, card.Held.PSNR) >= start.PSNR+2) {
			t.Errorf("seed %d: %.2f dB at first, then %.3f dB on the processor, %.3f dB on the device", cfg.Seed, start.PSNR, processor.Held.PSNR, card.Held.PSNR)
		}
		if n := card.Cloud.Len(); n < 80 || card.Relocated == 0 || n < processor.Cloud.Len()-3 || n > processor.Cloud.Len()+3 {
			t.Errorf("seed %d: %d Gaussians, %d relocated; on the processor %d and %d", cfg.Seed, n, card.Relocated, processor.Cloud.Len(), processor.Relocated)
		}
		again, err := Evaluate(card.Cloud, run.data.Test, &run.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(again.PSNR-card.Held.PSNR) <= 0.01) || !(math.Abs(again.SSIM-card.Held.SSIM) <= 1e-3) {
			t.Errorf("seed %d: the machine measures %.3f dB and SSIM %.4f, the processor %.3f dB and %.4f", cfg.Seed, card.Held.PSNR, card.Held.SSIM, again.PSNR, again.SSIM)
		}
	}
	if far > 1 {
		t.Errorf("%d of %d seeds end more than %.1f dB from the processor", far, seeds, most)
	}
}

// trainUntil trains on a device, or on the processor, from a checkpoint or from the start, and stops before an iteration: it
// returns a checkpoint then, and the result when nothing stopped it.
func trainUntil(t *testing.T, cfg Config, d *Dataset, device gpu.Device, checkpoint []byte, stopAt int) ([]byte, *Result) {
	t.Helper()
	var s saver
	stop := make(chan struct{})
	run := newTraining(cfg, d, Hooks{Save: s.save, Stop: stop, Device: device})
	defer run.machine.close()
	run.hooks.Clock = func() time.Duration {
		select {
		case <-stop:
		default:
			if run.iteration == stopAt {
				close(stop)
			}
		}
		return 0
	}
	if checkpoint == nil {
		run.start()
	} else if err := run.read(bytes.NewReader(checkpoint)); err != nil {
		t.Fatal(err)
	}
	run.elapsed() // stops at once where it is to
	res, err := run.run(t.Context())
	if err != nil && !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	return s.data, res
}

// A checkpoint of one machine is another's: handed over and saved at once it is the same bytes. On a device too a run that was
// stopped ends with the bytes of one that was not.
func TestCheckpointsPassBetweenMachines(t *testing.T) {
	cfg, d := testConfig(30), laden(t, wavy(9))
	cfg.MaxGaussians, cfg.Exposure, cfg.RefinePoses = 100, true, true
	_, never := trainUntil(t, cfg, d, interpreted(t), nil, -1)
	half, _ := trainUntil(t, cfg, d, interpreted(t), nil, 15)
	_, resumed := trainUntil(t, cfg, d, interpreted(t), half, -1)
	if !bytes.Equal(plyOf(t, resumed.Cloud), plyOf(t, never.Cloud)) {
		t.Error("a run that was stopped and resumed on the device writes another PLY")
	}

	_, want := trainUntil(t, cfg, d, nil, nil, -1)
	first, _ := trainUntil(t, cfg, d, nil, nil, 10)
	if same, _ := trainUntil(t, cfg, d, interpreted(t), first, 10); !bytes.Equal(same, first) {
		t.Error("the processor's checkpoint comes back changed from the device")
	}
	second, _ := trainUntil(t, cfg, d, interpreted(t), first, 20)
	if same, _ := trainUntil(t, cfg, d, nil, second, 20); !bytes.Equal(same, second) {
		t.Error("the device's checkpoint comes back changed from the processor")
	}
	_, got := trainUntil(t, cfg, d, nil, second, -1)
	if got.Iterations != cfg.Iterations || !(math.Abs(got.Held.PSNR-want.Held.PSNR) <= 0.5) {
		t.Errorf("processor, device, processor: %.2f dB after %d iterations, the processor alone %.2f dB", got.Held.PSNR, got.Iterations, want.Held.PSNR)
	}
}

// failing is a device whose launches fail after some.
type failing struct {
	gpu.Device
	left int
}

func (f *failing) Launch(k gpu.Kernel, groups int, args ...any) error {
	if f.left--; f.left < 0 {
		return fmt.Errorf("%w: the driver says why", gpu.ErrFailed)
	}
	return f.Device.Launch(k, groups, args...)
}

// What happens to a device is an error that says which; what was saved before trains on elsewhere.
func TestDeviceFails(t *testing.T) {
	cfg, d := testConfig(8), wavy(9)
	cfg.MaxGaussians = 100
	with := func(cfg Config, device gpu.Device, save func(func(io.Writer) error) error) error {
		_, err := Train(t.Context(), cfg, d, nil, Hooks{Clock: ticking(time.Second), Device: device, Save: save})
		return err
	}
	small := interpreted(t)
	small.Bytes = 100_000
	if err := with(cfg, small, nil); !errors.Is(err, gpu.ErrMemory) || !strings.Contains(err.Error(), "has room for") {
		t.Errorf("a small card: %v", err)
	}
	full := interpreted(t)
	if err := with(cfg, &filling{full}, nil); !errors.Is(err, gpu.ErrMemory) {
		t.Errorf("a card that fills up: %v", err)
	}

	cfg.CheckpointEvery = time.Second
	var s saver
	if err := with(cfg, &failing{interpreted(t), 150}, s.save); !errors.Is(err, gpu.ErrFailed) || !strings.Contains(err.Error(), "the driver says why") {
		t.Errorf("a card that fails: %v", err)
	}
	if _, err := Train(t.Context(), cfg, d, bytes.NewReader(s.data), Hooks{Clock: ticking(time.Second)}); err != nil {
		t.Errorf("its last checkpoint, on the processor: %v", err)
	}
}

// filling is a device of which others take the memory as soon as the model is there.
type filling struct{ *ptx.Device }

func (f *filling) Alloc(bytes int) (gpu.Buffer, error) {
	if bytes > 1000 {
		f.Bytes = 50_000
	}
	return f.Device.Alloc(bytes)
}
