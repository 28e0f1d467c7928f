package colmap_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/engines/simd"
)

// sampled writes the first frames of a third of a walk around the sample and gives their true poses.
func sampled(t *testing.T, frames int) (folder string, truth *scene.Reconstruction) {
	t.Helper()
	capture, err := sample.New(sample.Options{Frames: 3 * frames, Width: 480, Height: 270})
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(t.TempDir(), "images")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range frames {
		pixels := capture.Frame(i)
		picture := image.NewRGBA(image.Rect(0, 0, 480, 270))
		for k := range 480 * 270 {
			picture.SetRGBA(k%480, k/480, color.RGBA{pixels[3*k], pixels[3*k+1], pixels[3*k+2], 255})
		}
		var encoded bytes.Buffer
		if err := jpeg.Encode(&encoded, picture, &jpeg.Options{Quality: 95}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, sample.Name(i)), encoded.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	truth = capture.Reconstruction()
	var later []string
	for i := frames; i < 3*frames; i++ {
		later = append(later, sample.Name(i))
	}
	return folder, truth.Without(later)
}

// TestGivenPoses: with poses that are known no mapper runs; points come from the model, from triangulation, or, where the poses are
// not those of the images, from chance, and the poses stay as they are.
func TestGivenPoses(t *testing.T) {
	c := installed(t)
	folder, truth := sampled(t, 8)
	bare := &scene.Reconstruction{Cameras: truth.Cameras}
	for _, im := range truth.Images {
		im.Points2D = nil
		bare.Images = append(bare.Images, im)
	}
	mirrored := &scene.Reconstruction{Cameras: bare.Cameras}
	for _, im := range bare.Images { // axes of OpenGL, taken for COLMAP's
		m := im.CamFromWorld.Matrix()
		for k := range 3 {
			m[1][k], m[2][k] = -m[1][k], -m[2][k]
		}
		im.CamFromWorld = scene.Rigid3FromCenter(m, im.Center())
		mirrored.Images = append(mirrored.Images, im)
	}
	for name, test := range map[string]struct {
		given    *scene.Reconstruction
		commands int
		warns    string
		least    int
	}{
		"with points":     {truth, 1, "", 1000},
		"without":         {bare, 4, "", 150},
		"not those poses": {mirrored, 4, "random_points", 5000},
	} {
		compared := 0 // a run of our own, where something is matched
		if test.commands > 1 && simd.Best() > simd.Plain {
			compared = 1
		}
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			r, err := c.Reconstruct(t.Context(), colmap.Plan{ImagePath: folder, WorkPath: filepath.Join(work, "colmap"), OutputPath: filepath.Join(work, "out"), Video: true,
				MaxNumFeatures: 800, Given: &colmap.Given{From: "the truth", Model: test.given}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Mapper != "given" || len(r.Runs) != test.commands+compared || len(r.Unregistered) > 0 || r.Quality.RegisteredImages != 8 || r.Quality.Points < test.least {
				t.Errorf("%+v", r)
			}
			warned := ""
			for _, w := range r.Warnings {
				warned += w.Code
			}
			if warned != test.warns {
				t.Errorf("warnings %+v", r.Warnings)
			}
			comparison, err := scene.Compare(read(t, r.SparsePath), test.given)
			if err != nil || comparison.Images != 8 || !(comparison.PositionMax < 1e-6) || !(comparison.RotationMaxDeg < 1e-4) {
				t.Errorf("poses moved: %+v, %v", comparison, err)
			}
			if world := r.World.Given; world == nil || !(distance(world.Apply(test.given.Images[0].Center()), read(t, r.SparsePath).ImageByName(sample.Name(0)).Center()) < 1e-6) {
				t.Errorf("the way from the given world: %+v", r.World)
			}
			if test.warns != "" {
				return
			}
			// Points are where the surfaces are: as far from the nearest true point as these are from each other.
			near := 0
			points := read(t, r.SparsePath).Points3D
			for _, p := range points {
				for _, q := range truth.Points3D {
					if distance(p.XYZ, r.World.Given.Apply(q.XYZ)) < 0.06 {
						near++
						break
					}
				}
			}
			if !(float64(near) > 0.9*float64(len(points))) {
				t.Errorf("%d of %d points are near the surfaces", near, len(points))
			}
		})
	}
}

func distance(a, b [3]float64) float64 {
	sum := 0.0
	for k := range 3 {
		sum += (a[k] - b[k]) * (a[k] - b[k])
	}
	return math.Sqrt(sum)
}
