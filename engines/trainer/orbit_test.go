package trainer

import (
	"fmt"
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
)

// firstChoice is the path that Film tries first.
func firstChoice(views []*View, n int) []raster.Camera {
	if ring := ringAround(views, n); ring != nil {
		return ring
	}
	return along(views, n)
}

func TestOrbitLooksAtTheScene(t *testing.T) {
	d := synthetic(32, 64, 48)
	half := &Dataset{Train: d.Train[:10]}
	for name, views := range map[string][]*View{"ring": d.Train, "arc": half.Train, "one": d.Train[:1]} {
		path := firstChoice(views, 24)
		if len(path) != 24 {
			t.Fatalf("%s: %d cameras", name, len(path))
		}
		for i := range path {
			cam := &path[i]
			c := cam.Center()
			nearest := math.Inf(1)
			for _, v := range views {
				nearest = min(nearest, distance(c, v.Levels[0].Camera.Center()))
			}
			if name != "one" {
				// The subject is at the origin, 3 away; pictures are 0.6 apart.
				u := cam.Fx*cam.T[0]/cam.T[2] + cam.Cx
				if !(cam.T[2] > 2 && cam.T[2] < 4 && math.Abs(u-32) < 8) || !(nearest < 1) {
					t.Errorf("%s, camera %d: subject at %v, nearest picture %.2f away", name, i, cam.T, nearest)
				}
				if !(cam.R[1][1] > 0.9) {
					t.Errorf("%s, camera %d is not upright: %v", name, i, cam.R)
				}
			}
			for _, row := range cam.R {
				if !(math.Abs(dot3(row, row)-1) < 1e-9) {
					t.Errorf("%s, camera %d: rotation %v", name, i, cam.R)
				}
			}
		}
	}
}

// taken is a view from an eye along z with the picture's right side x, which must be at a right angle.
func taken(name string, width, height int, eye, x, z [3]float64) *View {
	cam := facing(raster.Camera{Fx: 400, Fy: 400, Cx: float64(width) / 2, Cy: float64(height) / 2, Width: width, Height: height, Near: 0.01}, eye, x, z)
	v := &View{Name: name}
	for level := range v.Levels {
		v.Levels[level] = Picture{Camera: cam}
	}
	return v
}

func turn(angle float64) (x, z [3]float64) {
	s, c := math.Sincos(angle)
	return [3]float64{c, 0, -s}, [3]float64{s, 0, c}
}

// The axes of a drone that looks down, 2 degrees this way and that, do not meet: the film must still show the ground.
func TestFilmOfADroneThatLooksDown(t *testing.T) {
	var views []*View
	for k := range 18 {
		tilt, side := 0.03*math.Sin(float64(k)), 0.03*math.Cos(2.3*float64(k))
		z := unit([3]float64{side, 1, tilt}, [3]float64{}) // y points to the ground, the upper edge to +z
		x := unit(cross(z, [3]float64{0, 0, 1}), [3]float64{})
		views = append(views, taken(fmt.Sprint(k), 480, 270, [3]float64{10 * float64(k%6), 0, 15 * float64(k/6)}, x, z))
	}
	for i, cam := range firstChoice(views, 24) {
		if !(cam.R[2][1] > 0.95) {
			t.Errorf("camera %d looks along %.2f from %.1f, the ground is below", i, cam.R[2], cam.Center())
		}
		if c := cam.Center(); !(math.Abs(c[1]) < 1 && c[0] > -1 && c[0] < 51 && c[2] > -1 && c[2] < 31) {
			t.Errorf("camera %d is at %.1f, outside of where the drone was", i, c)
		}
		if !(dot3(cam.R[1], [3]float64{0, 0, -1}) > 0.9) {
			t.Errorf("camera %d is turned away from the pictures: %v", i, cam.R)
		}
	}
}

// A walk straight ahead, whose camera sways by two degrees, or hardly turns at all.
func TestFilmOfAWalk(t *testing.T) {
	for _, sway := range []float64{0, 1e-4, 0.035, 0.12} {
		var views []*View
		for k := range 60 {
			x, z := turn(sway * math.Sin(0.3*float64(k)))
			views = append(views, taken(fmt.Sprint(k), 480, 270, [3]float64{0.01 * math.Sin(float64(k)), 0, 0.2 * float64(k)}, x, z))
		}
		path := firstChoice(views, 24)
		for i, cam := range path {
			c := cam.Center()
			if !(cam.R[2][2] > 0.95) || !(math.Abs(c[0]) < 0.1 && c[2] > -0.1 && c[2] < 12) {
				t.Errorf("sway %v: camera %d looks along %.2f from %.1f; every picture looks along z", sway, i, cam.R[2], c)
			}
			if !(math.Abs(cam.R[0][1]) < 1e-9) {
				t.Errorf("sway %v: camera %d rolls: %v", sway, i, cam.R)
			}
		}
		if first, end := path[0].Center()[2], path[6].Center()[2]; !(first > 4 && first < 8 && end > 10) {
			t.Errorf("sway %v: the film begins at %.1f and turns round at %.1f, want the middle and nearly the end of 11.8", sway, first, end)
		}
	}
}

