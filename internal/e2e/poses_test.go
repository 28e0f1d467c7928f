package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// TestRunWithTruePoses: the sample's own poses beside its video. Nothing is looked for, and the poses come out as they went in.
func TestRunWithTruePoses(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	capture := t.TempDir()
	if code, _, stderr := splatworks(t, "sample", "-o", capture, "--frames", "16", "--width", "320", "--height", "180"); code != 0 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	truth, err := scene.Read(filepath.Join(capture, sample.SparseFolder))
	if err != nil {
		t.Fatal(err)
	}
	dir, r := reconstruct(t, filepath.Join(capture, sample.VideoFile), "--poses", filepath.Join(capture, sample.SparseFolder), "--preset", "preview", "--train-budget", "4s", "--long-edge", "320")
	if r.SfM.Mapper != "given" || r.Images.Registered != 16 || r.SfM.Points < 1000 {
		t.Errorf("images %+v, poses %+v", *r.Images, *r.SfM)
	}
	if c := poses(t, dir, truth); c.Images != 16 || !(c.PositionMax < 1e-5) || !(c.RotationMaxDeg < 1e-4) {
		t.Errorf("the poses moved: %+v", c)
	}
	if !(r.Quality.PSNRdB > 20) {
		t.Errorf("%.1f dB", r.Quality.PSNRdB)
	}
}

// TestRunWithPosesOfFox: images with the transforms.json that another program made, some of whose poses have no image.
func TestRunWithPosesOfFox(t *testing.T) {
	need(t, "ffmpeg", "colmap")
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	transforms := capturetest.Find(t, "fox/transforms.json")
	all, images := t.TempDir(), filepath.Join(t.TempDir(), "images")
	if out, err := exec.Command(ffmpeg, "-v", "error", "-i", capturetest.Find(t, "fox/fox.mp4"), "-vf", "scale=-2:480", "-q:v", "2", filepath.Join(all, "%02d.jpg")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list, err := os.ReadFile("../../engines/colmap/testdata/fox_frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(images, 0o755); err != nil {
		t.Fatal(err)
	}
	frames, err := filepath.Glob(filepath.Join(all, "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range strings.Fields(string(list)) {
		if i%3 > 0 {
			continue
		}
		if err := os.Rename(frames[i], filepath.Join(images, name+".jpg")); err != nil {
			t.Fatal(err)
		}
	}
	dir, r := reconstruct(t, images, "--poses", transforms, "--preset", "preview", "--train-budget", "5s", "--long-edge", "320")
	if r.SfM.Mapper != "given" || r.Images.Registered != 17 || r.SfM.Points < 200 || r.SfM.Matcher != "poses" {
		t.Errorf("images %+v, poses %+v", *r.Images, *r.SfM)
	}
	truth, err := scene.ReadTransforms(transforms)
	if err != nil {
		t.Fatal(err)
	}
	if c := poses(t, dir, truth); c.Images != 17 || !(c.PositionMax < 1e-4) || !(c.RotationMaxDeg < 1e-3) {
		t.Errorf("the poses moved: %+v", c)
	}
	if !(r.Quality.PSNRdB > 15) {
		t.Errorf("%.1f dB", r.Quality.PSNRdB)
	}
	warned := ""
	for _, w := range r.Warnings {
		warned += w.Code + ": " + w.Message + "\n"
	}
	if !strings.Contains(warned, "poses_without_image: 50 poses in poses/transforms.json are of images that are not there: ") {
		t.Errorf("warnings:\n%s", warned)
	}
}
