package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// These tests film the sample with something going wrong and follow it through the choice of frames to poses, and to a
// splat where frames matter for it.

// filmed writes a capture, chooses its frames and extracts images of them.
type filmed struct {
	capture   *frames.Capture
	selection frames.Selection
	report    frames.Report
	images    []frames.Image
	dir       string // of the images
	truth     *scene.Reconstruction
}

func film(t *testing.T, o sample.Options, choose frames.SelectOptions) filmed {
	t.Helper()
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		t.Skip(err)
	}
	ffprobe, err := toolchain.Locate("ffprobe")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := sample.Write(t.Context(), ffmpeg, o, dir, nil); err != nil {
		t.Fatal(err)
	}
	f := filmed{dir: filepath.Join(dir, "images")}
	if f.truth, err = scene.Read(filepath.Join(dir, sample.SparseFolder)); err != nil {
		t.Fatal(err)
	}
	if f.capture, err = frames.Open(t.Context(), frames.Tools{FFmpeg: ffmpeg, FFprobe: ffprobe}, filepath.Join(dir, sample.VideoFile), "", frames.Limits{}); err != nil {
		t.Fatal(err)
	}
	if f.selection, f.report, err = f.capture.Choose(t.Context(), choose, nil); err != nil {
		t.Fatal(err)
	}
	if f.images, err = f.capture.Extract(t.Context(), f.selection, f.dir, 640, nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// Whatever goes wrong while filming, what is chosen from it finds its place: at least 95 % of the images, where they were.
func TestTroubledCapturesRegister(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	program, err := toolchain.Locate("colmap")
	if err != nil {
		t.Skip(err)
	}
	landscape := sample.Options{Seed: 4, Frames: 40, Width: 480, Height: 270}
	portrait := sample.Options{Seed: 4, Frames: 40, Width: 270, Height: 480}
	for _, test := range []struct {
		options  sample.Options
		troubles []sample.Disturbance
		views    int
	}{
		{landscape, []sample.Disturbance{sample.MotionBlur}, 1},
		{landscape, []sample.Disturbance{sample.ExposureSteps, sample.VariableRate}, 1},
		{portrait, []sample.Disturbance{sample.Rotated, sample.RollingStart}, 1},
		{landscape, []sample.Disturbance{sample.Static, sample.TenBit}, 1},
		{sample.Options{Seed: 4, Frames: 12, Width: 1280, Height: 640}, []sample.Disturbance{sample.Spherical}, 6},
	} {
		t.Run(fmt.Sprint(test.troubles), func(t *testing.T) {
			o := test.options
			o.Disturbances = test.troubles
			f := film(t, o, frames.SelectOptions{})
			if least := o.Frames / 2 * test.views; len(f.images) < least {
				t.Errorf("only %d of %d frames were chosen", len(f.images), o.Frames)
			}
			if slices.Contains(test.troubles, sample.Static) && len(f.images) > o.Frames*3/4+1 {
				t.Errorf("%d images, though a quarter of %d shows the same", len(f.images), o.Frames)
			}
			var known []colmap.ImageInput
			for _, m := range f.images {
				input := colmap.ImageInput{Name: m.Name, Camera: m.Camera, FocalLengthPx: m.FocalLengthPx, Frame: true}
				if v := m.View; v != nil {
					input.Sensor = &colmap.Sensor{Number: v.Number, Frame: v.Of, CamFromRig: v.CamFromRig}
				}
				known = append(known, input)
			}
			features := 1500 // enough for pictures of this size, and matching is what takes long
			if test.views > 1 {
				features = 1000
			}
			work := t.TempDir()
			c := colmap.Colmap{Path: program, RandomSeed: 1}
			r, err := c.Reconstruct(t.Context(), colmap.Plan{
				ImagePath: f.dir, MaskPath: frames.MasksBeside(f.dir), WorkPath: filepath.Join(work, "work"), OutputPath: filepath.Join(work, "out"),
				Video: f.capture.Video() && f.images[0].View == nil, Images: known, UndistortedSize: 480,
				MaxNumFeatures: features,
			})
			if err != nil {
				t.Fatal(err)
			}
			model, err := scene.Read(r.SparsePath)
			if err != nil {
				t.Fatal(err)
			}
			compared, err := scene.Compare(model, f.truth)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d of %d frames chosen, %d of %d images registered by %s, rotations off by %.3f degree, positions by %.2f %% of the orbit's radius",
				len(f.selection.Frames), o.Frames, r.Quality.RegisteredImages, len(f.images), r.Mapper, compared.RotationMedianDeg, 100*compared.PositionRMSE/sample.OrbitRadius)
			cpuS := map[string]int{}
			for _, run := range r.Runs {
				cpuS[run.Command] += int(run.CPUS + 0.5)
			}
			t.Logf("CPU seconds: %v", cpuS)
			if 100*r.Quality.RegisteredImages < 95*len(f.images) {
				t.Errorf("%d of %d images registered; not %v", r.Quality.RegisteredImages, len(f.images), r.Unregistered)
			}
			if !(compared.RotationMedianDeg < 0.5) || !(compared.PositionRMSE < 0.01*sample.OrbitRadius) {
				t.Errorf("rotations are off by %.3f degree, positions by %.2f %%", compared.RotationMedianDeg, 100*compared.PositionRMSE/sample.OrbitRadius)
			}
		})
	}
}

