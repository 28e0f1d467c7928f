package trainer

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

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
			pix, _, _ := simd.Planes(render(truth, &cam, &Config{Threads: 1}))
			views[i] = newView(v.Name, Picture{Camera: cam, Pix: pix})
		}
	}
	if depth {
		for _, v := range d.Train {
			cam := &v.Levels[0].Camera
			near := render(ball, cam, &Config{Threads: 1})
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

// By default the sphere is added only where depth maps show a sky.
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
