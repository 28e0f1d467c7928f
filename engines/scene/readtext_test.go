package scene

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"os"

	"github.com/splatworks/splatworks/engines/capturetest"
)

// text is a reconstruction as COLMAP writes it in text.
func text(r *Reconstruction) (cameras, images, points string) {
	cameras, images, points = "# Camera list\n", "# Image list with two lines of data per image\n", "# 3D point list\n"
	numbers := func(v []float64) (s string) {
		for _, x := range v {
			s += fmt.Sprintf(" %.17g", x)
		}
		return s
	}
	for _, c := range r.Cameras {
		cameras += fmt.Sprintf("%d %v %d %d%s\n", c.CameraID, c.Model, c.Width, c.Height, numbers(c.Params))
	}
	for _, im := range r.Images {
		images += fmt.Sprintf("%d%s%s %d %s\n", im.ImageID, numbers(im.CamFromWorld.Rotation[:]), numbers(im.CamFromWorld.Translation[:]), im.CameraID, im.Name)
		for _, p := range im.Points2D {
			images += fmt.Sprintf("%.17g %.17g %d ", p.X, p.Y, int64(p.Point3DID))
		}
		images += "\n"
	}
	for _, p := range r.Points3D {
		points += fmt.Sprintf("%d%s %d %d %d %.17g", p.Point3DID, numbers(p.XYZ[:]), p.RGB[0], p.RGB[1], p.RGB[2], p.Error)
		for _, e := range p.Track {
			points += fmt.Sprintf(" %d %d", e.ImageID, e.Point2DIdx)
		}
		points += "\n"
	}
	return cameras, images, points
}

func parseText(cameras, images, points string) (*Reconstruction, error) {
	var r Reconstruction
	var errs [3]error
	r.Cameras, errs[0] = ParseCamerasText([]byte(cameras))
	r.Images, errs[1] = ParseImagesText([]byte(images))
	r.Points3D, errs[2] = ParsePoints3DText([]byte(points))
	return &r, errors.Join(errs[:]...)
}

func TestTextRoundTrip(t *testing.T) {
	want := synthetic(6, 3)
	cameras, images, points := text(want)
	got, err := parseText(cameras, images, points)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%+v\n%+v", err, got, want)
	}
	// Windows' line ends, a byte order mark, no line of features at all.
	got, err = parseText("\ufeff"+strings.ReplaceAll(cameras, "\n", "\r\n"), "2 1 0 0 0 0 0 0 1 a b.jpg\n5 1 0 0 0 0 0 1 7 c.jpg\n\n8 1 0 0 0 0 0 2 7 0003\n", "")
	if err != nil || len(got.Cameras) != 2 || len(got.Images) != 3 || got.Images[0].Name != "a b.jpg" || got.Images[2].Name != "0003" {
		t.Fatalf("%v\n%+v", err, got)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
}

// TestTextOfCOLMAP compares with COLMAP's own conversion of a binary model.
func TestTextOfCOLMAP(t *testing.T) {
	program := os.Getenv("SPLATWORKS_COLMAP")
	if home, err := os.UserHomeDir(); err == nil && program == "" {
		program = filepath.Join(home, ".cache/splatworks/colmap/bin/colmap")
	}
	if _, err := exec.LookPath(program); err != nil {
		t.Skip("needs COLMAP: ", err)
	}
	want, dir := synthetic(5, 4), t.TempDir()
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "model_converter", "--input_path", dir, "--output_path", dir, "--output_type", "TXT").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	got, err := parseText(read(CamerasTextFile), read(ImagesTextFile), read(Points3DTextFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Cameras, want.Cameras) || len(got.Points3D) != len(want.Points3D) || got.Points3D[0].XYZ != want.Points3D[0].XYZ {
		t.Errorf("%+v\n%+v", got, want)
	}
	for i := range want.Images {
		if a, b := got.Images[i], want.Images[i]; a.Name != b.Name || !(norm(sub(a.Center(), b.Center())) < 1e-9) || !reflect.DeepEqual(a.Points2D, b.Points2D) {
			t.Errorf("%+v\n%+v", a, b)
		}
	}
}