// Where a third of the frames is blurred, the chosen ones make a better splat than as many at even distances: trained with
// the same true cameras for as long, and compared at sharp pictures that lie between the frames.
func TestChosenFramesBeatEvenOnes(t *testing.T) {
	need(t, "ffmpeg")
	o := sample.Options{Seed: 3, Frames: 144, Width: 320, Height: 180, Disturbances: []sample.Disturbance{sample.MotionBlur}}
	f := film(t, o, frames.SelectOptions{MaxImages: 36, KeepAll: 36})
	between := film(t, sample.Options{Seed: o.Seed, Frames: 19, Width: o.Width, Height: o.Height}, frames.SelectOptions{})
	capture, err := sample.New(o)
	if err != nil {
		t.Fatal(err)
	}
	n := len(f.selection.Frames)
	chosen, even := map[string]bool{}, map[string]bool{}
	blurred := [2]int{}
	note := func(set map[string]bool, which, i int) {
		set[frames.FrameName(i)] = true
		if capture.Blurred(i) {
			blurred[which]++
		}
	}
	for k, frame := range f.selection.Frames {
		note(chosen, 0, frame.Index)
		note(even, 1, (2*k+1)*o.Frames/(2*n))
	}
	// All frames, as the videos show them.
	for _, f := range []filmed{f, between} {
		var all frames.Selection
		for i := range f.truth.Images {
			all.Frames = append(all.Frames, frames.Frame{Index: i})
		}
		if _, err := f.capture.Extract(t.Context(), all, f.dir, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	config, err := trainer.Defaults(trainer.Preview)
	if err != nil {
		t.Fatal(err)
	}
	config.HoldOut, config.Iterations, config.MaxGaussians = 0, 1500, 15_000
	held, err := trainer.FromModel(between.truth, between.dir, &config)
	if err != nil {
		t.Fatal(err)
	}
	train := func(with map[string]bool) float64 {
		data, err := trainer.FromModel(f.truth, f.dir, &config)
		if err != nil {
			t.Fatal(err)
		}
		views := data.Train
		data.Train, data.Test = nil, held.Train
		for i, v := range views {
			if with[frames.FrameName(i)] {
				data.Train = append(data.Train, v)
			}
		}
		if len(data.Train) != n || len(data.Test) != 19 {
			t.Fatalf("%d for training, %d held out", len(data.Train), len(data.Test))
		}
		start := time.Now()
		r, err := trainer.Train(t.Context(), config, data, nil, trainer.Hooks{Clock: func() time.Duration { return time.Since(start) }})
		if err != nil {
			t.Fatal(err)
		}
		return r.Held.PSNR
	}
	good, plain := train(chosen), train(even)
	t.Logf("%d of %d frames; blurred: %d of the chosen, %d of the even; held-out PSNR %.2f dB against %.2f dB: %+.2f dB", n, o.Frames, blurred[0], blurred[1], good, plain, good-plain)
	if blurred[0] >= blurred[1] || !(good > plain) {
		t.Errorf("chosen frames: %.2f dB, even ones: %.2f dB", good, plain)
	}
}
