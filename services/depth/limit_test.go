//go:build linux && cgo

package depth_test

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/depth/depthtest"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/depth"
)

// limited names the weights to a child of this test, whose data segment may have 2 GiB.
const limited = "SPLATWORKS_TEST_LIMITED"

// The whole stage over three hundred images with a network of Depth-Anything-V2 Small's weights, in a
// process that gets 2 GiB of writable memory (RLIMIT_DATA; addresses that are only reserved do not count). The network's
// input is small, for the sake of time.
func TestThreeHundredImagesInTwoGiB(t *testing.T) {
	if testing.Short() {
		t.Skip("three hundred images")
	}
	library, err := toolchain.Locate("onnxruntime")
	if err != nil {
		t.Skip(err)
	}
	d := depthtest.Descriptor()
	d.Name, d.ShortSide = "vits", 98
	weights := os.Getenv(limited)
	if weights == "" {
		weights = filepath.Join(t.TempDir(), d.File)
		f, err := os.Create(weights)
		if err != nil {
			t.Fatal(err)
		}
		if err := dav2.Graph(dav2.ViTS(), dav2.Draw(dav2.ViTS(), 1)).Write(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", `ulimit -d 2097152 && exec "$0" -test.run '^TestThreeHundredImagesInTwoGiB$' -test.v`, os.Args[0])
		cmd.Env = append(os.Environ(), limited+"="+weights)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	w := newWorld(t, pipeline.Options{}, depth.Config{Model: d.Name, Open: func(ctx context.Context, _ string) (engine.Estimator, error) {
		return engine.Open(ctx, weights, d, engine.Options{Library: library, Provider: engine.CPU, Threads: 2})
	}})
	w.Give(artifacts.Scene, manyImages(t, 300))
	w.Work()
	part := w.Report().Depth
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d images, %s, peak memory %d MiB", part.Images, part.Provider, u.Maxrss>>10)
	if part.Images != 300 {
		t.Errorf("report %+v", part)
	}
}

// manyImages is a scene folder of images without points: none can be aligned.
func manyImages(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	img := image.NewYCbCr(image.Rect(0, 0, 1088, 816), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = uint8(i % 251)
	}
	if err := jpeg.Encode(&body, img, nil); err != nil {
		t.Fatal(err)
	}
	model := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 1088, Height: 816, Params: []float64{1000, 1000, 544, 408}}}}
	for i := range n {
		model.Images = append(model.Images, scene.Image{ImageID: uint32(i + 1), CameraID: 1, Name: sample.Name(i), CamFromWorld: scene.Rigid3{Rotation: [4]float64{1, 0, 0, 0}}})
		if err := os.WriteFile(filepath.Join(dir, "images", sample.Name(i)), body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := model.Write(filepath.Join(dir, "sparse")); err != nil {
		t.Fatal(err)
	}
	return dir
}
