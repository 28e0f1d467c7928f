package scene

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// handheld is a capture in a world with y down: n cameras placed and aimed by pose, rolled by up to 3° as hands do, that
// all see 40 points around the origin.
func handheld(n int, rng *rand.Rand, pose func(i int) (eye, target [3]float64)) *Reconstruction {
	r := &Reconstruction{Cameras: []Camera{{CameraID: 1, Model: Pinhole, Width: 640, Height: 480, Params: []float64{500, 500, 320, 240}}}}
	for j := range 40 {
		r.Points3D = append(r.Points3D, Point3D{Point3DID: uint64(j + 1), XYZ: [3]float64{rng.NormFloat64() * 0.2, rng.NormFloat64() * 0.2, rng.NormFloat64() * 0.2}})
	}
	for i := range n {
		eye, target := pose(i)
		z := unit(sub(target, eye))
		x := unit(cross([3]float64{0, 1, 0}, z))
		y := cross(z, x)
		s, c := math.Sincos((rng.Float64() - 0.5) * 6 * math.Pi / 180)
		var rolled [3][3]float64
		for k := range 3 {
			rolled[0][k], rolled[1][k], rolled[2][k] = c*x[k]+s*y[k], c*y[k]-s*x[k], z[k]
		}
		im := Image{ImageID: uint32(i + 1), CameraID: 1, Name: fmt.Sprintf("%03d.jpg", i), CamFromWorld: Rigid3FromCenter(rolled, eye)}
		for j := range r.Points3D {
			im.Points2D = append(im.Points2D, Point2D{Point3DID: uint64(j + 1)})
			r.Points3D[j].Track = append(r.Points3D[j].Track, TrackElement{ImageID: im.ImageID, Point2DIdx: uint32(j)})
		}
		r.Images = append(r.Images, im)
	}
	return r
}

func orbit(n int, arcDeg float64) func(i int) (eye, target [3]float64) {
	return func(i int) (eye, target [3]float64) {
		s, c := math.Sincos(arcDeg * math.Pi / 180 * float64(i) / float64(n))
		return [3]float64{3 * s, -1.5, -3 * c}, [3]float64{}
	}
}

func walk(i int) (eye, target [3]float64) {
	return [3]float64{0.1 * float64(i), -1, -4}, [3]float64{0.1 * float64(i), 0, 0}
}

func randomSimilarity(rng *rand.Rand) Similarity {
	return Similarity{Scale: math.Exp(rng.NormFloat64()), Rotation: QuaternionMatrix(randomQuaternion(rng)),
		Translation: [3]float64{rng.NormFloat64() * 10, rng.NormFloat64(), 3}}
}

func TestMovedCamerasSeeTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	r := handheld(5, rng, orbit(5, 300))
	s := randomSimilarity(rng)
	m := r.Moved(s)
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	for i := range r.Images {
		if d := norm(sub(m.Images[i].Center(), s.Apply(r.Images[i].Center()))); !(d < 1e-9) {
			t.Errorf("camera %d is off by %g", i, d)
		}
		for j := range r.Points3D {
			before, after := r.Images[i].CamFromWorld.Apply(r.Points3D[j].XYZ), m.Images[i].CamFromWorld.Apply(m.Points3D[j].XYZ)
			for k := range 3 {
				if !(math.Abs(after[k]-s.Scale*before[k]) < 1e-9) {
					t.Fatalf("point %d in camera %d: %v, was %v", j, i, after, before)
				}
			}
		}
	}
}

