package trainer

import (
	"flag"
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// At the usual rates rounding decides which Gaussian a refinement splits, so that two machines end apart from a single seed as two
// kernels of the processor do. What can be asked of a device there is that it is not worse in the mean. That takes many seeds:
//
//	go test ./engines/trainer -run TestSeeds -v -seeds 24
//	go test -tags gpu ./engines/trainer -run TestSeeds -v -seeds 8 -device opencl -scene DIR -its 300 -side 160 -gaussians 3000
var sceneSeeds = flag.Int("seeds", 0, "seeds of TestSeedsEndAlike; 0: it is skipped")

// meanAndRMS is the mean and the root mean square of differences.
func meanAndRMS(differences []float64) (mean, rms float64) {
	n := float64(len(differences))
	for _, d := range differences {
		mean += d / n
		rms += d * d / n
	}
	return mean, math.Sqrt(rms)
}

// withKernels makes a training's processor work with other kernels.
func withKernels(run *training, cfg *Config, d *Dataset, k *simd.Kernels) {
	run.engine = &engine{raster.NewRenderer(workers(cfg), k), newPhotometric(k, workers(cfg)), k}
	run.machine = newProcessor(run.engine, cfg, d)
}

// TestSeedsEndAlike trains from several seeds at the usual rates, refinements included: on the interpreter a tiny scene, on a card, or
// PoCL, a capture. The device's mean may be 0.1 dB from the processor's, 0.15 dB for a capture, or twice the standard error that two kernels
// of the processor have with as many seeds; and single seeds may be as far apart as theirs, by half more in the root mean square.
func TestSeedsEndAlike(t *testing.T) {
	if *sceneSeeds == 0 {
		t.Skip("give a number of seeds with -seeds: each takes seconds")
	}
	cfg, d, most := testConfig(40), wavy(12), 0.1
	cfg.MaxGaussians = 100
	open := func() gpu.Device { return interpreted(t) }
	if *sceneDir != "" {
		_, card := opened(t)
		open, cfg, most = func() gpu.Device { return card }, sceneConfig(t), 0.15
		var err error
		if d, err = Load(*sceneDir, &cfg); err != nil {
			t.Fatal(err)
		}
	}
	ends := func(seed uint64, device gpu.Device, kernels *simd.Kernels) float64 {
		cfg := cfg
		cfg.Seed = seed
		run := newTraining(cfg, d, Hooks{Clock: ticking(time.Millisecond), Device: device})
		if kernels != nil {
			withKernels(run, &cfg, d, kernels)
		}
		defer run.machine.close()
		run.start()
		res, err := run.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return res.Held.PSNR
	}
	var card, kernels []float64
	for seed := range uint64(*sceneSeeds) {
		processor := ends(1+seed, nil, nil)
		card = append(card, ends(1+seed, open(), nil)-processor)
		kernels = append(kernels, ends(1+seed, nil, simd.Plain.Kernels())-processor)
		t.Logf("seed %d: %.2f dB; the device %+.3f, plain Go %+.3f", 1+seed, processor, card[seed], kernels[seed])
	}
	mean, rms := meanAndRMS(card)
	meanOfKernels, rmsOfKernels := meanAndRMS(kernels)
	t.Logf("mean and root mean square: the device %+.3f, %.3f; plain Go %+.3f, %.3f", mean, rms, meanOfKernels, rmsOfKernels)
	most = max(most, 2*rmsOfKernels/math.Sqrt(float64(len(kernels))))
	if !(math.Abs(mean) <= most) || !(rms <= 1.5*rmsOfKernels) {
		t.Errorf("the device ends %+.3f dB from the processor in the mean of %d seeds, %.3f dB root mean square; another kernel %.3f", mean, len(card), rms, rmsOfKernels)
	}
}
