package posed

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		want  string // the sets, in order
	}{
		"none":               {[]string{"a.jpg", "sparse/0/cameras.bin", "notes/images.txt"}, ""},
		"beside the images":  {[]string{"cameras.txt", "images.txt", "points3D.txt", "1.jpg"}, ". text"},
		"binary before text": {[]string{"s/cameras.txt", "s/images.txt", "s/cameras.bin", "s/images.bin"}, "s"},
		"half a binary one":  {[]string{"s/cameras.txt", "s/images.txt", "s/cameras.bin"}, "s text"},
		"nerfstudio's":       {[]string{"colmap/sparse/0/cameras.bin", "colmap/sparse/0/images.bin", "transforms.json"}, "transforms.json colmap/sparse/0"},
		"two models":         {[]string{"sparse/1/cameras.bin", "sparse/1/images.bin", "sparse/0/cameras.bin", "sparse/0/images.bin"}, "sparse/0 sparse/1"},
		"a split":            {[]string{"transforms_test.json", "transforms_train.json", "transforms_val.json"}, "transforms_train.json"},
	} {
		var got []string
		for _, s := range Find(test.files) {
			got = append(got, s.Name)
			if s.Text {
				got = append(got, "text")
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

// files of a set for tests, by name.
type files map[string]string

func (f files) read() (*Poses, error) {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return Find(names)[0].Read(func(i int) ([]byte, error) { return []byte(f[names[i]]), nil })
}

const camera = "1 SIMPLE_RADIAL 4000 3000 3500 2000 1500 0.01\n"

// exported has an image for each name, one step apart, that look along z.
func exported(names ...string) files {
	images := ""
	for i, name := range names {
		images += fmt.Sprintf("%d 1 0 0 0 %d 0 0 1 %s\n\n", i+1, -i, name)
	}
	return files{"s/cameras.txt": camera, "s/images.txt": images}
}

func pictures(names ...string) []Picture {
	out := make([]Picture, len(names))
	for i, name := range names {
		out[i] = Picture{Name: name, Width: 4000, Height: 3000}
	}
	return out
}

func TestMatch(t *testing.T) {
	half := func(p []Picture) []Picture {
		for i := range p {
			if strings.HasPrefix(p[i].Name, "images_2/") {
				p[i].Width, p[i].Height = 2000, 1500
			}
		}
		return p
	}
	for name, test := range map[string]struct {
		poses    []string
		pictures []Picture
		want     string // the name of the pose of each picture
	}{
		"by name":              {[]string{"b.jpg", "a.jpg", "c.jpg"}, pictures("a.jpg", "b.jpg", "c.jpg"), "a.jpg b.jpg c.jpg"},
		"converted, elsewhere": {[]string{`C:\capture\A.JPG`, "/home/me/b.tif", "images/c"}, pictures("a.png", "x/b.jpg", "c.jpg"), "A.JPG b.tif images/c"},
		"two folders":          {[]string{"l/1.jpg", "r/1.jpg", "l/2.jpg"}, pictures("images/r/1.jpg", "images/l/1.jpg", "images/l/2.jpg"), "r/1.jpg l/1.jpg l/2.jpg"},
		"copies":               {[]string{"1.jpg", "2.jpg", "3.jpg"}, half(pictures("images_2/1.jpg", "images_2/2.jpg", "images_2/3.jpg", "images/1.jpg", "images/2.jpg", "images/3.jpg")), "- - - 1.jpg 2.jpg 3.jpg"},
		"some without":         {[]string{"1.jpg", "2.jpg", "3.jpg", "9.jpg"}, pictures("1.jpg", "2.jpg", "3.jpg", "4.jpg"), "1.jpg 2.jpg 3.jpg -"},
	} {
		p, err := exported(test.poses...).read()
		if err != nil {
			t.Fatal(name, err)
		}
		found, err := p.Match(test.pictures)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, f := range found {
			if f.Pose < 0 {
				got = append(got, "-")
				continue
			}
			got = append(got, p.poses[f.Pose].name)
			if !f.Stored {
				t.Errorf("%s: %s is not taken as it is stored", name, p.poses[f.Pose].name)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

// TestMissing: every image without a pose and every pose without an image is named; another size of an image is not missed.
func TestMissing(t *testing.T) {
	p, err := exported("1.jpg", "2.jpg", "3.jpg", "7.jpg", "8.jpg").read()
	if err != nil {
		t.Fatal(err)
	}
	all := pictures("1.jpg", "2.jpg", "3.jpg", "4.jpg", "small/1.jpg")
	found, err := p.Match(all)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, w := range p.Missing(all, found) {
		got += w.Code + ": " + w.Message + "\n"
	}
	if want := "images_without_pose: 1 image without a pose in s was left out: 4.jpg.\nposes_without_image: 2 poses in s are of images that are not there: 7.jpg, 8.jpg.\n"; got != want {
		t.Errorf("%s", got)
	}
}

func TestMatchAsShownOrStored(t *testing.T) {
	p, err := exported("1.jpg", "2.jpg", "3.jpg").read()
	if err != nil {
		t.Fatal(err)
	}
	turned := pictures("1.jpg", "2.jpg", "3.jpg")
	for i := range turned {
		turned[i].Width, turned[i].Height, turned[i].OnItsSide = 3000, 4000, true
	}
	found, err := p.Match(turned)
	if err != nil || found[0].Stored {
		t.Errorf("poses of pictures as they are shown: %+v, %v", found, err)
	}
	turned[1].OnItsSide = false
	if _, err := p.Match(turned); fault.CodeOf(err) != BadPoses || !strings.Contains(err.Error(), "2.jpg") || !strings.Contains(err.Error(), "3000x4000") {
		t.Errorf("another shape: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	transforms := func(frame string) files {
		return files{"transforms.json": `{"w": 4000, "h": 3000, "frames": [` + frame + `]}`}
	}
	const eye = `"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]`
	one := exported("1.jpg", "2.jpg", "3.jpg")
	with := func(name, content string) files {
		return files{"s/cameras.txt": one["s/cameras.txt"], "s/images.txt": one["s/images.txt"], name: content}
	}
	for name, test := range map[string]struct {
		files files
		code  string
		says  string
	}{
		"an unknown model":         {with("s/cameras.txt", "1 FISHEYE624 4 3 1 1 2 2\n"), UnknownCameraModel, "FISHEYE624"},
		"whole spheres":            {with("s/cameras.txt", "1 EQUIRECTANGULAR 4000 2000 4000 2000\n"), UnknownCameraModel, "EQUIRECTANGULAR"},
		"no focal length":          {transforms(`{"file_path": "1.jpg", ` + eye + `}`), NoIntrinsics, "1.jpg"},
		"a stretched rotation":     {transforms(`{"fl_x": 1, "file_path": "1.jpg", "transform_matrix": [[2,0,0,0],[0,2,0,0],[0,0,2,0]]}`), NotRigid, "1.jpg"},
		"a mirror":                 {transforms(`{"fl_x": 1, "file_path": "1.jpg", "transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,-1,0]]}`), NotRigid, "reflection"},
		"no unit quaternion":       {with("s/images.txt", "1 2 0 0 0 0 0 0 1 1.jpg\n\n"), NotRigid, "1.jpg"},
		"a camera that is missing": {with("s/images.txt", "1 1 0 0 0 0 0 0 9 1.jpg\n\n"), BadPoses, "camera 9"},
		"an image twice":           {with("s/images.txt", "1 1 0 0 0 0 0 0 1 1.jpg\n\n1 1 0 0 0 0 0 0 1 2.jpg\n\n"), BadPoses, "occurs twice"},
		"a name twice":             {with("s/images.txt", "1 1 0 0 0 0 0 0 1 /a/1.jpg\n\n2 1 0 0 0 0 0 0 1 /b/1.jpg\n\n"), BadPoses, "occurs twice"},
		"no images":                {with("s/images.txt", "# nothing\n"), BadPoses, "0 poses"},
		"no JSON":                  {files{"transforms.json": `{"frames": [}`}, BadPoses, "byte"},
		"another JSON":             {files{"transforms.json": `[1]`}, BadPoses, "transforms.json"},
		"a cut binary":             {files{"s/cameras.bin": "\x01\x00\x00\x00\x00\x00\x00\x00\x01", "s/images.bin": ""}, BadPoses, "s "},
		"a count without end":      {files{"s/cameras.bin": "\xff\xff\xff\xff\xff\xff\xff\xff", "s/images.bin": "\xff\xff\xff\xff\xff\xff\xff\x7f"}, BadPoses, "cannot be in"},
	} {
		p, err := test.files.read()
		if err == nil {
			_, err = p.Match(pictures("1.jpg", "2.jpg", "3.jpg"))
		}
		if fault.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
	p, err := one.read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Match(pictures("x.jpg", "y.jpg", "z.jpg")); fault.CodeOf(err) != OtherImages || !strings.Contains(err.Error(), "1.jpg") || !strings.Contains(err.Error(), "x.jpg") {
		t.Errorf("other names: %v", err)
	}
	if _, err := p.Match(pictures("1.jpg", "2.jpg", "z.jpg")); fault.CodeOf(err) != TooFewPosed {
		t.Errorf("two of three: %v", err)
	}
	// What reading fails with is no fault of the capture.
	if _, err := Find([]string{"transforms.json"})[0].Read(func(int) ([]byte, error) { return nil, fs.ErrPermission }); !errors.Is(err, fs.ErrPermission) || fault.Of(err) != nil {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

func TestMatchFrames(t *testing.T) {
	for name, test := range map[string]struct {
		poses  []string
		frames int
		want   string
	}{
		"this program's":   {[]string{"frame_000002.jpg", "frame_000004.jpg", "frame_000005.jpg"}, 6, "[-1 0 -1 1 2 -1]"},
		"one for each":     {[]string{"images/0007.jpg", "images/0003.jpg", "images/0011.jpg"}, 3, "[1 0 2]"},
		"taken out of it":  {[]string{"frame_00001.png", "frame_00002.png", "frame_00003.png"}, 90, OtherImages},
		"beyond the end":   {[]string{"frame_000002.jpg", "frame_000003.jpg", "frame_000007.jpg"}, 6, OtherImages},
		"without a number": {[]string{"a.jpg", "b.jpg", "c.jpg"}, 3, OtherImages},
		"two":              {[]string{"frame_000002.jpg", "frame_000003.jpg"}, 6, TooFewPosed},
	} {
		p, err := exported(test.poses...).read()
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.MatchFrames(test.frames, 4000, 3000)
		if got := fmt.Sprint(found); (err != nil || got != test.want) && fault.CodeOf(err) != test.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestModelInAnotherSize: cameras, features and errors of points shrink with the images, and what is left out is gone.
func TestModelInAnotherSize(t *testing.T) {
	f := exported("1.jpg", "2.jpg", "3.jpg")
	f["s/images.txt"] = "1 1 0 0 0 0 0 0 1 1.jpg\n100 200 5 300 400 6\n2 1 0 0 0 -1 0 0 1 2.jpg\n110 200 5\n3 1 0 0 0 -2 0 0 1 3.jpg\n310 400 6\n"
	f["s/points3D.txt"] = "5 1 2 3 9 8 7 0.8 1 0 2 0\n6 1 2 4 9 8 7 0.8 1 1 3 0\n7 1 1 1 0 0 0 0.4\n"
	p, err := f.read()
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.Model([]Placed{{Pose: 1, Name: "b.jpg", Width: 1000, Height: 750}, {Pose: 0, Name: "a.jpg", Width: 1000, Height: 750}})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Cameras) != 1 || !slices.Equal(m.Cameras[0].Params, []float64{875, 500, 375, 0.01}) || m.Cameras[0].Width != 1000 {
		t.Errorf("cameras %+v", m.Cameras)
	}
	if len(m.Points3D) != 2 || m.Points3D[0].Point3DID != 5 || m.Points3D[1].Point3DID != 7 || !(math.Abs(m.Points3D[0].Error-0.2) < 1e-12) {
		t.Errorf("points %+v", m.Points3D)
	}
	a := m.ImageByName("a.jpg")
	if a == nil || a.Points2D[0] != (scene.Point2D{X: 25, Y: 50, Point3DID: 5}) || a.Points2D[1].Point3DID != scene.InvalidPoint3DID || a.Center() != [3]float64{} {
		t.Errorf("a.jpg %+v", a)
	}
}

// TestPointsOfDepthMaps: a wall two metres ahead, seen by a phone that is sure of its left half.
func TestPointsOfDepthMaps(t *testing.T) {
	dir := t.TempDir()
	depth, sure, picture := image.NewGray16(image.Rect(0, 0, 64, 48)), image.NewGray(image.Rect(0, 0, 64, 48)), image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			picture.SetRGBA(x, y, color.RGBA{200, 100, 50, 255})
			depth.SetGray16(x/10, y/10, color.Gray16{2000})
			sure.SetGray(x/10, y/10, color.Gray{uint8(2 - x/320)})
		}
	}
	write := func(name string, encode func(f *os.File) error) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(encode(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	m := DepthMap{Path: write("d.png", func(f *os.File) error { return png.Encode(f, depth) }),
		Confidence: write("c.png", func(f *os.File) error { return png.Encode(f, sure) }), Unit: 0.001}
	write("a.jpg", func(f *os.File) error { return jpeg.Encode(f, picture, nil) })
	pose := scene.Rigid3FromCenter([3][3]float64{{1, 0, 0}, {0, 0, -1}, {0, 1, 0}}, [3]float64{1, 2, 3}) // looks along y
	r := &scene.Reconstruction{
		Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 640, Height: 480, Params: []float64{500, 500, 320, 240}}},
		Images:  []scene.Image{{ImageID: 1, CameraID: 1, Name: "a.jpg", CamFromWorld: pose}, {ImageID: 2, CameraID: 1, Name: "b.jpg", CamFromWorld: pose}},
	}
	bad := AddDepthPoints(r, dir, map[string]DepthMap{"a.jpg": m, "b.jpg": {Path: filepath.Join(dir, "a.jpg"), Unit: 1}})
	if err := r.Validate(); err != nil || bad != 1 || len(r.Points3D) != 32*48 {
		t.Fatalf("%d points, %d maps that cannot be read, %v", len(r.Points3D), bad, err)
	}
	for _, p := range r.Points3D {
		if !(math.Abs(p.XYZ[1]-4) < 1e-9) || !(p.XYZ[0] < 1) || !(max(p.RGB[0], 200)-min(p.RGB[0], 200) < 4) {
			t.Fatalf("point %+v", p)
		}
	}
}