// Whatever frame structure from motion found, up is up, the subject is in the middle, and the unit is as stated.
func TestSettle(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, test := range map[string]struct {
		capture *Reconstruction
		origin  string
		tiltDeg float64
	}{
		"all around":          {handheld(40, rng, orbit(40, 360)), "focus", 1},
		"a quarter around":    {handheld(20, rng, orbit(20, 90)), "focus", 3},
		"past without a turn": {handheld(20, rng, walk), "points", 15}, // people tilt cameras: x axes alone leave this open
	} {
		for range 20 {
			moved := test.capture.Moved(randomSimilarity(rng))
			settled, world, err := moved.Settle(nil, nil, Asked{})
			if first := moved.Images[0].Center(); !(norm(sub(world.From.Apply(first), settled.Images[0].Center())) < 1e-6*(1+norm(first))) {
				t.Fatalf("%s: %+v is not where the world came from", name, world.From)
			}
			world.From = Similarity{}
			if err != nil || world != (World{Up: "-y", UpFrom: "cameras", Unit: UnitViewDistance, Origin: test.origin}) {
				t.Fatalf("%s: %+v, %v", name, world, err)
			}
			if err := settled.Validate(); err != nil {
				t.Fatal(err)
			}
			c, err := Compare(settled, test.capture)
			if err != nil {
				t.Fatal(err)
			}
			// Where the true down is in the settled frame.
			down := mulVec(transpose(c.Similarity.Rotation), [3]float64{0, 1, 0})
			if tilt := math.Acos(min(down[1], 1)) * 180 / math.Pi; !(tilt < test.tiltDeg) {
				t.Errorf("%s: up is off by %.2f°", name, tilt)
			}
			if d := settled.viewDistance(); !(math.Abs(d-1) < 1e-9) {
				t.Errorf("%s: the median view distance is %g", name, d)
			}
			if test.origin == "focus" {
				if d := norm(c.Similarity.Apply([3]float64{})); !(d < 0.05) {
					t.Errorf("%s: the origin is %.3f from where the cameras look", name, d)
				}
			}
			if first := settled.Images[0].CamFromWorld.Matrix()[2]; !(math.Abs(first[0]) < 1e-9 && first[2] > 0) {
				t.Errorf("%s: the first camera looks along %v", name, first)
			}
		}
	}
}

func TestSettleWithGPS(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	capture := handheld(30, rng, orbit(30, 360))
	const metres = 20 // a unit: an orbit of 60 m around a building
	gps := func(noiseM float64) map[string][3]float64 {
		enu := map[string][3]float64{"unknown.jpg": {1, 2, 3}}
		for i := range capture.Images {
			c := capture.Images[i].Center()
			enu[capture.Images[i].Name] = [3]float64{metres*c[0] + noiseM*rng.NormFloat64(), metres*c[2] + noiseM*rng.NormFloat64(), -metres*c[1] + noiseM*rng.NormFloat64()}
		}
		return enu
	}
	moved := capture.Moved(randomSimilarity(rng))
	settled, world, err := moved.Settle(gps(2), nil, Asked{})
	if err != nil || world.Unit != UnitMetre || world.UpFrom != "gps" || world.North != "+z" || !(world.UnitErrorPct > 0.1 && world.UnitErrorPct < 5) {
		t.Fatalf("%+v, %v", world, err)
	}
	c, err := Compare(settled, capture)
	if err != nil {
		t.Fatal(err)
	}
	if scale := 1 / c.Similarity.Scale; !(math.Abs(scale/metres-1) < 0.04) {
		t.Errorf("a metre is off by %.1f %%", 100*(scale/metres-1))
	}
	if tilt := RotationAngleDeg(c.Similarity.Rotation, [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}); !(tilt < 3) {
		t.Errorf("up and north are off by %.1f°", tilt)
	}
	// The same orbit around a vase, with the same receiver.
	if _, world, err := moved.Settle(gps(100), nil, Asked{}); err != nil || world.Unit != UnitViewDistance || world.UpFrom != "cameras" {
		t.Errorf("%+v, %v", world, err)
	}
}

func TestSettleNeedsAnExtent(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	still := handheld(4, rng, func(int) (eye, target [3]float64) { return [3]float64{1, 1, 1}, [3]float64{2, 1, 3} })
	still.Points3D = nil
	for i := range still.Images {
		still.Images[i].CamFromWorld.Translation = [3]float64{}
	}
	if _, world, err := still.Settle(nil, nil, Asked{}); err == nil {
		t.Errorf("no extent gave %+v", world)
	}
	if _, _, err := (&Reconstruction{}).Settle(nil, nil, Asked{}); err == nil {
		t.Error("nothing was settled")
	}
}
