package scene

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// synthetic is a small valid reconstruction: cameras around the origin looking at random points.
func synthetic(images int, seed uint64) *Reconstruction {
	rng := rand.New(rand.NewPCG(seed, 1))
	r := &Reconstruction{Cameras: []Camera{
		{CameraID: 1, Model: Pinhole, Width: 640, Height: 480, Params: []float64{500, 501, 320, 240}},
		{CameraID: 7, Model: OpenCV, Width: 360, Height: 640, Params: []float64{461, 462, 180, 320, 0.01, -0.02, 0.001, 0}},
	}}
	for i := range images {
		q := randomQuaternion(rng)
		r.Images = append(r.Images, Image{
			ImageID:      uint32(3*i + 2),
			CameraID:     []uint32{1, 7}[i%2],
			Name:         "fotos/ü " + string(rune('a'+i)) + ".jpg",
			CamFromWorld: Rigid3FromCenter(QuaternionMatrix(q), [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}),
			Points2D:     make([]Point2D, 5),
		})
		for j := range r.Images[i].Points2D {
			r.Images[i].Points2D[j] = Point2D{X: rng.Float64() * 300, Y: rng.Float64() * 300, Point3DID: InvalidPoint3DID}
		}
	}
	for j := range 4 {
		p := Point3D{Point3DID: uint64(j)*5 + 1, XYZ: [3]float64{rng.NormFloat64(), 1, 2}, RGB: [3]uint8{1, 128, 255}, Error: 0.5 * float64(j)}
		for i := range images {
			if (i+j)%2 == 0 {
				p.Track = append(p.Track, TrackElement{ImageID: r.Images[i].ImageID, Point2DIdx: uint32(j)})
				r.Images[i].Points2D[j].Point3DID = p.Point3DID
			}
		}
		r.Points3D = append(r.Points3D, p)
	}
	return r
}

func randomQuaternion(rng *rand.Rand) [4]float64 {
	var q [4]float64
	n := 0.0
	for i := range q {
		q[i] = rng.NormFloat64()
		n += q[i] * q[i]
	}
	for i := range q {
		q[i] /= math.Sqrt(n)
	}
	return q
}

func TestWriteThenReadIsIdentical(t *testing.T) {
	want := synthetic(6, 1)
	dir := filepath.Join(t.TempDir(), "sparse", "0")
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("the folder holds %v (%v), want exactly the three files", entries, err)
	}
}

func TestReadSortsByID(t *testing.T) {
	r := synthetic(4, 2)
	cameras := []Camera{r.Cameras[1], r.Cameras[0]}
	images := []Image{r.Images[3], r.Images[0], r.Images[2], r.Images[1]}
	points := []Point3D{r.Points3D[2], r.Points3D[3], r.Points3D[0], r.Points3D[1]}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		CamerasFile: AppendCameras(nil, cameras), ImagesFile: AppendImages(nil, images), Points3DFile: AppendPoints3D(nil, points),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Fatal("the order in the files changed the result")
	}
	for i := range r.Images {
		if im := got.ImageByName(r.Images[i].Name); im == nil || im.ImageID != r.Images[i].ImageID {
			t.Errorf("ImageByName(%q) = %v", r.Images[i].Name, im)
		}
	}
	if got.Image(1) != nil || got.Camera(2) != nil || got.Point3D(2) != nil || got.ImageByName("x") != nil {
		t.Error("an id that does not exist was found")
	}
}

