package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

func capture(t *testing.T, o Options) *Capture {
	t.Helper()
	if o.Width == 0 {
		o.Width, o.Height = 160, 90
	}
	key := [2]uint64{o.Seed, uint64(max(o.Width, o.Height))}
	if w, ok := baked[key]; ok {
		o, err := o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		c := &Capture{options: o, with: map[Disturbance]bool{}, world: w, orbit: newOrbit(o.Seed)}
		for _, d := range o.Disturbances {
			c.with[d] = true
		}
		if c.with[Passerby] {
			c.person = w.newPerson(o.Seed, max(o.Width, o.Height))
		}
		return c
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if !c.with[Noise] && !c.with[Black] {
		baked[key] = c.world
	}
	return c
}

// baked keeps the worlds of finished captures: lighting one is what costs time.
var baked = map[[2]uint64]*world{}

// The same options give the same bytes on every machine. When the scene is changed on purpose, the sums change.
func TestSamePixelsEverywhere(t *testing.T) {
	for _, test := range []struct {
		options Options
		frame   int
		sum     string
	}{
		{Options{Seed: 0, Frames: 10}, 0, "ac3407fda504f5a0"},
		{Options{Seed: 5, Frames: 10}, 7, "5aa9aee23550cf08"},
		{Options{Seed: 5, Frames: 10, Width: 90, Height: 160}, 3, "7aa3577ea4e00e16"},
		{Options{Seed: 5, Frames: 10, Disturbances: []Disturbance{MotionBlur, ExposureSteps}}, 4, "b32f416aeaceb7ad"},
		{Options{Seed: 9, Frames: 10, Disturbances: []Disturbance{Noise}}, 2, "e6dbb39d7ce2dae2"},
	} {
		sum := sha256.Sum256(capture(t, test.options).Frame(test.frame))
		if got := hex.EncodeToString(sum[:8]); got != test.sum {
			t.Errorf("%+v, frame %d: %s, want %s", test.options, test.frame, got, test.sum)
		}
	}
}

// transforms.json and sparse/ hold the same poses, in NeRF's convention and in COLMAP's.
func TestTruthFilesAgree(t *testing.T) {
	c := capture(t, Options{Frames: 12})
	dir := t.TempDir()
	if err := c.writeTransforms(filepath.Join(dir, TransformsFile)); err != nil {
		t.Fatal(err)
	}
	nerf, err := scene.ReadTransforms(filepath.Join(dir, TransformsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reconstruction().Write(filepath.Join(dir, SparseFolder)); err != nil {
		t.Fatal(err)
	}
	colmap, err := scene.Read(filepath.Join(dir, SparseFolder))
	if err != nil {
		t.Fatal(err)
	}
	got, err := scene.Compare(colmap, nerf)
	if err != nil {
		t.Fatal(err)
	}
	if got.Images != 12 || !(got.PositionMax < 1e-9) || !(got.RotationMaxDeg < 1e-5) || !(math.Abs(got.Similarity.Scale-1) < 1e-9) {
		t.Errorf("transforms.json and sparse/ differ: %+v", got)
	}
}

// A point of the true model lies, through COLMAP's formulas, at the pixel where the picture shows its colour.
func TestTruePointsLieWhereTheyAreSeen(t *testing.T) {
	c := capture(t, Options{Seed: 3, Frames: 8, Width: 320, Height: 180})
	r := c.Reconstruction()
	fx, fy, cx, cy, err := r.Cameras[0].Pinhole()
	if err != nil {
		t.Fatal(err)
	}
	observations, close := 0, 0
	for i := range r.Images {
		im := &r.Images[i]
		picture := c.Frame(i)
		for _, p2 := range im.Points2D {
			p3 := r.Point3D(p2.Point3DID)
			at := im.CamFromWorld.Apply(p3.XYZ)
			x, y := fx*at[0]/at[2]+cx, fy*at[1]/at[2]+cy
			if !(math.Hypot(x-p2.X, y-p2.Y) < 1e-6) {
				t.Fatalf("%s: point %d projects to (%g, %g), its observation is at (%g, %g)", im.Name, p2.Point3DID, x, y, p2.X, p2.Y)
			}
			observations++
			pixel := picture[(int(p2.Y)*320+int(p2.X))*3:]
			worst := 0.0
			for k := range 3 {
				worst = max(worst, math.Abs(float64(pixel[k])-float64(p3.RGB[k])))
			}
			if worst < 40 {
				close++
			}
		}
	}
	if observations < 2*truePoints {
		t.Errorf("only %d observations of %d points", observations, truePoints)
	}
	// Edges of letters and things blend within a pixel; chance alone would give a fifth.
	if !(float64(close) > 0.8*float64(observations)) {
		t.Errorf("only %d of %d observations have the colour of their point", close, observations)
	}
}

// Every pixel of the default picture shows a surface: there is no sky to match.
func TestLandscapeShowsNoSky(t *testing.T) {
	for seed := range uint64(3) {
		c := capture(t, Options{Seed: seed, Frames: 24})
		for i := range 24 {
			k := c.Camera(i)
			for x := 0.0; x <= 160; x += 8 {
				var h hit
				c.world.first(vecOf(k.Position), k.ray(x, 0).unit(), c.world.things, &h)
				if h.on == nil {
					t.Fatalf("seed %d, frame %d sees the sky at column %v", seed, i, x)
				}
			}
		}
	}
}

func TestNothingStandsInTheWayOfTheCamera(t *testing.T) {
	for seed := range uint64(20) {
		w, o := newWorld(seed), newOrbit(seed)
		for i := range 120 {
			k := o.camera(float64(i)/120, 160, 90)
			for _, s := range w.things {
				centre, radius := s.bound()
				if gap := vecOf(k.Position).sub(centre).length() - radius; gap < 0.5 {
					t.Fatalf("seed %d: a thing comes within %.2f m of the camera", seed, gap)
				}
			}
			if far := math.Hypot(k.Position[0], k.Position[1]); !(math.Abs(far-OrbitRadius) < 0.1*OrbitRadius) {
				t.Fatalf("seed %d: the camera is %.2f m from the axis", seed, far)
			}
		}
	}
}

func TestDisturbances(t *testing.T) {
	plain := capture(t, Options{Frames: 20})
	with := func(d Disturbance) *Capture { return capture(t, Options{Frames: 20, Disturbances: []Disturbance{d}}) }
	mean := func(p []byte) float64 {
		sum := 0
		for _, v := range p {
			sum += int(v)
		}
		return float64(sum) / float64(len(p))
	}

	if c := with(Static); c.Camera(8) != c.Camera(12) || c.Camera(8) == c.Camera(7) || c.Camera(13) == c.Camera(14) {
		t.Error("static: the camera should stand still from frame 8 to 12 only")
	}
	if c := with(Still); !bytes.Equal(c.Frame(0), c.Frame(19)) || !bytes.Equal(c.Frame(0), plain.Frame(0)) {
		t.Error("still: all frames should show the first")
	}
	if c := with(Noise); bytes.Equal(c.Frame(0), c.Frame(1)) || !(math.Abs(mean(c.Frame(0))-127.5) < 2) {
		t.Error("noise: frames should be independent and even")
	}
	if c := with(Black); mean(c.Frame(3)) != 0 {
		t.Error("black: frames should be black")
	}
	if c := with(ExposureSteps); !(mean(c.Frame(10)) < 0.7*mean(plain.Frame(10))) || !(mean(c.Frame(19)) > 1.15*mean(plain.Frame(19))) {
		t.Error("exposure steps: the middle should be darker and the end brighter")
	}
	passed := with(Passerby)
	present := 0
	for i := range 20 {
		same := bytes.Equal(passed.Frame(i), plain.Frame(i))
		if same == passed.Passed(i) {
			t.Errorf("passer-by: frame %d is the same: %v, somebody passes: %v", i, same, passed.Passed(i))
		}
		if passed.Passed(i) {
			present++
		}
	}
	if present != 4 {
		t.Errorf("passer-by: somebody is in %d of 20 frames", present)
	}
	blurred := with(MotionBlur)
	smeared := 0
	for i := range 20 {
		if !blurred.Blurred(i) {
			continue
		}
		smeared++
		if got, sharp := variation(blurred.Frame(i)), variation(plain.Frame(i)); !(got < 0.92*sharp) {
			t.Errorf("motion blur: frame %d varies by %.2f between neighbours, sharp by %.2f", i, got, sharp)
		}
	}
	if smeared < 3 || smeared > 10 {
		t.Errorf("motion blur: %d of 20 frames", smeared)
	}
}

// variation is the mean difference between horizontal neighbours.
func variation(p []byte) float64 {
	sum := 0.0
	for i := 3; i < len(p); i++ {
		sum += math.Abs(float64(p[i]) - float64(p[i-3]))
	}
	return sum / float64(len(p))
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{Frames: -1}, {Frames: 1e6}, {Width: 641, Height: 360}, {Width: 2, Height: 2}, {FPS: -3},
		{Disturbances: []Disturbance{"earthquake"}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestTurnLeft(t *testing.T) {
	// 3 x 2: a b c / d e f becomes 2 x 3: c f / b e / a d.
	in := []byte("aaabbbcccdddeeefff")
	if got := string(turnLeft(in, 3, 2)); got != "cccfffbbbeeeaaaddd" {
		t.Errorf("got %s", got)
	}
}

func TestWrite(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	dir := filepath.Join(t.TempDir(), "new", "folder")
	last := 0
	o := Options{Frames: 6, Width: 160, Height: 90, Disturbances: []Disturbance{Rotated}}
	if err := Write(t.Context(), ffmpeg, o, dir, func(done, total int) { last = done*100 + total }); err != nil {
		t.Fatal(err)
	}
	if last != 606 {
		t.Errorf("the last progress was %d", last)
	}
	for _, name := range []string{VideoFile, TransformsFile, SparseFolder + "/cameras.bin", SparseFolder + "/images.bin", SparseFolder + "/points3D.bin"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is missing or empty: %v", name, err)
		}
	}
	if err := Write(t.Context(), filepath.Join(dir, "no-ffmpeg"), o, dir, nil); err == nil {
		t.Error("a missing ffmpeg was not noticed")
	}
}

// A sample that cannot be written leaves no folder behind, and leaves one that was there.
func TestAFailedSampleLeavesNothing(t *testing.T) {
	program, err := exec.LookPath("false")
	if err != nil {
		t.Skip("no program that fails: ", err)
	}
	o := Options{Seed: 1, Frames: 8, Width: 64, Height: 48}
	made := filepath.Join(t.TempDir(), "x:y")
	if err := Write(t.Context(), program, o, made, nil); err == nil {
		t.Fatal("no error from a program that fails")
	}
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder that was made is still there: %v", err)
	}
	there := t.TempDir()
	if err := Write(t.Context(), program, o, there, nil); err == nil {
		t.Fatal("no error from a program that fails")
	}
	if _, err := os.Stat(there); err != nil {
		t.Errorf("the folder that was there is gone: %v", err)
	}
}

func TestASampleMayHaveAnyName(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is needed: ", err)
	}
	t.Chdir(t.TempDir())
	for _, dir := range []string{"x:y", "-o", "%d #1"} {
		if err := Write(t.Context(), ffmpeg, Options{Seed: 1, Frames: 8, Width: 64, Height: 48}, dir, nil); err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, VideoFile)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// What a ray meets is on a surface, and a step back along the ray is at most as far from it as the step is long.
func TestDistanceIsThatOfTheSurface(t *testing.T) {
	c := capture(t, Options{Frames: 6, Width: 64, Height: 36})
	steps := 0
	for i := range 6 {
		k := c.Camera(i)
		for y := 0.5; y < 36; y += 3 {
			for x := 0.5; x < 64; x += 3 {
				d := k.ray(x, y).unit()
				var h hit
				c.world.first(vecOf(k.Position), d, c.world.things, &h)
				if h.on == nil {
					continue
				}
				if off := c.Distance(vecOf(k.Position).at(h.t, d).array()); !(off < 1e-6) {
					t.Fatalf("a surface is %g m off itself", off)
				}
				if off := c.Distance(vecOf(k.Position).at(h.t-0.1, d).array()); !(off <= 0.1+1e-9 && off > 0) {
					t.Fatalf("0.1 m before a surface is %g m from it", off)
				}
				steps++
			}
		}
	}
	if steps < 500 {
		t.Fatalf("only %d rays met a surface", steps)
	}
}
