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

// A real capture ends on a card where it ends on the processor, at equal iterations and seed, within 0.15 dB, as long as nothing is split:
// at a tenth of the rates, and at the usual ones for each of up to five of -seeds. With refinements rounding decides what is split, and the
// processor's own kernels end as far apart: TestSeedsEndAlike.
func TestSceneOnACard(t *testing.T) {
	if *sceneDir == "" {
		t.Skip("give an undistorted scene with -scene, and -device opencl or cuda")
	}
	_, card := opened(t)
	cfg := sceneConfig(t)
	if cfg.Iterations == 0 {
		t.Fatal("give -its: a budget in time compares two speeds")
	}
	data, err := Load(*sceneDir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	endsAlike(t, cfg, data, card, "a tenth of the rates", gentle())
	for range max(1, min(5, *sceneSeeds)) {
		endsAlike(t, cfg, data, card, "the usual rates", defaultSchedule)
		cfg.Seed++
	}
}

// endsAlike trains on the processor and on a card without refinements, and compares the held-out images.
func endsAlike(t *testing.T, cfg Config, data *Dataset, card gpu.Device, name string, s schedule) {
	t.Helper()
	s.RefineUntil = 0
	var quality []float64
	for _, d := range []gpu.Device{nil, card} {
		run := newTraining(cfg, data, Hooks{Clock: cpuTime, Device: d})
		run.schedule = s
		run.start()
		res, err := run.run(t.Context())
		run.machine.close()
		if err != nil {
			t.Fatal(err)
		}
		quality = append(quality, res.Held.PSNR)
		if d != nil {
			t.Logf("seed %d, %s: %.3f dB on the processor, %+.3f on the card; %d Gaussians after %d iterations, %d images of %dx%d held out", cfg.Seed, name,
				quality[0], quality[1]-quality[0], res.Cloud.Len(), res.Iterations, len(res.Held.Views), res.Held.Width, res.Held.Height)
		}
	}
	if off := quality[1] - quality[0]; !(math.Abs(off) <= 0.15) {
		t.Errorf("seed %d, %s: the card ends %.3f dB from the processor", cfg.Seed, name, off)
	}
}
