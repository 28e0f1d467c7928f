package trainer

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

// writeScene stores a capture as image_undistorter does; spoil may change it first.
func writeScene(t *testing.T, d *Dataset, spoil func(*scene.Reconstruction)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := &scene.Reconstruction{}
	for i, v := range append(append([]*View{}, d.Train...), d.Test...) {
		pic := &v.Levels[0]
		cam := pic.Camera
		id := uint32(i + 1)
		r.Cameras = append(r.Cameras, scene.Camera{CameraID: id, Model: scene.Pinhole, Width: cam.Width, Height: cam.Height, Params: []float64{cam.Fx, cam.Fy, cam.Cx, cam.Cy}})
		r.Images = append(r.Images, scene.Image{ImageID: id, CameraID: id, Name: v.Name, CamFromWorld: scene.Rigid3{Rotation: scene.MatrixQuaternion(cam.R), Translation: cam.T}})
		writePNG(t, filepath.Join(dir, "images", v.Name), pic.Image())
	}
	for i, p := range d.Points {
		point := scene.Point3D{Point3DID: uint64(i + 1), XYZ: p.XYZ, RGB: p.RGB}
		for k, v := range append(append([]*View{}, d.Train...), d.Test...) {
			if !slices.Contains(v.Matched, int32(i)) {
				continue
			}
			im := &r.Images[k]
			point.Track = append(point.Track, scene.TrackElement{ImageID: im.ImageID, Point2DIdx: uint32(len(im.Points2D))})
			im.Points2D = append(im.Points2D, scene.Point2D{Point3DID: point.Point3DID})
		}
		r.Points3D = append(r.Points3D, point)
	}
	if spoil != nil {
		spoil(r)
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

func writePNG(t *testing.T, name string, img image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	want := synthetic(16, 40, 30)
	cfg := testConfig(10)
	got, err := Load(writeScene(t, want, nil), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Train) != 14 || len(got.Test) != 2 || got.Test[1].Name != "view_008.png" {
		t.Fatalf("%d training and %d test views", len(got.Train), len(got.Test))
	}
	if len(got.Points) != len(want.Points) || !(math.Abs(got.Extent-2.3) < 0.2) { // to the near side of the ball
		t.Errorf("%d points, extent %.2f; want %d and about 2.3", len(got.Points), got.Extent, len(want.Points))
	}
	for i, v := range got.Train {
		if !slices.Equal(v.Matched, want.Train[i].Matched) {
			t.Errorf("%s: matched points %v, want %v", v.Name, v.Matched, want.Train[i].Matched)
		}
		for level := range v.Levels {
			a, b := &v.Levels[level], &want.Train[i].Levels[level]
			if !bytes.Equal(a.Pix[1], b.Pix[1]) || a.Camera.Width != b.Camera.Width || math.Abs(a.Camera.Fx-b.Camera.Fx) > 1e-9 {
				t.Errorf("%s, level %d: the picture changed on the way through files", v.Name, level)
			}
			if !(a.Camera.Near > 0) {
				t.Errorf("near plane %v", a.Camera.Near)
			}
		}
	}
}

func TestLoadScalesTheCameraWithTheImage(t *testing.T) {
	cfg := testConfig(10)
	small := writeScene(t, synthetic(9, 40, 30), func(r *scene.Reconstruction) {
		for i := range r.Cameras {
			r.Cameras[i] = r.Cameras[i].Rescaled(120, 90)
		}
	})
	d, err := Load(small, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if cam := d.Train[0].Levels[0].Camera; cam.Width != 40 || math.Abs(cam.Fx-40) > 1e-9 || math.Abs(cam.Cy-15) > 1e-9 {
		t.Errorf("camera %+v", cam)
	}
	cfg.MaxSide = 32
	if d, err = Load(writeScene(t, synthetic(9, 64, 48), nil), &cfg); err != nil {
		t.Fatal(err)
	}
	if cam := d.Train[0].Levels[0].Camera; cam.Width != 32 || cam.Height != 24 || math.Abs(cam.Fx-32) > 1e-9 {
		t.Errorf("camera under max_side: %+v", cam)
	}
}

func TestLoadRefuses(t *testing.T) {
	cfg := testConfig(10)
	for name, test := range map[string]struct {
		spoil func(*scene.Reconstruction)
		files func(dir string) error
		want  string
	}{
		"distorted": {func(r *scene.Reconstruction) {
			r.Cameras[3].Model, r.Cameras[3].Params = scene.SimpleRadial, []float64{40, 20, 15, 0.1}
		}, nil, "undistort"},
		"missing image": {nil, func(dir string) error { return os.Remove(filepath.Join(dir, "images", "view_002.png")) }, "view_002.png"},
		"text for an image": {nil, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "images", "view_002.png"), []byte("hello"), 0o644)
		}, "decode"},
		"other shape": {func(r *scene.Reconstruction) { r.Cameras[0].Width = 99 }, nil, "99x30"},
		"no images": {func(r *scene.Reconstruction) {
			r.Images, r.Points3D = nil, nil
		}, nil, "no images"},
		"no model": {nil, func(dir string) error { return os.RemoveAll(filepath.Join(dir, "sparse")) }, "model"},
	} {
		dir := writeScene(t, synthetic(9, 40, 30), test.spoil)
		if test.files != nil {
			if err := test.files(dir); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(dir, &cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
	}
}

// A mask hides a moving thing: training with a wrong patch under a mask is as good as without the patch.
func TestMaskHides(t *testing.T) {
	cfg := testConfig(300)
	spoiled := func(masked bool) float64 {
		d := synthetic(16, 48, 40)
		dir := writeScene(t, d, nil)
		for _, v := range d.Train {
			img, mask := v.Levels[0].Image(), image.NewGray(image.Rect(0, 0, 48, 40))
			for y := range 40 {
				for x := range 48 {
					mask.SetGray(x, y, color.Gray{255})
					if x > 14 && x < 30 && y > 10 && y < 26 {
						img.SetNRGBA(x, y, color.NRGBA{255, 0, 255, 255})
						mask.SetGray(x, y, color.Gray{0})
					}
				}
			}
			writePNG(t, filepath.Join(dir, "images", v.Name), img)
			if masked {
				if err := os.MkdirAll(filepath.Join(dir, "masks"), 0o755); err != nil {
					t.Fatal(err)
				}
				writePNG(t, filepath.Join(dir, "masks", v.Name+".png"), mask)
			}
		}
		loaded, err := Load(dir, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		return train(t, cfg, loaded).Held.PSNR
	}
	with, without := spoiled(true), spoiled(false)
	if !(with > without+3) {
		t.Errorf("%.2f dB with masks, %.2f without: want 3 dB more", with, without)
	}
}

func TestAlphaShowsTheBackground(t *testing.T) {
	d := synthetic(9, 16, 12)
	dir := writeScene(t, d, nil)
	img := image.NewNRGBA(image.Rect(0, 0, 16, 12))
	img.SetNRGBA(3, 4, color.NRGBA{200, 100, 50, 255})
	img.SetNRGBA(5, 6, color.NRGBA{200, 100, 0, 128})
	writePNG(t, filepath.Join(dir, "images", d.Train[0].Name), img)
	cfg := testConfig(10)
	cfg.Background = [3]float32{0, 0, 1}
	got, err := Load(dir, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	pic := &got.Train[0].Levels[0]
	for _, want := range []struct{ x, y, r, g, b int }{{3, 4, 200, 100, 50}, {0, 0, 0, 0, 255}, {5, 6, 100, 50, 127}} {
		i := want.y*16 + want.x
		for channel, v := range []int{want.r, want.g, want.b} {
			if diff := int(pic.Pix[channel][i]) - v; diff < -1 || diff > 1 {
				t.Errorf("pixel (%d, %d), channel %d: %d, want %d", want.x, want.y, channel, pic.Pix[channel][i], v)
			}
		}
	}
}

func TestMemoryBudgetShrinksImages(t *testing.T) {
	cfg := testConfig(10)
	cfg.MemoryBytes = 64 << 20
	r := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Width: 1000, Height: 750}}}
	images := make([]scene.Image, 20)
	for i := range images {
		images[i].CameraID = 1
	}
	for _, channels := range []int{3, 4} {
		factor := memoryShrink(r, images, channels, &cfg)
		pixels := 1000 * 750 / (factor * factor)
		bytes := 20*float64(channels)*pyramid*pixels + bytesPerFramePixel*pixels + float64(cfg.MaxGaussians)*bytesPerGaussian
		if !(bytes <= 56<<20+1 && bytes > 55<<20) {
			t.Errorf("%d channels: factor %.2f fills %.1f MiB of 56", channels, factor, bytes/(1<<20))
		}
	}
	cfg.MemoryBytes = 4 << 30
	if factor := memoryShrink(r, images, 3, &cfg); factor != 1 {
		t.Errorf("factor %v with memory to spare", factor)
	}
}

func TestAverageAreasKeepsTheMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][4]int{{40, 30, 40, 30}, {40, 30, 17, 11}, {7, 1, 3, 1}, {50, 40, 1, 1}} {
		src := make([]uint8, size[0]*size[1])
		sum := 0.0
		for i := range src {
			src[i] = uint8(rng.IntN(256))
			sum += float64(src[i])
		}
		mean := sum / float64(len(src))
		dst := averageAreas(src, size[0], size[1], size[2], size[3])
		sum = 0
		for _, v := range dst {
			sum += float64(v)
		}
		// Rounding to whole values is off by at most a half each and cancels in the mean of many.
		if got := sum / float64(len(dst)); !(math.Abs(got-mean) <= 0.5) {
			t.Errorf("%v: mean %.2f became %.2f", size, mean, got)
		}
	}
}

func TestNeighbourSpacingMatchesBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 3, 4, 300} {
		points := make([][3]float64, n)
		for i := range points {
			points[i] = [3]float64{rng.NormFloat64(), rng.NormFloat64(), math.Floor(2 * rng.NormFloat64())}
		}
		got := neighbourSpacing(points)
		for i := range points {
			var all []float64
			for j := range points {
				if j != i {
					all = append(all, distance(points[i], points[j]))
				}
			}
			want := 0.0
			if len(all) > 0 {
				median(all) // sorts
				all = all[:min(3, len(all))]
				for _, d := range all {
					want += d * d / float64(len(all))
				}
				want = math.Sqrt(want)
			}
			if !(math.Abs(got[i]-want) <= 1e-12) {
				t.Fatalf("point %d of %d: %g, want %g", i, n, got[i], want)
			}
		}
	}
}
