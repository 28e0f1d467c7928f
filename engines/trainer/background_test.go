package trainer

import (
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// What is transparent in the images stays empty with a random background, and is filled with the background's colour
// without: seen before another colour, only the first is right.
func TestRandomBackgroundKeepsTheEmptyEmpty(t *testing.T) {
	wrong := map[BackgroundMode]float64{}
	for _, mode := range []BackgroundMode{BackgroundFixed, BackgroundAuto} {
		d := synthetic(16, 48, 40)
		blue := [3]float32{0.2, 0.3, 0.9}
		for _, v := range append(append([]*View{}, d.Train...), d.Test...) {
			cam := v.Levels[0].Camera
			*v = *newView(v.Name, cutOut(cam, blue))
		}
		// The points that are wrong: a plate behind the ball, that nothing but the background can explain away.
		rng := rand.New(rand.NewPCG(5, 5))
		for range 400 {
			p := Point{XYZ: [3]float64{2 * rng.NormFloat64(), 1.2 * rng.NormFloat64(), 2 * rng.NormFloat64()}, RGB: [3]uint8{51, 77, 230}}
			d.Points = append(d.Points, p)
		}
		cfg := testConfig(500)
		cfg.MaxGaussians, cfg.Background, cfg.BackgroundMode = 1200, blue, mode
		res := train(t, cfg, d)
		// On the training images: one stray Gaussian before a held-out camera must not decide.
		shown, err := Evaluate(res.Cloud, d.Train, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !(shown.PSNR > 30) {
			t.Errorf("%q: %.2f dB", mode, shown.PSNR)
		}
		wrong[mode] = lightInTheEmpty(res.Cloud, d.Test)
		if want := map[bool]int{false: 0, true: len(d.Train)}[mode == BackgroundAuto]; res.Recolored != want {
			t.Errorf("%q: %d images recolored, want %d", mode, res.Recolored, want)
		}
	}
	t.Logf("light in empty pixels: %.1f with a fixed background, %.1f with a random one", wrong[BackgroundFixed], wrong[BackgroundAuto])
	if !(wrong[BackgroundAuto] < wrong[BackgroundFixed]/2) {
		t.Errorf("light in empty pixels: %.1f with a fixed background, %.1f with a random one", wrong[BackgroundFixed], wrong[BackgroundAuto])
	}
}

// A mask only hides what is around a subject; where it says what is empty, the subject is cut out. The images have a blue
// wall behind the ball, the masks hide it.
func TestEmptyBackgroundCutsTheSubjectOut(t *testing.T) {
	d := synthetic(16, 48, 40)
	var cut []*View
	for _, views := range [][]*View{d.Train, d.Test} {
		for i, v := range views {
			views[i] = newView(v.Name, cutOut(v.Levels[0].Camera, [3]float32{0.2, 0.3, 0.9}))
		}
		cut = append(cut, views...)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 400 { // of the wall
		d.Points = append(d.Points, Point{XYZ: [3]float64{2 * rng.NormFloat64(), 1.2 * rng.NormFloat64(), 2 * rng.NormFloat64()}, RGB: [3]uint8{51, 77, 230}})
	}
	dir := writeScene(t, d, nil)
	if err := os.Mkdir(filepath.Join(dir, "masks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, v := range cut {
		writePNG(t, filepath.Join(dir, "masks", v.Name+".png"), &image.Gray{Pix: v.Levels[0].Alpha, Stride: 48, Rect: image.Rect(0, 0, 48, 40)})
	}
	wrong := map[BackgroundMode]float64{}
	for _, mode := range []BackgroundMode{BackgroundAuto, BackgroundEmpty} {
		cfg := testConfig(500)
		cfg.MaxGaussians, cfg.BackgroundMode = 1200, mode
		loaded, err := Load(dir, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		res := train(t, cfg, loaded)
		shown, err := Evaluate(res.Cloud, loaded.Train, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if mode == BackgroundEmpty && !(shown.PSNR > 28) {
			t.Errorf("%.2f dB before the background that the masks leave", shown.PSNR)
		}
		wrong[mode] = lightInTheEmpty(res.Cloud, d.Test)
	}
	t.Logf("light in empty pixels: %.1f with masks that hide, %.1f with masks that cut out", wrong[BackgroundAuto], wrong[BackgroundEmpty])
	if !(wrong[BackgroundEmpty] < wrong[BackgroundAuto]/10) {
		t.Errorf("light in empty pixels: %.1f with masks that hide, %.1f with masks that cut out", wrong[BackgroundAuto], wrong[BackgroundEmpty])
	}
}

// lightInTheEmpty is the blue light before black where the views are transparent: it must be none.
func lightInTheEmpty(cloud *splat.Cloud, views []*View) (light float64) {
	for _, v := range views {
		pic := &v.Levels[0]
		img := render(cloud, &pic.Camera, &Config{Threads: 1})
		for i, alpha := range pic.Alpha {
			if alpha == 0 {
				light += float64(img.NRGBAAt(i%pic.Camera.Width, i/pic.Camera.Width).B) / 255
			}
		}
	}
	return light
}

// cutOut is a picture of the synthetic ball that is transparent around it, before a background.
func cutOut(cam raster.Camera, background [3]float32) Picture {
	e := newEngine(&Config{Threads: 1})
	f := e.renderer.Forward(raster.Pack(syntheticCloud()), &cam, raster.Options{Background: background, Transmittance: true})
	pic := Picture{Camera: cam, Alpha: make([]uint8, len(f.Transmittance))}
	for channel := range pic.Pix {
		pic.Pix[channel] = make([]uint8, len(f.Transmittance))
		for i, v := range f.Color[channel] {
			pic.Pix[channel][i] = toByte(v)
		}
	}
	for i, transmittance := range f.Transmittance {
		pic.Alpha[i] = toByte(1 - transmittance)
	}
	return pic
}
