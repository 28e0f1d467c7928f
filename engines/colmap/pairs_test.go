package colmap

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

// TestPairsByPoses: of cameras in a ring that look at its middle, neighbours are matched and those opposite are not.
func TestPairsByPoses(t *testing.T) {
	for _, n := range []int{12, 60} {
		m := &scene.Reconstruction{}
		for i := range n {
			angle := 2 * math.Pi * float64(i) / float64(n)
			c, s := math.Cos(angle), math.Sin(angle)
			m.Images = append(m.Images, scene.Image{Name: fmt.Sprintf("%02d", i), CamFromWorld: scene.Rigid3FromCenter([3][3]float64{{-s, c, 0}, {0, 0, -1}, {-c, -s, 0}}, [3]float64{c, s, 0})})
		}
		pairs := pairsOf(m)
		if want := ByPoses.Pairs(n, 1); !(float64(len(pairs)) < 1.3*float64(want)) || len(pairs) < n*nearestGiven/4 {
			t.Errorf("%d images: %d pairs, %d are expected", n, len(pairs), want)
		}
		for i := range n {
			if next := (i + 1) % n; !slices.Contains(pairs, [2]string{fmt.Sprintf("%02d", min(i, next)), fmt.Sprintf("%02d", max(i, next))}) {
				t.Errorf("%d images: %d is not matched with its neighbour", n, i)
			}
			if opposite := (i + n/2) % n; slices.Contains(pairs, [2]string{fmt.Sprintf("%02d", min(i, opposite)), fmt.Sprintf("%02d", max(i, opposite))}) {
				t.Errorf("%d images: %d is matched with what looks the other way", n, i)
			}
		}
	}
}

func TestRandomPointsAreSeen(t *testing.T) {
	m := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 640, Height: 480, Params: []float64{500, 500, 320, 240}}}}
	for i := range 5 {
		m.Images = append(m.Images, scene.Image{ImageID: uint32(i + 1), CameraID: 1, Name: fmt.Sprint(i), CamFromWorld: scene.Rigid3{Rotation: [4]float64{1}, Translation: [3]float64{float64(-i)}}})
	}
	m.Points3D = []scene.Point3D{{Point3DID: 7, XYZ: [3]float64{0, 0, 1}, Error: -1}}
	out := withRandomPoints(m, 500)
	if err := out.Validate(); err != nil || len(out.Points3D) != 500 || out.Points3D[0].Point3DID != 7 {
		t.Fatalf("%d points, %v", len(out.Points3D), err)
	}
	for _, p := range out.Points3D {
		if p.XYZ[2] <= 0 {
			t.Fatalf("nothing sees %v", p.XYZ)
		}
	}
}