// The bytes were written out by hand from COLMAP's format description, so that reader and writer cannot share a
// mistake.
func TestParseKnownBytes(t *testing.T) {
	one := "\x00\x00\x00\x00\x00\x00\xf0\x3f" // 1.0
	zero := strings.Repeat("\x00", 8)
	u64 := func(v byte) string { return string([]byte{v, 0, 0, 0, 0, 0, 0, 0}) }
	u32 := func(v byte) string { return string([]byte{v, 0, 0, 0}) }

	cameras, err := ParseCameras([]byte(u64(1) + u32(3) + u32(0) + u64(8) + u64(6) + one + zero + one))
	if err != nil || !reflect.DeepEqual(cameras, []Camera{{CameraID: 3, Model: SimplePinhole, Width: 8, Height: 6, Params: []float64{1, 0, 1}}}) {
		t.Fatalf("cameras %+v, %v", cameras, err)
	}
	images, err := ParseImages([]byte(u64(1) + u32(9) + one + zero + zero + zero + zero + one + zero + u32(3) + "a.png\x00" + u64(1) + one + one + strings.Repeat("\xff", 8)))
	want := []Image{{ImageID: 9, CameraID: 3, Name: "a.png", CamFromWorld: Rigid3{Rotation: [4]float64{1, 0, 0, 0}, Translation: [3]float64{0, 1, 0}},
		Points2D: []Point2D{{1, 1, InvalidPoint3DID}}}}
	if err != nil || !reflect.DeepEqual(images, want) {
		t.Fatalf("images %+v, %v", images, err)
	}
	points, err := ParsePoints3D([]byte(u64(1) + u64(4) + one + one + zero + "\x01\x02\x03" + one + u64(1) + u32(9) + u32(0)))
	if err != nil || !reflect.DeepEqual(points, []Point3D{{Point3DID: 4, XYZ: [3]float64{1, 1, 0}, RGB: [3]uint8{1, 2, 3}, Error: 1, Track: []TrackElement{{9, 0}}}}) {
		t.Fatalf("points %+v, %v", points, err)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	r := synthetic(3, 3)
	for name, c := range map[string]struct {
		data  []byte
		parse func([]byte) error
	}{
		"cameras": {AppendCameras(nil, r.Cameras), func(b []byte) error { _, err := ParseCameras(b); return err }},
		"images":  {AppendImages(nil, r.Images), func(b []byte) error { _, err := ParseImages(b); return err }},
		"points":  {AppendPoints3D(nil, r.Points3D), func(b []byte) error { _, err := ParsePoints3D(b); return err }},
	} {
		if err := c.parse(c.data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range c.data {
			if c.parse(c.data[:n]) == nil {
				t.Errorf("%s: the first %d of %d bytes were accepted", name, n, len(c.data))
			}
		}
		if c.parse(append(c.data[:len(c.data):len(c.data)], 0)) == nil {
			t.Errorf("%s: a trailing byte was accepted", name)
		}
	}
}

func TestHugeCountsAllocateNothing(t *testing.T) {
	data := []byte("\xff\xff\xff\xff\xff\xff\xff\xff rest")
	allocated := testing.AllocsPerRun(10, func() {
		for _, parse := range []func([]byte) error{
			func(b []byte) error { _, err := ParseCameras(b); return err },
			func(b []byte) error { _, err := ParseImages(b); return err },
			func(b []byte) error { _, err := ParsePoints3D(b); return err },
		} {
			if parse(data) == nil {
				t.Error("2^64-1 records were accepted")
			}
		}
	})
	if allocated > 30 { // the error values
		t.Errorf("%v allocations", allocated)
	}
}

func TestValidateNamesTheProblem(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		want   string
		damage func(*Reconstruction)
	}{
		{"camera 1 occurs twice", func(r *Reconstruction) { r.Cameras = append(r.Cameras[:1:1], r.Cameras...) }},
		{"focal length is -5", func(r *Reconstruction) { r.Cameras[0].Params[0] = -5 }},
		{"not finite", func(r *Reconstruction) { r.Cameras[0].Params[2] = nan }},
		{"unknown camera model 99", func(r *Reconstruction) { r.Cameras[0].Model = 99 }},
		{"PINHOLE has 4 parameters, not 3", func(r *Reconstruction) { r.Cameras[0].Params = r.Cameras[0].Params[:3] }},
		{"the size is 0×480", func(r *Reconstruction) { r.Cameras[0].Width = 0 }},
		{"camera 5 does not exist", func(r *Reconstruction) { r.Images[1].CameraID = 5 }},
		{"not a unit quaternion", func(r *Reconstruction) { r.Images[1].CamFromWorld.Rotation = [4]float64{nan, 0, 0, 0} }},
		{"not a unit quaternion", func(r *Reconstruction) { r.Images[1].CamFromWorld.Rotation = [4]float64{0.9, 0, 0, 0} }},
		{"translation", func(r *Reconstruction) { r.Images[1].CamFromWorld.Translation[2] = math.Inf(1) }},
		{"leaves the folder", func(r *Reconstruction) { r.Images[1].Name = "../../etc/passwd" }},
		{"leaves the folder", func(r *Reconstruction) { r.Images[1].Name = "" }},
		{"occurs twice", func(r *Reconstruction) { r.Images[1].Name = r.Images[0].Name }},
		{"observes point 777", func(r *Reconstruction) { r.Images[1].Points2D[0].Point3DID = 777 }},
		{"feature 4 is at", func(r *Reconstruction) { r.Images[1].Points2D[4].X = nan }},
		{"names image 77", func(r *Reconstruction) { r.Points3D[0].Track[0].ImageID = 77 }},
		{"which has 5", func(r *Reconstruction) { r.Points3D[0].Track[0].Point2DIdx = 5 }},
		{"observes another point", func(r *Reconstruction) { r.Points3D[0].Track[0].Point2DIdx = 4 }},
		{"position", func(r *Reconstruction) { r.Points3D[0].XYZ[1] = nan }},
		{"reprojection error", func(r *Reconstruction) { r.Points3D[0].Error = nan }},
	} {
		r := synthetic(4, 4)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		c.damage(r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
		if err := r.Write(t.TempDir()); err == nil {
			t.Errorf("%s: was written", c.want)
		}
	}
}

func TestCameraModels(t *testing.T) {
	for m := CameraModel(0); m < numCameraModels; m++ {
		back, err := ParseCameraModel(m.String())
		if err != nil || back != m || m.NumParams() < 2 {
			t.Errorf("model %d: name %v, %d parameters, parsed as %v, %v", m, m, m.NumParams(), back, err)
		}
	}
	if CameraModel(-1).Known() || CameraModel(numCameraModels).Known() {
		t.Error("an id outside the table is known")
	}
	if _, err := ParseCameraModel("PINHOL"); err == nil {
		t.Error("PINHOL was parsed")
	}
	c := Camera{CameraID: 2, Model: SimpleRadial, Width: 100, Height: 50, Params: []float64{80, 50, 25, 0.1}}
	if _, _, _, _, err := c.Pinhole(); err == nil || !strings.Contains(err.Error(), "undistort") {
		t.Errorf("a camera with distortion gave %v", err)
	}
	if got := c.Rescaled(50, 25); !reflect.DeepEqual(got, Camera{CameraID: 2, Model: SimpleRadial, Width: 50, Height: 25, Params: []float64{40, 25, 12.5, 0.1}}) {
		t.Errorf("half the size gives %+v", got)
	}
	p := Camera{Model: Pinhole, Width: 100, Height: 50, Params: []float64{80, 90, 50, 25}}
	if fx, fy, cx, cy, err := p.Pinhole(); err != nil || fx != 80 || fy != 90 || cx != 50 || cy != 25 {
		t.Errorf("pinhole %v %v %v %v %v", fx, fy, cx, cy, err)
	}
	if p.FocalLength() != 85 || c.FocalLength() != 80 {
		t.Errorf("focal lengths %v and %v", p.FocalLength(), c.FocalLength())
	}
}

func TestPose(t *testing.T) {
	// A camera at (0, 0, -5) that looks along +z sees a point on its axis, 6 in front.
	p := Rigid3FromCenter([3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, [3]float64{0, 0, -5})
	if got := p.Apply([3]float64{0, 0, 1}); got != [3]float64{0, 0, 6} {
		t.Errorf("the point is at %v in the camera frame", got)
	}
	// A quarter turn about z takes x to y.
	if got := mulVec(QuaternionMatrix([4]float64{math.Sqrt2 / 2, 0, 0, math.Sqrt2 / 2}), [3]float64{1, 0, 0}); !(norm(sub(got, [3]float64{0, 1, 0})) < 1e-15) {
		t.Errorf("x turns to %v", got)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 1000 {
		q := randomQuaternion(rng)
		if q[0] < 0 {
			q = [4]float64{-q[0], -q[1], -q[2], -q[3]}
		}
		center := [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		p := Rigid3FromCenter(QuaternionMatrix(q), center)
		for i := range q {
			if !(math.Abs(p.Rotation[i]-q[i]) < 1e-12) {
				t.Fatalf("quaternion %v came back as %v", q, p.Rotation)
			}
		}
		if !(norm(sub(p.Center(), center)) < 1e-12) || !(norm(p.Apply(center)) < 1e-12) {
			t.Fatalf("centre %v came back as %v", center, p.Center())
		}
	}
	for _, angle := range []float64{0, 1e-7, 0.1, 90, 179.9999, 180} {
		half := angle / 2 * math.Pi / 180
		got := RotationAngleDeg(QuaternionMatrix([4]float64{1, 0, 0, 0}), QuaternionMatrix([4]float64{math.Cos(half), 0, math.Sin(half), 0}))
		if !(math.Abs(got-angle) < 1e-9) {
			t.Errorf("angle %v measured as %v", angle, got)
		}
	}
}

func TestQuality(t *testing.T) {
	r := synthetic(4, 6)
	r.Points3D[3].Error = -1 // not computed
	want := Quality{RegisteredImages: 4, Points: 4, Observations: 8, MeanTrackLength: 2, MeanObservationsPerImage: 2, MeanReprojectionErrorPx: 0.5}
	got := r.Quality()
	got.MedianTriangulationAngleDeg = 0 // below
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Cameras a quarter of a circle and three quarters apart around one point: the widest of the three angles is 180°.
	orbit := handheld(4, rand.New(rand.NewPCG(1, 1)), func(i int) (eye, target [3]float64) {
		s, c := math.Sincos(float64(i) * math.Pi / 2)
		return [3]float64{s, 0, c}, target
	})
	orbit.Points3D[7].XYZ = [3]float64{}
	orbit.Points3D = orbit.Points3D[7:8]
	orbit.Points3D[0].Track = orbit.Points3D[0].Track[1:]
	if got := orbit.Quality().MedianTriangulationAngleDeg; !(math.Abs(got-180) < 1e-6) {
		t.Errorf("the point is seen under %v°", got)
	}
	orbit.Points3D[0].Track = orbit.Points3D[0].Track[:2]
	if got := orbit.Quality().MedianTriangulationAngleDeg; !(math.Abs(got-90) < 1e-6) {
		t.Errorf("the point is seen under %v°", got)
	}
	if got := (&Reconstruction{}).Quality(); got != (Quality{}) {
		t.Errorf("nothing has quality %+v", got)
	}
	if n := r.Images[0].NumObservations(); n != 2 {
		t.Errorf("image 0 has %d observations", n)
	}
}

func FuzzParse(f *testing.F) {
	r := synthetic(3, 7)
	f.Add(AppendCameras(nil, r.Cameras), AppendImages(nil, r.Images), AppendPoints3D(nil, r.Points3D))
	f.Add([]byte{1}, []byte{2, 0, 0, 0, 0, 0, 0, 0}, []byte(nil))
	f.Fuzz(func(t *testing.T, cameras, images, points []byte) {
		var r Reconstruction
		var err error
		if r.Cameras, err = ParseCameras(cameras); err != nil {
			return
		}
		if r.Images, err = ParseImages(images); err != nil {
			return
		}
		if r.Points3D, err = ParsePoints3D(points); err != nil {
			return
		}
		if r.Validate() != nil {
			return
		}
		// What is valid survives a round trip.
		dir := t.TempDir()
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
		back, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if back.Quality() != r.Quality() || len(back.Cameras) != len(r.Cameras) {
			t.Fatal("the round trip changed the reconstruction")
		}
		if len(r.Images) > 0 {
			_, _ = Compare(&r, back)
		}
	})
}

func FuzzParseTransforms(f *testing.F) {
	f.Add([]byte(`{"fl_x":10,"w":8,"h":6,"frames":[{"file_path":"a.jpg","transform_matrix":[[1,0,0,1],[0,1,0,2],[0,0,1,3],[0,0,0,1]]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseTransforms(data)
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWithout(t *testing.T) {
	r := synthetic(6, 8)
	gone := []string{r.Images[0].Name, r.Images[2].Name, r.Images[3].Name}
	got := r.Without(gone)
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(got.Images) != 3 || got.ImageByName(gone[1]) != nil || got.ImageByName(r.Images[1].Name) == nil {
		t.Errorf("%d images are left", len(got.Images))
	}
	// Points 0 and 2 were seen by images 0, 2 and 4, the others by 1, 3 and 5.
	if len(got.Points3D) != 2 || got.Point3D(r.Points3D[1].Point3DID) == nil || len(got.Points3D[0].Track) != 2 {
		t.Errorf("points %+v are left", got.Points3D)
	}
	if err := r.Validate(); err != nil || !reflect.DeepEqual(r, synthetic(6, 8)) {
		t.Errorf("the original changed (%v)", err)
	}
}
