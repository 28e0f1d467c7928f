package preprocess

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
)

// TestPointCloudShowsPointsAndCameras: a ball at each point near enough, in its colour, and the lines of each camera; a point far away,
// which would make a dot of the rest, is left out.
func TestPointCloudShowsPointsAndCameras(t *testing.T) {
	c, err := sample.New(sample.Options{Seed: 4, Frames: 12, Width: 64, Height: 48})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Reconstruction()
	points := len(r.Points3D)
	r.Points3D = append(r.Points3D, scene.Point3D{XYZ: [3]float64{1e6, 0, 0}}, scene.Point3D{XYZ: [3]float64{math.NaN(), 0, 0}})
	cloud := pointCloud(r)
	if err := cloud.Validate(); err != nil {
		t.Fatal(err)
	}
	if want := points + 12*8*lineParts; cloud.Len() != want || points < 100 {
		t.Errorf("%d Gaussians of %d points, want %d", cloud.Len(), points, want)
	}
	for k, v := range r.Points3D[0].RGB {
		if got := 255 * (0.5 + 0.28209479177387814*float64(cloud.DC[k])); !(math.Abs(got-float64(v)) < 0.01) {
			t.Errorf("channel %d of the first point is %g, want %d", k, got, v)
		}
	}
	first := r.CameraLines(pyramidLength)[0]
	needle := 3 * points // its middle is between the ends of the line
	for k := range 3 {
		low, high := min(first.From[k], first.To[k]), max(first.From[k], first.To[k])
		_, reach := r.Window()
		if v := float64(cloud.Means[needle+k]); !(v >= low-pyramidLength*reach && v <= high+pyramidLength*reach) {
			t.Errorf("coordinate %d of the first needle is %g, its line is from %g to %g", k, v, low, high)
		}
	}
}

func TestTurnFromX(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	directions := [][3]float64{{1, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, 0, -1}}
	for range 50 {
		d := [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		n := distance(d, [3]float64{})
		directions = append(directions, [3]float64{d[0] / n, d[1] / n, d[2] / n})
	}
	for _, d := range directions {
		q := turnFromX(d)
		w, x, y, z := q[0], q[1], q[2], q[3]
		turned := [3]float64{1 - 2*(y*y+z*z), 2 * (x*y + w*z), 2 * (x*z - w*y)} // the rotation matrix's first column
		if !(distance(turned, d) < 1e-5) {
			t.Error(fmt.Sprint("x is turned to ", turned, ", not to ", d))
		}
	}
}
