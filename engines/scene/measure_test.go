package scene

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// distorted is the pixel of a point of the camera frame: COLMAP's OPENCV, of which SIMPLE_RADIAL and RADIAL are special cases.
func distorted(c *Camera, p [3]float64) (u, v float64) {
	k := [4]float64{}
	switch c.Model {
	case SimpleRadial, Radial:
		copy(k[:], c.Params[3:])
	case OpenCV:
		copy(k[:], c.Params[4:])
	}
	x, y := p[0]/p[2], p[1]/p[2]
	r2 := x*x + y*y
	radial := k[0]*r2 + k[1]*r2*r2
	fx, fy, cx, cy := c.Intrinsics()
	return fx*(x+x*radial+2*k[2]*x*y+k[3]*(r2+2*x*x)) + cx, fy*(y+y*radial+2*k[3]*x*y+k[2]*(r2+2*y*y)) + cy
}

func TestUnprojectUndoesDistortion(t *testing.T) {
	for _, c := range []Camera{
		{Model: SimplePinhole, Params: []float64{500, 320, 250}}, {Model: Pinhole, Params: []float64{500, 510, 320, 250}},
		{Model: SimpleRadial, Params: []float64{500, 320, 250, -0.2}}, {Model: Radial, Params: []float64{500, 320, 250, -0.2, 0.05}},
		{Model: OpenCV, Params: []float64{500, 510, 320, 250, 0.1, -0.05, 0.003, -0.002}},
	} {
		for _, at := range [][2]float64{{0, 0}, {0.6, 0.45}, {-0.6, 0.2}} {
			u, v := distorted(&c, [3]float64{at[0] * 3, at[1] * 3, 3})
			if x, y, err := c.Unproject(u, v); err != nil || !(math.Hypot(x-at[0], y-at[1]) < 1e-9) {
				t.Errorf("%v: %v became %g, %g, %v", c.Model, at, x, y, err)
			}
		}
	}
	for _, c := range []Camera{{Model: OpenCVFisheye, Params: make([]float64, 8)}, {Model: Pinhole, Params: []float64{1}}, {Model: SimpleRadial, Params: []float64{500, 320, 250, -3}}} {
		if x, y, err := c.Unproject(640, 480); err == nil {
			t.Errorf("%v: %g, %g", c.Model, x, y)
		}
	}
}

// marked is a capture with a distance of 0.5 between two points of its own world, as two of its images show them.
func marked(rng *rand.Rand) (*Reconstruction, *Distance) {
	r := handheld(30, rng, orbit(30, 360))
	r.Cameras[0] = Camera{CameraID: 1, Model: OpenCV, Width: 640, Height: 480, Params: []float64{500, 500, 320, 240, 0.05, -0.02, 0.001, -0.001}}
	d := &Distance{Metres: 2}
	for e, p := range [2][3]float64{{-0.2, 0.1, 0.3}, {0.1, 0.1, -0.1}} {
		for k, i := range [2]int{3, 8} {
			u, v := distorted(&r.Cameras[0], r.Images[i].CamFromWorld.Apply(p))
			d.Ends[e].Seen[k] = Sight{r.Images[i].Name, u, v, 1}
		}
	}
	return r, d
}

// A known distance makes the unit a metre, in whatever frame structure from motion found the scene, and its uncertainty is what marks of
// a pixel's error do to it.
func TestKnownDistance(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	capture, d := marked(rng)
	const metres = 4 // a unit of the capture
	moved := capture.Moved(randomSimilarity(rng))
	settled, world, err := moved.Settle(nil, nil, Asked{Distance: d})
	if err != nil || world.Refused != "" || world.Unit != UnitMetre || world.ScaleFrom != "distance" || world.ScaleM != 1 || world.UnitErrorPct != 0 {
		t.Fatalf("%+v, %v", world, err)
	}
	scaleOf := func(r *Reconstruction) float64 {
		c, err := Compare(r, capture)
		if err != nil {
			t.Fatal(err)
		}
		return 1 / c.Similarity.Scale
	}
	if scale := scaleOf(settled); !(math.Abs(scale/metres-1) < 1e-6) {
		t.Errorf("a unit is %g m, want %d", scale, metres)
	}
	squares, n := 0.0, 300
	for range n {
		noisy := *d
		for e := range noisy.Ends {
			for k := range noisy.Ends[e].Seen {
				noisy.Ends[e].Seen[k].X += rng.NormFloat64()
				noisy.Ends[e].Seen[k].Y += rng.NormFloat64()
			}
		}
		length, _, err := capture.length(&noisy)
		if err != nil {
			t.Fatal(err)
		}
		squares += (length/0.5 - 1) * (length/0.5 - 1)
	}
	if measured := 100 * math.Sqrt(squares/float64(n)); !(math.Abs(world.ScaleErrorPct/measured-1) < 0.15) {
		t.Errorf("the scale is said to be off by %.2f %%, it is by %.2f %%", world.ScaleErrorPct, measured)
	}

	// The same distance between points of the world that is settled without it.
	plain, before, err := moved.Settle(nil, nil, Asked{})
	if err != nil {
		t.Fatal(err)
	}
	between := &Distance{Metres: 3, Ends: [2]End{{Point: plain.Points3D[0].XYZ}, {Point: plain.Points3D[1].XYZ}}}
	again, world, err := moved.Settle(nil, nil, Asked{Distance: between})
	if err != nil || world.Unit != UnitMetre || before.Unit != UnitViewDistance {
		t.Fatalf("%+v, %v", world, err)
	}
	if length := norm(sub(again.Points3D[0].XYZ, again.Points3D[1].XYZ)); !(math.Abs(length-3) < 1e-9) {
		t.Errorf("the distance is %g, want 3", length)
	}
}

