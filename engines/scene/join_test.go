package scene

import (
	"fmt"
	"math"
	"testing"
)

// arc is a reconstruction of n cameras along an arc around random points; each sees the points near its direction.
func arc(n int) *Reconstruction {
	r := &Reconstruction{Cameras: []Camera{{CameraID: 1, Model: Pinhole, Width: 100, Height: 100, Params: []float64{80, 80, 50, 50}}}}
	const points, sees = 400, 0.8
	at := func(j int) float64 { return -sees/2 + (math.Pi+sees)*float64(j)/points }
	for j := range points {
		angle, x := at(j), float64(j)
		r.Points3D = append(r.Points3D, Point3D{Point3DID: uint64(j + 1), XYZ: [3]float64{math.Sin(angle) + 0.3*math.Sin(7*x), 0.4 * math.Cos(5*x), math.Cos(angle) + 0.3*math.Cos(3*x)}})
	}
	for i := range n {
		angle := math.Pi * float64(i) / float64(n)
		rotation := QuaternionMatrix([4]float64{math.Cos(angle / 2), 0, math.Sin(angle / 2), 0})
		im := Image{ImageID: uint32(i + 1), CameraID: 1, Name: fmt.Sprintf("%02d.jpg", i),
			CamFromWorld: Rigid3FromCenter(rotation, [3]float64{4 * math.Sin(angle), 0.2 * float64(i%3), 4 * math.Cos(angle)})}
		for j := range points {
			p := Point2D{X: float64(j), Y: float64(i), Point3DID: InvalidPoint3DID}
			if math.Abs(at(j)-angle) < sees {
				p.Point3DID = uint64(j + 1)
				r.Points3D[j].Track = append(r.Points3D[j].Track, TrackElement{im.ImageID, uint32(j)})
			}
			im.Points2D = append(im.Points2D, p)
		}
		r.Images = append(r.Images, im)
	}
	return r
}

// only is the model with the images from one number to another, in another world where by is set.
func only(r *Reconstruction, from, to int, by *Similarity) *Reconstruction {
	var without []string
	for i := range r.Images {
		if i < from || i >= to {
			without = append(without, r.Images[i].Name)
		}
	}
	out := r.Without(without)
	if by != nil {
		out = out.Moved(*by)
	}
	return out
}

// Two half-scenes that share ten images become the whole, whatever worlds they were in.
func TestJoinHalves(t *testing.T) {
	whole := arc(40)
	turn := Similarity{Scale: 0.37, Rotation: QuaternionMatrix([4]float64{0.5, 0.5, -0.5, 0.5}), Translation: [3]float64{3, -2, 8}}
	first, second := only(whole, 0, 25, nil), only(whole, 15, 40, &turn)
	// Some of what they share is wrong, and the second has another focal length.
	for i := 0; i < len(second.Points3D); i += 7 {
		second.Points3D[i].XYZ[0] += 1
	}
	second.Cameras = []Camera{{CameraID: 1, Model: Pinhole, Width: 100, Height: 100, Params: []float64{81, 81, 50, 50}}}
	firstImages, firstPoints := len(first.Images), len(first.Points3D)
	joined, err := Join(first, second)
	if err != nil {
		t.Fatal(err)
	}
	if err := joined.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := Compare(joined, whole)
	if err != nil || c.Images != 40 || !(c.PositionMaxPct < 0.01) || !(c.RotationMaxDeg < 0.01) {
		t.Errorf("%+v, %v", c, err)
	}
	if len(joined.Cameras) != 2 || joined.Image(1).CameraID != 1 || joined.Image(40).CameraID != joined.Cameras[1].CameraID {
		t.Errorf("cameras %+v", joined.Cameras)
	}
	if !(len(joined.Points3D) >= 400 && len(joined.Points3D) < 450) {
		t.Errorf("%d points of 400", len(joined.Points3D))
	}
	if len(first.Images) != firstImages || len(first.Points3D) != firstPoints {
		t.Error("the first model was changed")
	}
}

// What cannot be decided is not joined.
func TestJoinRefuses(t *testing.T) {
	whole := arc(40)
	scrambled := only(whole, 10, 40, nil)
	for i := range scrambled.Points3D {
		scrambled.Points3D[i].XYZ = [3]float64{math.Sin(float64(3 * i)), math.Cos(float64(5 * i)), math.Sin(float64(11 * i))}
	}
	turned := only(whole, 15, 40, nil)
	for i := range turned.Images {
		im := &turned.Images[i]
		im.CamFromWorld = Rigid3FromCenter(QuaternionMatrix([4]float64{0, 1, 0, 0}), im.Center())
	}
	for name, second := range map[string]*Reconstruction{
		"no image in common":  only(whole, 25, 40, nil),
		"points at random":    scrambled,
		"cameras turned over": turned,
	} {
		if joined, err := Join(only(whole, 0, 25, nil), second); err == nil {
			t.Errorf("%s: %d images", name, len(joined.Images))
		}
	}
}
