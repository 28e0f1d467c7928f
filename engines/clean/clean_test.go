package clean

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
)

// capture trains the synthetic sample for a moment.
func capture(t *testing.T, seed uint64, iterations int) (*splat.Cloud, *trainer.Dataset, *trainer.Config) {
	t.Helper()
	const frames, width, height = 32, 128, 96
	made, err := sample.New(sample.Options{Seed: seed, Frames: frames, Width: width, Height: height})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		rgb, img := made.Frame(i), image.NewNRGBA(image.Rect(0, 0, width, height))
		for at := range width * height {
			img.SetNRGBA(at%width, at/width, color.NRGBA{rgb[3*at], rgb[3*at+1], rgb[3*at+2], 255})
		}
		f, err := os.Create(filepath.Join(dir, "images", sample.Name(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := made.Reconstruction().Write(filepath.Join(dir, "sparse")); err != nil {
		t.Fatal(err)
	}
	cfg, err := trainer.Defaults(trainer.Standard)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Iterations, cfg.MaxGaussians, cfg.CheckpointEvery = iterations, 4000, 0
	data, err := trainer.Load(dir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	result, err := trainer.Train(context.Background(), cfg, data, nil, trainer.Hooks{Clock: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	return result.Cloud, data, &cfg
}

// plant puts Gaussians into the air between the cameras and what they see, where the images show that nothing is. They come
// last in the cloud.
func plant(t *testing.T, c *splat.Cloud, data *trainer.Dataset, n int) *splat.Cloud {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	floaters := splat.New(n, c.Degree, c.Mode)
	for i := range n {
		v := data.Train[rng.IntN(len(data.Train))]
		eye, p := v.Levels[0].Camera.Center(), data.Points[v.Matched[rng.IntN(len(v.Matched))]].XYZ
		along := 0.2 + 0.5*rng.Float64()
		for k := range 3 {
			floaters.Means[3*i+k] = float32(eye[k] + along*(p[k]-eye[k]))
			floaters.LogScales[3*i+k] = float32(-4.5 + 0.5*rng.NormFloat64())
			floaters.DC[3*i+k] = float32(math.Copysign(1.5+rng.Float64(), rng.NormFloat64())) // a colour that is seen
		}
		floaters.Quats[4*i], floaters.Opacities[i] = 1, float32(2.5*rng.Float64()-0.5)
	}
	m, err := splat.Merged(c, floaters)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPlantedFloatersGo: of floaters planted into three scenes at least nine in ten go, and most of the 0.7 to 0.9 dB of harm that
// they do. Measured against the cloud that never had them, on the mean: safe loses 0.06 dB with AVX-512, 0.10 with AVX2, 0.09 with
// plain Go (each trains another cloud), strong nothing, with half the Gaussians (40 to 54 % fewer).
func TestPlantedFloatersGo(t *testing.T) {
	seeds := []uint64{4, 5, 6}
	if testing.Short() {
		seeds = seeds[:1]
	}
	lost := map[Level]float64{}
	for _, seed := range seeds {
		clean, data, cfg := capture(t, seed, 500)
		dirty := plant(t, clean, data, 200)
		trained, err := trainer.Evaluate(clean, data.Test, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []Level{Safe, Strong} {
			lost[level] += (trained.PSNR - cleaned(t, clean, dirty, data, cfg, trained.PSNR, level)) / float64(len(seeds))
		}
	}
	t.Logf("lost on the mean: safe %.3f dB, strong %.3f dB", lost[Safe], lost[Strong])
	if !(lost[Safe] <= 0.12) || !(lost[Strong] <= 0.05) {
		t.Errorf("lost on the mean: safe %.3f dB, strong %.3f dB", lost[Safe], lost[Strong])
	}
}

// refit is that of a result without exposures and poses.
func refit(data *trainer.Dataset, cfg *trainer.Config) Refit {
	return func(c *splat.Cloud, iterations int, each func() error) (*splat.Cloud, error) {
		return new(trainer.Result).Refit(*cfg, data, c, iterations, nil, each)
	}
}

// cleaned cleans dirty, which is clean with floaters behind, and returns the PSNR of what remains.
func cleaned(t *testing.T, clean, dirty *splat.Cloud, data *trainer.Dataset, cfg *trainer.Config, trained float64, level Level) float64 {
	t.Helper()
	last, calls := 0.0, 0
	got, q, report, err := Run(dirty, data, cfg, level, refit(data, cfg), func(share float64) error {
		if !(share >= last && share < 1) {
			t.Fatalf("%g of the work is done after %g", share, last)
		}
		last, calls = share, calls+1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < len(data.Train)+len(data.Test) {
		t.Errorf("%d calls for %d images", calls, len(data.Train)+len(data.Test))
	}
	stop := errors.New("stopped")
	for _, at := range []int{1, len(data.Test) + 2, calls} { // in measuring, in gathering, in the last step
		left := at
		if _, _, _, err := Run(dirty, data, cfg, level, refit(data, cfg), func(float64) error {
			if left--; left == 0 {
				return stop
			}
			return nil
		}); !errors.Is(err, stop) || left != 0 {
			t.Errorf("stopped at image %d of %d: %v", at, calls, err)
		}
	}
	left, planted := 0, dirty.Len()-clean.Len()
	for i := range got.Len() {
		for j := clean.Len(); j < dirty.Len(); j++ {
			if [3]float32(got.Means[3*i:]) == [3]float32(dirty.Means[3*j:]) {
				left++
			}
		}
	}
	t.Logf("%s: %d of %d Gaussians, of %d floaters %d are left; %.2f dB trained, %.2f dB with floaters, %.2f dB cleaned", level, got.Len(), dirty.Len(), planted, left, trained, report.PSNR, q.PSNR)
	for _, s := range report.Steps {
		t.Logf("%+v", s)
	}
	if left*10 > planted {
		t.Errorf("%s: %d of %d planted floaters are left", level, left, planted)
	}
	if !(report.PSNR < trained-0.2) {
		t.Errorf("the floaters did no harm: %.2f dB before, %.2f dB after", trained, report.PSNR)
	}
	if level == Strong && 3*got.Len() > 2*dirty.Len() {
		t.Errorf("strong left %d Gaussians of %d", got.Len(), dirty.Len())
	}
	if q.PSNR != report.Cleaned {
		t.Errorf("%s: %.2f dB cleaned, %.2f dB reported", level, q.PSNR, report.Cleaned)
	}
	if report.After != got.Len() || report.Before != dirty.Len() || got.Validate() != nil {
		t.Errorf("%+v of %d Gaussians, %v", report, got.Len(), got.Validate())
	}
	return q.PSNR
}