func TestDistanceThatCannotBeMeasured(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for want, spoil := range map[string]func(r *Reconstruction, d *Distance){
		"the image 003.jpg has no pose":  func(r *Reconstruction, _ *Distance) { r.Images = append(r.Images[:3:3], r.Images[4:]...) },
		"are not one and the same thing": func(_ *Reconstruction, d *Distance) { d.Ends[1].Seen[0].Y += 20 },
		"nearly the same direction": func(r *Reconstruction, d *Distance) {
			for e := range d.Ends {
				d.Ends[e].Seen[1] = d.Ends[e].Seen[0]
				d.Ends[e].Seen[1].Image = "008.jpg"
			}
			r.Images[8].CamFromWorld = r.Images[3].CamFromWorld
		},
		"unknown camera model":               func(r *Reconstruction, _ *Distance) { r.Cameras[0].Model = OpenCVFisheye },
		"its two ends are in the same place": func(_ *Reconstruction, d *Distance) { *d = Distance{Metres: 1} },
	} {
		r, d := marked(rng)
		spoil(r, d)
		if _, world, err := r.Settle(nil, nil, Asked{Distance: d}); err != nil || world.Unit != UnitViewDistance || world.ScaleM != 0 || !strings.Contains(world.Refused, want) {
			t.Errorf("%s: %+v, %v", want, world, err)
		}
	}
}

// A direction of the world that is settled without it becomes up, and everything turns with it.
func TestAskedUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	capture := handheld(20, rng, orbit(20, 360))
	plain, _, err := capture.Settle(nil, nil, Asked{})
	if err != nil {
		t.Fatal(err)
	}
	for _, up := range [][3]float64{{0.3, -1, 0.2}, {0, -2, 0}, {0, 1, 0}, {1, 0, 0}, {0, 0, -5}} {
		settled, world, err := capture.Settle(nil, nil, Asked{Up: up})
		if err != nil || world.UpFrom != "asked" || world.Up != "-y" {
			t.Fatalf("%+v, %v", world, err)
		}
		c, err := Compare(plain, settled)
		if err != nil {
			t.Fatal(err)
		}
		if is := mulVec(c.Similarity.Rotation, unit(up)); !(norm(sub(is, [3]float64{0, -1, 0})) < 1e-6) || !(math.Abs(c.Similarity.Scale-1) < 1e-6) || !(c.PositionMax < 1e-6) {
			t.Errorf("%v points to %v: %+v", up, is, c)
		}
	}
}

// GPS that is too far off to decide on the unit is still said, with how far off it is; up can be taken from the cameras instead.
func TestWhatGPSSaysIsSaid(t *testing.T) {
	rng := rand.New(rand.NewPCG(27, 28))
	capture := handheld(30, rng, orbit(30, 360))
	gps := func(noise float64) map[string][3]float64 {
		enu := map[string][3]float64{}
		for i := range capture.Images {
			c := capture.Images[i].Center()
			enu[capture.Images[i].Name] = [3]float64{c[0] + noise*rng.NormFloat64(), c[2] + noise*rng.NormFloat64(), -c[1] + noise*rng.NormFloat64()}
		}
		return enu
	}
	_, world, err := capture.Settle(gps(2), nil, Asked{})
	if err != nil || world.Unit != UnitViewDistance || world.ScaleFrom != "gps" || !(world.ScaleErrorPct > 5 && world.ScaleErrorPct < 50) {
		t.Fatalf("%+v, %v", world, err)
	}
	if off := math.Abs(world.ScaleM/capture.viewDistance()-1) * 100; !(off < 4*world.ScaleErrorPct) {
		t.Errorf("a unit is %.2f m, it has %.2f", world.ScaleM, capture.viewDistance())
	}
	_, world, err = capture.Settle(gps(0.01), nil, Asked{Level: true})
	if err != nil || world.Unit != UnitMetre || world.ScaleM != 1 || world.ScaleFrom != "gps" || world.UpFrom != "cameras" || world.North != "" {
		t.Errorf("%+v, %v", world, err)
	}
}
