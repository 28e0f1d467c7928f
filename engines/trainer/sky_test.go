package trainer

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// skyScene is the synthetic ball under a cloudy sky, 100 units away, of which no sparse point is known. With depth, every
// training view has a map that knows the sky.
func skyScene(t *testing.T, depth bool) *Dataset {
	t.Helper()
	ball := syntheticCloud()
	const small = 0.4 // so that sky is seen around it
	for i := range ball.Means {
		ball.Means[i] *= small
		ball.LogScales[i] += float32(math.Log(small))
	}
	const dome = 3000
	truth := splat.New(ball.Len()+dome, 0, splat.Mip)
	copy(truth.Means, ball.Means)
	copy(truth.LogScales, ball.LogScales)
	copy(truth.Quats, ball.Quats)
	copy(truth.Opacities, ball.Opacities)
	copy(truth.DC, ball.DC)
	rng := rand.New(rand.NewPCG(8, 8))
	for i := range dome {
		at := ball.Len() + i
		place := fibonacci(i, dome)
		shade := 2*math.Sin(7*place[0])*math.Cos(6*place[2]) + 0.3*rng.NormFloat64()
		for k, u := range place {
			truth.Means[3*at+k] = float32(100 * u)
			truth.LogScales[3*at+k] = float32(math.Log(4))
			truth.DC[3*at+k] = float32(0.5*shade + 0.5*float64(k))
		}
		truth.Quats[4*at] = 1
		truth.Opacities[at] = 3
	}
	d := synthetic(24, 96, 72)
	known := d.Points
	d.Points = nil
	for range 1 + fewPoints/len(known) { // enough, so that no random ones are added
		for _, p := range known {
			for k := range p.XYZ {
				p.XYZ[k] = small*p.XYZ[k] + 0.02*rng.NormFloat64()
			}
			d.Points = append(d.Points, p)
		}
	}
	for _, views := range [][]*View{d.Train, d.Test} {
		for i, v := range views {
			cam := v.Levels[0].Camera
			pix, _, _ := simd.Planes(Render(truth, &cam, &Config{Threads: 1}))
			views[i] = newView(v.Name, Picture{Camera: cam, Pix: pix})
		}
	}
	if depth {
		for _, v := range d.Train {
			cam := &v.Levels[0].Camera
			near := Render(ball, cam, &Config{Threads: 1})
			values := make([]float32, cam.Width*cam.Height)
			for i := range values {
				c := near.NRGBAAt(i%cam.Width, i/cam.Width)
				if c.R > 8 || c.G > 8 || c.B > 8 {
					values[i] = 1.0 / 3
				}
			}
			if err := d.AttachInverseDepth(v.Name, cam.Width, cam.Height, values); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

// A sphere of Gaussians far behind the scene is worth more than fog in front of the cameras.
func TestSkySphereHelps(t *testing.T) {
	psnr := map[SkyMode]float64{}
	far := map[SkyMode]int{}
	for _, mode := range []SkyMode{SkyOff, SkyOn} {
		cfg := testConfig(400)
		cfg.MaxGaussians, cfg.Sky = 4000, mode
		res := train(t, cfg, skyScene(t, false))
		psnr[mode] = res.Held.PSNR
		if (res.Sky > 0) != (mode == SkyOn) {
			t.Errorf("%q: %d Gaussians of the sky", mode, res.Sky)
		}
		for i := range res.Cloud.Len() {
			m := res.Cloud.Means[3*i : 3*i+3]
			if distance([3]float64{float64(m[0]), float64(m[1]), float64(m[2])}, [3]float64{}) > 20 {
				far[mode]++
			}
		}
	}
	t.Logf("%.2f dB without, %.2f with; %d and %d far Gaussians", psnr[SkyOff], psnr[SkyOn], far[SkyOff], far[SkyOn])
	if !(psnr[SkyOn] > psnr[SkyOff]+1) {
		t.Errorf("%.2f dB with a sky, %.2f without: want 1 dB more", psnr[SkyOn], psnr[SkyOff])
	}
	if far[SkyOff] != 0 || far[SkyOn] < 100 {
		t.Errorf("%d far Gaussians with a sky, %d without", far[SkyOn], far[SkyOff])
	}
}

// A run that is resumed still knows that it began with a sky.
func TestCheckpointKeepsTheSky(t *testing.T) {
	cfg := testConfig(400)
	cfg.MaxGaussians, cfg.Sky = 4000, SkyOn
	run := newTraining(cfg, skyScene(t, false), Hooks{Clock: ticking(time.Millisecond)})
	run.start()
	var checkpoint bytes.Buffer
	if err := run.write(&checkpoint); err != nil {
		t.Fatal(err)
	}
	resumed := newTraining(cfg, run.data, run.hooks)
	if err := resumed.read(&checkpoint); err != nil {
		t.Fatal(err)
	}
	if resumed.sky != run.sky || run.sky < 100 {
		t.Errorf("%d Gaussians of the sky, %d before", resumed.sky, run.sky)
	}
}

// By itself the sphere comes only where depth maps know of a sky.
func TestSkyAuto(t *testing.T) {
	for _, test := range []struct {
		name string
		data *Dataset
		mode SkyMode
		want bool
	}{
		{"no depth maps", skyScene(t, false), SkyAuto, false},
		{"depth maps with sky", skyScene(t, true), SkyAuto, true},
		{"off", skyScene(t, true), SkyOff, false},
		{"on", skyScene(t, false), SkyOn, true},
	} {
		points, spacing := skyPoints(test.data, test.mode, 2000)
		if (len(points) > 0) != test.want {
			t.Errorf("%s: %d points", test.name, len(points))
		}
		for _, p := range points {
			if !(distance(p.XYZ, [3]float64{}) > skyFar*test.data.Extent) || !(spacing > 0) {
				t.Fatalf("%s: a point of the sky at %v, spacing %v", test.name, p.XYZ, spacing)
			}
		}
	}
}

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
		if !(res.Held.PSNR > 20) {
			t.Errorf("%q: %.2f dB", mode, res.Held.PSNR)
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

// lightInTheEmpty is the blue light before black where the views are transparent: it must be none.
func lightInTheEmpty(cloud *splat.Cloud, views []*View) (light float64) {
	for _, v := range views {
		pic := &v.Levels[0]
		img := Render(cloud, &pic.Camera, &Config{Threads: 1})
		for i, alpha := range pic.Alpha {
			if alpha == 0 {
				light += float64(img.NRGBAAt(i%pic.Camera.Width, i/pic.Camera.Width).B) / 255
			}
		}
	}
	return light
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
		if mode == BackgroundEmpty && !(res.Held.PSNR > 20) {
			t.Errorf("%.2f dB before the background that the masks leave", res.Held.PSNR)
		}
		wrong[mode] = lightInTheEmpty(res.Cloud, d.Test)
	}
	t.Logf("light in empty pixels: %.1f with masks that hide, %.1f with masks that cut out", wrong[BackgroundAuto], wrong[BackgroundEmpty])
	if !(wrong[BackgroundEmpty] < wrong[BackgroundAuto]/10) {
		t.Errorf("light in empty pixels: %.1f with masks that hide, %.1f with masks that cut out", wrong[BackgroundAuto], wrong[BackgroundEmpty])
	}
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