func TestTextThatIsWrong(t *testing.T) {
	cameras, images, points := text(synthetic(3, 5))
	for want, wrong := range map[string][3]string{
		"unknown camera model": {strings.Replace(cameras, "PINHOLE", "FISHEYE624", 1), images, points},
		"parameters, not 3":    {strings.Replace(cameras, " 500 501", " 500", 1), images, points},
		"line 2":               {cameras, strings.Replace(images, "2 ", "x ", 1), points},
		"not finite":           {cameras, images, strings.Replace(points, " 1 2 1 128", " 1 nan 1 128", 1)},
		"ten fields":           {cameras, "1 1 0 0 0 0 0 0\n", points},
		"three numbers":        {cameras, "1 1 0 0 0 0 0 0 1 a.jpg\n1 2\n", points},
		"pairs of numbers":     {cameras, images, "1 0 0 0 1 2 3 0.5 7\n"},
	} {
		if _, err := parseText(wrong[0], wrong[1], wrong[2]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzParseText(f *testing.F) {
	cameras, images, points := text(synthetic(3, 6))
	f.Add(cameras, images, points)
	f.Add("1 PINHOLE 4 3 1 1 2 2", "1 1 0 0 0 0 0 0 1 a\n", "")
	f.Fuzz(func(t *testing.T, cameras, images, points string) {
		r, err := parseText(cameras, images, points)
		if err != nil {
			return
		}
		r.DropDangling()
		_ = r.Validate()
	})
}

func TestDropDangling(t *testing.T) {
	r := synthetic(6, 7)
	r.Points3D[0].Track = append(r.Points3D[0].Track, TrackElement{ImageID: 99}, TrackElement{ImageID: r.Images[0].ImageID, Point2DIdx: 77}, r.Points3D[0].Track[0])
	r.Images[1].Points2D[4].Point3DID = 4242
	r.DropDangling()
	if err := r.Validate(); err != nil || !reflect.DeepEqual(r.Points3D, synthetic(6, 7).Points3D) {
		t.Errorf("%v\n%+v", err, r)
	}
}

// TestTransformsOfOtherPrograms: what programs write differently comes to the same cameras.
func TestTransformsOfOtherPrograms(t *testing.T) {
	const frame = `"file_path": "a.jpg", "transform_matrix": [[0.6,0,0.8,1],[0,1,0,2],[-0.8,0,0.6,3],[0,0,0,1]]`
	decode := func(file string) TransformsFrame {
		t.Helper()
		d, err := DecodeTransforms([]byte(file))
		if err != nil || len(d.Frames) != 1 {
			t.Fatalf("%s: %v", file, err)
		}
		return d.Frames[0]
	}
	plain := decode(`{"fl_x": 500, "frames": [{` + frame + `}]}`)
	c, err := plain.Camera(640, 480)
	if err != nil || c.Model != OpenCV || c.Width != 640 || c.Params[2] != 320 || c.Params[3] != 240 || c.Params[1] != 500 {
		t.Errorf("no size in the file: %+v, %v", c, err)
	}
	// nerfstudio swaps axes and scales (applied_transform, applied_scale): x' = 0.5·(A·x + a) with A·x = (x, z, -y).
	moved := decode(`{"fl_x": 500, "applied_transform": [[1,0,0,10],[0,0,1,20],[0,-1,0,30]], "applied_scale": 0.5, "frames": [
		{"file_path": "a.jpg", "transform_matrix": [[0.6,0,0.8,5.5],[-0.8,0,0.6,11.5],[0,-1,0,14],[0,0,0,1]]}]}`)
	if !(norm(sub(moved.CamFromWorld.Center(), [3]float64{1, 2, 3})) < 1e-9) || !(RotationAngleDeg(moved.CamFromWorld.Matrix(), plain.CamFromWorld.Matrix()) < 1e-6) {
		t.Errorf("undone: %v %+v, want %+v", moved.CamFromWorld.Center(), moved.CamFromWorld, plain.CamFromWorld)
	}
	for name, test := range map[string]struct {
		file  string
		model CameraModel
		p     []float64
	}{
		"an angle":          {`{"camera_angle_x": 1.5707963267948966, "frames": [{` + frame + `}]}`, OpenCV, []float64{320, 320, 320, 240, 0, 0, 0, 0}},
		"in the frame":      {`{"fl_x": 9, "k1": 0.5, "w": 640, "h": 480, "frames": [{"fl_x": 400, "fl_y": 401, "cx": 1, "cy": 2, ` + frame + `}]}`, OpenCV, []float64{400, 401, 1, 2, 0.5, 0, 0, 0}},
		"fisheye":           {`{"camera_model": "OPENCV_FISHEYE", "fl_x": 400, "k3": 0.1, "frames": [{` + frame + `}]}`, OpenCVFisheye, []float64{400, 400, 320, 240, 0, 0, 0.1, 0}},
		"instant-ngp's":     {`{"is_fisheye": true, "fl_x": 400, "frames": [{` + frame + `}]}`, OpenCVFisheye, []float64{400, 400, 320, 240, 0, 0, 0, 0}},
		"pinhole":           {`{"camera_model": "PINHOLE", "fl_x": 400, "frames": [{` + frame + `}]}`, Pinhole, []float64{400, 400, 320, 240}},
		"three radii":       {`{"fl_x": 400, "k3": 0.1, "frames": [{` + frame + `}]}`, FullOpenCV, []float64{400, 400, 320, 240, 0, 0, 0, 0, 0.1, 0, 0, 0}},
		"a radius for both": {`{"camera_model": "SIMPLE_RADIAL", "fl_x": 400, "k1": 0.1, "frames": [{` + frame + `}]}`, OpenCV, []float64{400, 400, 320, 240, 0.1, 0, 0, 0}},
	} {
		f := decode(test.file)
		c, err := f.Camera(640, 480)
		if err != nil || c.Model != test.model || len(c.Params) != len(test.p) {
			t.Errorf("%s: %+v, %v", name, c, err)
			continue
		}
		for i := range test.p {
			if !(math.Abs(c.Params[i]-test.p[i]) < 1e-9) {
				t.Errorf("%s: %v, want %v", name, c.Params, test.p)
			}
		}
	}
	for file, want := range map[string]error{
		`{"frames": [{` + frame + `}]}`:                                          ErrNoIntrinsics,
		`{"camera_model": "FISHEYE624", "fl_x": 1, "frames": [{` + frame + `}]}`: ErrUnknownModel,
		`{"fl_x": 1, "k4": 1, "frames": [{` + frame + `}]}`:                      ErrUnknownModel,
	} {
		f := decode(file)
		if _, err := f.Camera(640, 480); !errors.Is(err, want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, wrong := range []string{"[[2,0,0,0],[0,2,0,0],[0,0,2,0]]", "[[1,0,0,0],[0,1,0,0],[0,0,-1,0]]", "[[1,0.1,0,0],[0,1,0,0],[0,0,1,0]]"} {
		if _, err := DecodeTransforms([]byte(`{"frames": [{"file_path": "a.jpg", "transform_matrix": ` + wrong + `}]}`)); !errors.Is(err, ErrNotRigid) || !strings.Contains(err.Error(), "a.jpg") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestUprightOfTurnedImages: where images lie on their side, up is that of the pictures as they are shown.
func TestUprightOfTurnedImages(t *testing.T) {
	shownUp := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	for orientation, stored := range map[int][3][3]float64{
		1: shownUp,
		3: {{-1, 0, 0}, {0, -1, 0}, {0, 0, 1}},
		6: {{0, 1, 0}, {-1, 0, 0}, {0, 0, 1}}, // its right is what is shown below, its lower edge what is shown on the left
		8: {{0, -1, 0}, {1, 0, 0}, {0, 0, 1}},
	} {
		if got := shown(stored, orientation); got != shownUp {
			t.Errorf("orientation %d: %v", orientation, got)
		}
	}
}

// TestTransformsOfFox: poses of a real file, and their round trip through a COLMAP model.
func TestTransformsOfFox(t *testing.T) {
	truth, err := ReadTransforms(capturetest.Find(t, "fox/transforms.json"))
	if err != nil || len(truth.Images) != 67 {
		t.Fatal(err)
	}
	cameras, images, points := text(truth)
	back, err := parseText(cameras, images, points)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compare(back, truth)
	if err != nil || c.Images != 67 || !(c.PositionMax < 1e-9) || !(c.RotationMaxDeg < 1e-5) {
		t.Errorf("%+v, %v", c, err)
	}
}
