package e2e

import (
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/pipeline"
)

// paintedPhotos are photos of the synthetic sample whose red channel is their inverse depth (full at 2 m), and a folder of models with
// one that reads it from there.
func paintedPhotos(t *testing.T) (photos, models string) {
	t.Helper()
	c, err := sample.New(sample.Options{Seed: 4, Frames: 48, Width: 480, Height: 270})
	if err != nil {
		t.Fatal(err)
	}
	photos, models = t.TempDir(), t.TempDir()
	for i := range 16 { // a third of the walk
		rgb, inverse := c.Frame(i), c.InverseDepth(i)
		img := image.NewRGBA(image.Rect(0, 0, 480, 270))
		for at, d := range inverse {
			img.SetRGBA(at%480, at/480, color.RGBA{uint8(math.Round(255 * min(1, 2*float64(d)))), rgb[3*at+1], rgb[3*at+2], 255})
		}
		create(t, filepath.Join(photos, sample.Name(i)), func(f *os.File) error { return jpeg.Encode(f, img, &jpeg.Options{Quality: 98}) })
	}
	d := depthtest.Descriptor()
	d.ShortSide = 266
	create(t, filepath.Join(models, d.Name+".json"), func(f *os.File) error { return json.NewEncoder(f).Encode(d) })
	create(t, filepath.Join(models, d.File), func(f *os.File) error { return dav2.StandIn(d.Mean, d.Std).Write(f) })
	return photos, models
}

func create(t *testing.T, path string, write func(*os.File) error) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A model in the local cloud's runtime: from photos through poses to aligned maps, which training uses.
func TestDepth(t *testing.T) {
	need(t, "ffmpeg", "colmap", "redis-server", "onnxruntime")
	photos, models := paintedPhotos(t)
	t.Setenv("SPLATWORKS_MODELS", models)
	dir, r := reconstruct(t, photos, "--preset", "preview", "--train-budget", "5s", "--depth", depthtest.Descriptor().Name)
	d := r.Depth
	if d == nil || d.Skipped != "" || d.Model != "stand-in" || d.Provider != "cpu" {
		t.Fatalf("depth: %+v, warnings %+v", d, r.Warnings)
	}
	t.Logf("%d of %d depth maps aligned, off by %.2f %% at the sparse points, median scale %.3g", d.Aligned, d.Images, 100*d.Residual, d.MedianScale)
	if d.Images != r.Images.Registered || d.Aligned < d.Images*3/4 {
		t.Errorf("%d of %d depth maps aligned, %d images registered", d.Aligned, d.Images, r.Images.Registered)
	}
	// The images went through JPEG, which halves the resolution of colours: the texture of the other channels leaks into
	// red. What an undisturbed channel reaches, services/depth measures.
	if !(d.Residual < 0.1) {
		t.Errorf("depth off by %.1f %% at the sparse points", 100*d.Residual)
	}
	for _, s := range r.Stages {
		switch s.Stage {
		case pipeline.Depth:
			if len(s.Tools) == 0 || s.Tools[0].Name != "onnxruntime" || s.Metrics["depth_maps"] != float64(d.Aligned) {
				t.Errorf("the depth stage's record: %+v", s)
			}
		case pipeline.Train:
			// An eighth of the images is held out and needs none.
			if got := int(s.Metrics["depth_maps"]); got < d.Aligned*3/4 || got > d.Aligned {
				t.Errorf("training used %d of %d maps", got, d.Aligned)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "depth_grid.jpg")); err != nil || info.Size() < 10_000 {
		t.Errorf("depth_grid.jpg: %v", err)
	}
	if keep := os.Getenv("SPLATWORKS_KEEP_GRID"); keep != "" {
		body, err := os.ReadFile(filepath.Join(dir, "depth_grid.jpg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(keep, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
