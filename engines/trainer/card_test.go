package trainer

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu/cards"
)

// A real capture ends on a card where it ends on the processor, at equal iterations: the mean over three seeds within 0.15 dB.
// Each seed alone may differ by more, as two kinds of kernels of the processor do.
func TestSceneOnACard(t *testing.T) {
	if *sceneDir == "" {
		t.Skip("give an undistorted scene with -scene, and -device opencl or cuda")
	}
	driver, err := cards.ParseDriver(*sceneCard)
	if err != nil {
		t.Fatal(err)
	}
	if err := cards.Find(driver); err != nil {
		t.Skip(err)
	}
	cfg := sceneConfig(t)
	if cfg.Iterations == 0 {
		t.Fatal("give -its: a budget in time compares two speeds")
	}
	data, err := Load(*sceneDir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 3
	mean := 0.0
	for seed := range uint64(seeds) {
		cfg.Seed = *sceneSeed + seed
		want, err := Train(t.Context(), cfg, data, nil, Hooks{Clock: cpuTime})
		if err != nil {
			t.Fatal(err)
		}
		d, err := cards.Open(driver)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Train(t.Context(), cfg, data, nil, Hooks{Clock: cpuTime, Device: d})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("seed %d: %.3f dB on %s, %.3f dB on the processor", cfg.Seed, got.Held.PSNR, d.Name(), want.Held.PSNR)
		mean += (got.Held.PSNR - want.Held.PSNR) / seeds
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if !(math.Abs(mean) <= 0.15) {
		t.Errorf("the card ends %.3f dB from the processor in the mean of %d seeds", mean, seeds)
	}
}
