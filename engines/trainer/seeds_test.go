package trainer

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// At the usual rates a capture's training magnifies a rounding until other Gaussians are split: one that starts a rounding apart ends
// tenths of a decibel apart. So a device is compared with the processor's trainings from such starts: its ends must be where theirs are.
//
//	go test ./engines/trainer -run TestSeeds -v -seeds 12
//	go test -tags gpu ./engines/trainer -run TestSeeds -v -seeds 8 -device opencl -scene DIR -its 300 -side 160 -gaussians 3000
var (
	sceneSeeds  = flag.Int("seeds", 0, "seeds of TestSeedsEndAlike; 0: it is skipped")
	sceneNudges = flag.Int("nudges", 4, "trainings of each seed on the processor in TestSeedsEndAlike, each from a start that is a rounding apart")
)

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

// nudge moves every parameter of a start to the next number, up or down.
func nudge(p *raster.Params, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 78))
	for i := range p.Len() {
		for row := range p.Rows() {
			if v := p.At(i, row); *v != 0 {
				*v = math.Nextafter32(*v, *v+float32(rng.IntN(2)*2-1))
			}
		}
	}
}

// TestSeedsEndAlike trains from several seeds at the usual rates, refinements included: on the interpreter a tiny scene, on a card, or
// PoCL, a capture. Of each seed the device's end is compared with the mean of the processor's from nudged starts. The mean over the seeds
// may be 0.1 dB, 0.15 dB for a capture, and what a nudge does must be small enough to see that in this number of seeds; and the device may
// be as far from those means as a nudged start is, by half more in the root mean square.
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
	ends := func(seed uint64, device gpu.Device, nudged uint64) float64 {
		cfg := cfg
		cfg.Seed = seed
		run := newTraining(cfg, d, Hooks{Clock: ticking(time.Millisecond), Device: device})
		defer run.machine.close()
		run.start()
		if nudged > 0 {
			nudge(run.params, nudged)
		}
		res, err := run.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return res.Held.PSNR
	}
	var card, nudges []float64
	k := float64(*sceneNudges)
	for seed := cfg.Seed; seed < cfg.Seed+uint64(*sceneSeeds); seed++ {
		var processor []float64
		for nudged := range uint64(*sceneNudges) {
			processor = append(processor, ends(seed, nil, 1+nudged))
		}
		centre, _ := meanAndRMS(processor)
		for _, psnr := range processor {
			nudges = append(nudges, (psnr-centre)*math.Sqrt(k/(k-1)))
		}
		card = append(card, ends(seed, open(), 0)-centre)
		t.Logf("seed %d: the processor %.3f; the device %+.3f from their mean", seed, processor, card[len(card)-1])
	}
	mean, rms := meanAndRMS(card)
	_, nudged := meanAndRMS(nudges)
	nudged *= math.Sqrt(1 + 1/k) // from a mean of k
	unsure := 2 * nudged / math.Sqrt(float64(len(card)))
	t.Logf("the device ends %+.3f dB from the processor in the mean of %d seeds, give or take %.3f, %.3f root mean square; a nudged start %.3f", mean, len(card), unsure, rms, nudged)
	if !(unsure <= most) {
		t.Errorf("a difference of %.2f dB cannot be seen in %d seeds: take more", most, len(card))
	}
	if !(math.Abs(mean) <= most) || !(rms <= 1.5*nudged) {
		t.Errorf("the device does not end where the processor does: %+.3f dB, %.3f root mean square", mean, rms)
	}
}
