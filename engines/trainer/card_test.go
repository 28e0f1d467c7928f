package trainer

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
)

// opened is the card of -device; the test skips without one.
func opened(t *testing.T) (cards.Driver, gpu.Device) {
	t.Helper()
	driver, err := cards.ParseDriver(*sceneCard)
	if err != nil {
		t.Fatal(err)
	}
	if driver == cards.CPU {
		t.Skip("give a card with -device opencl or cuda, and the build tag gpu")
	}
	if err := cards.Find(driver); err != nil {
		t.Fatalf("nothing was compared: %v", err) // it was asked for
	}
	d, err := cards.Open(driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return driver, d
}

func TestRefinesOnACard(t *testing.T) {
	_, d := opened(t)
	refinesLikeTheProcessor(t, d)
}

func TestPoseRefinementHelpsOnACard(t *testing.T) {
	_, d := opened(t)
	poseRefinementHelps(t, d)
}

// gentle is a schedule of a tenth of the usual rates.
func gentle() schedule {
	s := defaultSchedule
	for _, rate := range []*float64{&s.PositionRate, &s.ScaleRate, &s.RotationRate, &s.OpacityRate, &s.DCRate, &s.RestRate} {
		*rate /= 10
	}
	return s
}

// A real capture ends on a card where it ends on the processor, at equal iterations and seed, within 0.15 dB: at gentle rates and without
// refinements. With them rounding decides what is split, and the processor's own kernels end as far apart.
func TestSceneOnACard(t *testing.T) {
	if *sceneDir == "" {
		t.Skip("give an undistorted scene with -scene, and -device opencl or cuda")
	}
	driver, card := opened(t)
	cfg := sceneConfig(t)
	if cfg.Iterations == 0 {
		t.Fatal("give -its: a budget in time compares two speeds")
	}
	data, err := Load(*sceneDir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	var quality []float64
	for _, d := range []gpu.Device{nil, card} {
		run := newTraining(cfg, data, Hooks{Clock: cpuTime, Device: d})
		run.schedule = gentle()
		run.schedule.RefineUntil = 0
		run.start()
		res, err := run.run(t.Context())
		run.machine.close()
		if err != nil {
			t.Fatal(err)
		}
		name := cards.CPU
		if d != nil {
			name = driver
		}
		t.Logf("%s: %.3f dB, SSIM %.4f, %d Gaussians after %d iterations", name, res.Held.PSNR, res.Held.SSIM, res.Cloud.Len(), res.Iterations)
		quality = append(quality, res.Held.PSNR)
	}
	if off := quality[1] - quality[0]; !(math.Abs(off) <= 0.15) {
		t.Errorf("the card ends %.3f dB from the processor", off)
	}
}
