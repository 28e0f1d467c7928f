package trainer

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

// A capture of 300 images of 1600×1067 pixels with a million Gaussians is trained at full size within 4 GiB of resident
// memory. The test has a third of the sides, and a ninth of all the rest.
func TestMemoryBudgetHolds(t *testing.T) {
	if testing.Short() {
		t.Skip("trains 300 images in a process of its own")
	}
	peak := capacityMiB(t, 3)
	if most := 4096.0 / 9; !(peak <= most) {
		t.Errorf("the process took %.0f MiB, its budget is %.0f MiB", peak, most)
	}
}

// BenchmarkMemory is the same at its full size: a minute or two of both processors.
func BenchmarkMemory(b *testing.B) {
	peak := capacityMiB(b, 1)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(peak, "peak-MiB")
	b.ReportMetric(peak/4096, "x-budget")
}

// capacityMiB trains a capture whose sides are divided by scale, and the rest by its square, in a process of its own, and
// returns that one's largest resident set.
func capacityMiB(t testing.TB, scale int) float64 {
	t.Helper()
	gaussians := 1_000_000 / (scale * scale)
	dir := manyImages(t, 300, 1600/scale, 1067/scale, gaussians*4/5)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-test.run=^TestSceneQuality$", "-test.v", "-scene="+dir, "-its=24", "-holdout=150",
		fmt.Sprintf("-gaussians=%d", gaussians), "-side=1600", fmt.Sprintf("-memory=%d", 4096/(scale*scale))).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", regexp.MustCompile(`RESULT.*`).Find(out))
	if !bytes.Contains(out, fmt.Appendf(nil, "at %dx%d pixels", 1600/scale, 1067/scale)) || bytes.Contains(out, []byte("are trained at")) {
		t.Errorf("the images were made smaller:\n%s", out)
	}
	found := regexp.MustCompile(`n (\d+) .*peak (\d+) MiB`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no result:\n%s", out)
	}
	n, _ := strconv.Atoi(string(found[1]))
	if n < gaussians*9/10 {
		t.Errorf("%d Gaussians of %d: the measurement says nothing", n, gaussians)
	}
	peak, err := strconv.ParseFloat(string(found[2]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return peak
}

// manyImages writes a scene whose images, many names of one file, are of noise, and whose points fill the view.
func manyImages(t testing.TB, images, width, height, points int) string {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 6))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := 128 + 80*math.Sin(float64(x)/9)*math.Cos(float64(y)/7) + 20*rng.NormFloat64()
			img.SetRGBA(x, y, color.RGBA{uint8(min(max(v, 0), 255)), uint8(x * 255 / width), uint8(y * 255 / height), 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, nil); err != nil {
		t.Fatal(err)
	}
	r := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: width, Height: height,
		Params: []float64{float64(width), float64(width), float64(width) / 2, float64(height) / 2}}}}
	first := filepath.Join(folder, "0000.jpg")
	if err := os.WriteFile(first, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range images {
		name := fmt.Sprintf("%04d.jpg", i)
		if i > 0 {
			if err := os.Link(first, filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
		cam := ringCamera(2*math.Pi*float64(i)/float64(images), width, height)
		r.Images = append(r.Images, scene.Image{ImageID: uint32(i + 1), CameraID: 1, Name: name,
			CamFromWorld: scene.Rigid3{Rotation: scene.MatrixQuaternion(cam.R), Translation: cam.T}})
	}
	for i := range points {
		p := [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		length := math.Sqrt(dot3(p, p))
		for k := range p {
			p[k] /= length // on a surface, as what structure from motion finds
		}
		r.Points3D = append(r.Points3D, scene.Point3D{Point3DID: uint64(i + 1), XYZ: p, RGB: [3]uint8{uint8(i), 128, 90}})
	}
	sparse := filepath.Join(dir, "sparse")
	if err := os.MkdirAll(sparse, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(sparse); err != nil {
		t.Fatal(err)
	}
	return dir
}