// A table is photographed from obliquely above: the ring stays level though every upper edge leans.
func TestFilmOfATableIsLevel(t *testing.T) {
	var views []*View
	for k := range 24 {
		s, c := math.Sincos(2 * math.Pi * float64(k) / 24)
		eye := [3]float64{3 * s, -2, -3 * c}
		z := unit(minus([3]float64{}, eye), [3]float64{})
		views = append(views, taken(fmt.Sprint(k), 480, 270, eye, unit(cross(z, [3]float64{0, -1, 0}), [3]float64{}), z))
	}
	views = views[:19] // not quite around, so that the mean of the upper edges leans
	path := firstChoice(views, 24)
	for i, cam := range path {
		if !(math.Abs(cam.R[0][1]) < 1e-9) || !(cam.T[2] > 3) || !(math.Abs(cam.Center()[1]+2) < 0.1) {
			t.Errorf("camera %d: sides %.2f, subject at %.2f, centre %.2f", i, cam.R[0], cam.T, cam.Center())
		}
	}
	if a, b := path[0].Center(), path[12].Center(); !(distance(a, b) > 5) {
		t.Errorf("not a ring: half way round it went from %.1f to %.1f", a, b)
	}
}

// The film has the size of most pictures, not of the middle one.
func TestFilmHasTheUsualSize(t *testing.T) {
	var views []*View
	for k := range 23 {
		x, z := turn(0)
		w, h := 270, 480
		if k >= 9 && k < 14 {
			w, h = 480, 270
		}
		views = append(views, taken(fmt.Sprint(k), w, h, [3]float64{float64(k), 0, 0}, x, z))
	}
	if cam := firstChoice(views, 5)[0]; cam.Width != 270 || cam.Height != 480 {
		t.Errorf("%dx%d, 18 of 23 pictures are 270x480", cam.Width, cam.Height)
	}
}

// A world that no one settled: the pictures' upper edges say which way is up.
func TestFilmOfAnUnsettledWorld(t *testing.T) {
	var views []*View
	for k := range 20 { // x points to the ground
		views = append(views, taken(fmt.Sprint(k), 480, 270, [3]float64{0, 0.1 * float64(k), 0}, [3]float64{0, -1, 0}, [3]float64{0, 0, 1}))
	}
	for i, cam := range firstChoice(views, 8) {
		if !(cam.R[1][0] > 0.99) {
			t.Errorf("camera %d is not upright: %v", i, cam.R)
		}
	}
}

// A splat that shows nothing where the film goes is said to.
func TestFilmSaysWhenItShowsNothing(t *testing.T) {
	d := synthetic(24, 48, 40)
	cfg := Config{Threads: 1}
	if path, ok := Film(d, NewPainter(syntheticCloud(), &cfg), 24); !ok || len(path) != 24 {
		t.Errorf("a good splat: %d cameras, %v", len(path), ok)
	}
	dark := syntheticCloud()
	for i := range dark.Opacities {
		dark.Opacities[i] = -splat.MaxOpacityLogit
	}
	if _, ok := Film(d, NewPainter(dark, &cfg), 24); ok {
		t.Error("nothing but black is a film")
	}
	// Pictures that surround a point beside which nothing is: the ring misses what they see, their way does not.
	away := synthetic(24, 48, 40)
	for _, v := range away.Train {
		for level := range v.Levels { // each turned round, so that it looks outwards at a wall
			cam := &v.Levels[level].Camera
			*cam = facing(*cam, cam.Center(), scaled(-1, cam.R[0]), scaled(-1, cam.R[2]))
		}
	}
	if ring := ringAround(away.Train, 24); ring != nil {
		t.Error("a ring around what every picture has behind it")
	}
}

// A film begins where most of what the pictures have in common is well inside, and continues from there.
func TestFilmBeginsWithTheSubject(t *testing.T) {
	d := synthetic(9, 64, 48)
	path := make([]raster.Camera, 5)
	for i := range path {
		path[i] = ringCamera(0, 64, 48)
		path[i].T = [3]float64{0.7 * float64(i-3), 0, 3} // the fourth has the ball in the middle
	}
	turned := d.fromTheSubject(path)
	for i := range turned {
		if want := path[(i+3)%5]; turned[i] != want {
			t.Errorf("camera %d is at %v, not %v", i, turned[i].T, want.T)
		}
	}
	if alone := (&Dataset{}).fromTheSubject(path); alone[0] != path[0] {
		t.Error("without points a path begins where it began")
	}
	if none := d.fromTheSubject(nil); len(none) != 0 {
		t.Errorf("%d cameras of none", len(none))
	}
}
