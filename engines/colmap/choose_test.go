package colmap

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

// ring is a reconstruction of n cameras on a circle around the points they all see. Image i is named "i.jpg".
func ring(n, points int) *scene.Reconstruction {
	r := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 100, Height: 100, Params: []float64{80, 80, 50, 50}}}}
	for j := range points {
		r.Points3D = append(r.Points3D, scene.Point3D{Point3DID: uint64(j + 1), XYZ: [3]float64{float64(j), 1, 0}, Error: 0.4})
	}
	for i := range n {
		angle := 2 * math.Pi * float64(i) / float64(n)
		rotation := scene.QuaternionMatrix([4]float64{math.Cos(angle / 2), 0, math.Sin(angle / 2), 0})
		im := scene.Image{ImageID: uint32(i + 1), CameraID: 1, Name: fmt.Sprintf("%d.jpg", i),
			CamFromWorld: scene.Rigid3FromCenter(rotation, [3]float64{math.Sin(angle), 0.1 * float64(i%3), math.Cos(angle)})}
		for j := range points {
			im.Points2D = append(im.Points2D, scene.Point2D{X: 1, Y: 2, Point3DID: uint64(j + 1)})
			r.Points3D[j].Track = append(r.Points3D[j].Track, scene.TrackElement{ImageID: im.ImageID, Point2DIdx: uint32(j)})
		}
		r.Images = append(r.Images, im)
	}
	return r
}

// blind takes away all but keep of an image's observations.
func blind(r *scene.Reconstruction, i, keep int) *scene.Reconstruction {
	for j := keep; j < len(r.Points3D); j++ {
		track := r.Points3D[j].Track
		r.Points3D[j].Track = append(track[:i:i], track[i+1:]...)
		r.Images[i].Points2D[j].Point3DID = scene.InvalidPoint3DID
	}
	return r
}

// misplace moves an image's camera by the radius of the ring.
func misplace(r *scene.Reconstruction, i int) *scene.Reconstruction {
	c := r.Images[i].Center()
	r.Images[i].CamFromWorld = scene.Rigid3FromCenter(r.Images[i].CamFromWorld.Matrix(), [3]float64{c[0], c[1] + 1, c[2]})
	return r
}

func TestChooseModel(t *testing.T) {
	global := func(r *scene.Reconstruction) model { return model{mapper: globalMapper, reconstruction: r, models: 1} }
	incremental := func(r *scene.Reconstruction) model {
		return model{mapper: incrementalMapper, reconstruction: r, models: 1}
	}
	failed := func(mapper string) model {
		return model{mapper: mapper, failure: fail(NoSparseModel, "", "nothing")}
	}
	for name, test := range map[string]struct {
		models []model
		want   string
		agree  bool
	}{
		"both agree":                     {[]model{global(ring(25, 60)), incremental(ring(25, 62))}, globalMapper, true},
		"order does not matter":          {[]model{incremental(ring(25, 62)), global(ring(25, 60))}, globalMapper, true},
		"mapper has more images":         {[]model{global(ring(25, 60).Without([]string{"3.jpg"})), incremental(ring(25, 60))}, incrementalMapper, true},
		"global_mapper has more images":  {[]model{global(ring(25, 60)), incremental(ring(25, 60).Without([]string{"3.jpg"}))}, globalMapper, true},
		"global_mapper misplaced one":    {[]model{global(misplace(blind(ring(25, 60), 4, 10), 4)), incremental(ring(25, 60))}, incrementalMapper, false},
		"disagreement on equal evidence": {[]model{global(misplace(ring(25, 60), 4)), incremental(ring(25, 60))}, incrementalMapper, false},
		"mapper found a fraction":        {[]model{global(misplace(ring(25, 60), 4)), incremental(ring(25, 40))}, globalMapper, false},
		"too little in common":           {[]model{global(ring(25, 60)), incremental(ring(2, 60))}, globalMapper, false},
		"only global_mapper":             {[]model{global(ring(25, 60)), failed(incrementalMapper)}, globalMapper, false},
		"only mapper":                    {[]model{failed(globalMapper), incremental(ring(25, 60))}, incrementalMapper, false},
		"mapper alone was asked":         {[]model{incremental(ring(9, 60))}, incrementalMapper, false},
	} {
		chosen, agreement, reason := chooseModel(test.models)
		if chosen == nil || chosen.mapper != test.want || reason == "" || (agreement != nil && agreement.Agree) != test.agree {
			t.Errorf("%s: chose %+v because %q; agreement %+v", name, chosen, reason, agreement)
		}
	}
	if chosen, _, _ := chooseModel([]model{failed(globalMapper), failed(incrementalMapper)}); chosen != nil {
		t.Errorf("nothing to choose from gave %+v", chosen)
	}
}

func TestWeakImages(t *testing.T) {
	if weak := weakImages(ring(9, 400)); weak != nil {
		t.Errorf("%v of equal images are weak", weak)
	}
	if weak := weakImages(blind(ring(9, 400), 5, 29)); !reflect.DeepEqual(weak, []string{"5.jpg"}) {
		t.Errorf("weak: %v", weak)
	}
	// 40 of 400 are few, but enough for a pose; 20 of 100 are what everybody has.
	if weak := weakImages(blind(ring(9, 400), 5, 40)); weak != nil {
		t.Errorf("weak: %v", weak)
	}
	if weak := weakImages(blind(ring(9, 100), 5, 20)); weak != nil {
		t.Errorf("weak: %v", weak)
	}
}

func TestLargestModelIsRead(t *testing.T) {
	dir := t.TempDir()
	for name, r := range map[string]*scene.Reconstruction{"0": ring(4, 90), "1": ring(7, 30), "10": ring(7, 20)} {
		if err := r.Write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "project.ini"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	var m model
	if err := m.readLargest(dir); err != nil || m.models != 3 || len(m.reconstruction.Images) != 7 || len(m.reconstruction.Points3D) != 30 {
		t.Errorf("%v: %d models, %d images, %d points", err, m.models, len(m.reconstruction.Images), len(m.reconstruction.Points3D))
	}
}

func TestQualityGate(t *testing.T) {
	names := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%d.jpg", i))
		}
		return names
	}
	for _, test := range []struct {
		registered, given int
		weak              int // of the registered
		code              string
		warnings          []string
	}{
		{10, 10, 0, "", nil},
		{5, 10, 0, "", []string{"unregistered_images"}},
		{4, 10, 0, TooFewRegistered, nil},
		{3, 3, 0, "", nil},
		{10, 10, 1, "", []string{"weak_images", "unregistered_images"}},
	} {
		r := reconstructor{plan: Plan{MinRegistered: 0.5}, images: names(test.given)}
		built := ring(test.registered, 400)
		for i := range test.weak {
			blind(built, i, 5)
		}
		chosen, err := r.choose([]model{{mapper: incrementalMapper, reconstruction: built, models: 1}})
		var failure *Failure
		if test.code != "" {
			if !errors.As(err, &failure) || failure.Code != test.code || !strings.Contains(failure.Message, fmt.Sprintf("only %d of %d", test.registered, test.given)) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || len(chosen.Images) != test.registered-test.weak || len(r.result.Unregistered) != test.given-test.registered+test.weak {
			t.Errorf("%+v: %v, %+v", test, err, r.result)
			continue
		}
		var codes []string
		for _, w := range r.result.Warnings {
			codes = append(codes, w.Code)
		}
		if !reflect.DeepEqual(codes, test.warnings) {
			t.Errorf("%+v: warnings %v", test, codes)
		}
	}
	two := reconstructor{plan: Plan{MinRegistered: 0.5}, images: names(3)}
	var failure *Failure
	if _, err := two.choose([]model{{mapper: incrementalMapper, reconstruction: ring(2, 9), models: 1}}); !errors.As(err, &failure) || failure.Code != TooFewRegistered {
		t.Errorf("two images: %v", err)
	}
	if _, err := two.choose([]model{{mapper: incrementalMapper}}); !errors.As(err, &failure) || failure.Code != NoSparseModel {
		t.Errorf("no model: %v", err)
	}
}

func TestCameraGroups(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	encode := func(w, h int, exif bool) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)), nil); err != nil {
			t.Fatal(err)
		}
		if !exif {
			return b.Bytes()
		}
		segment := "\xff\xe1\x00\x10Exif\x00\x00MM\x00*\x00\x00\x00\x08"
		return append([]byte(b.String()[:2]+segment), b.Bytes()[2:]...)
	}
	write("b.jpg", encode(40, 30, false))
	write("a.jpg", encode(40, 30, true))
	write("sub/c.jpg", encode(30, 40, false))
	write("sub/d.jpg", encode(40, 30, false))
	write("e.jpg", encode(30, 40, true))
	write(".hidden.jpg", nil)
	write(".git/f.jpg", nil)
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 40))); err != nil {
		t.Fatal(err)
	}
	write("f.png", b.Bytes())
	write("g.bin", nil)

	names, err := listImages(dir)
	if want := []string{"a.jpg", "b.jpg", "e.jpg", "f.png", "g.bin", "sub/c.jpg", "sub/d.jpg"}; err != nil || !reflect.DeepEqual(names, want) {
		t.Fatalf("%v, %v", names, err)
	}
	groups, err := cameraGroups(dir, names, false)
	want := []cameraGroup{
		{names: []string{"a.jpg", "e.jpg"}}, // COLMAP decides by EXIF
		{names: []string{"b.jpg", "sub/d.jpg"}, single: true},
		{names: []string{"f.png", "sub/c.jpg"}, single: true},
		{names: []string{"g.bin"}, single: true},
	}
	if err != nil || !reflect.DeepEqual(groups, want) {
		t.Errorf("%+v, %v", groups, err)
	}
	groups, err = cameraGroups(dir, names, true)
	if err != nil || len(groups) != 1 || !groups[0].single || len(groups[0].names) != 7 {
		t.Errorf("video: %+v, %v", groups, err)
	}
	if _, err := listImages(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing folder was listed")
	}
}

func TestOverallProgressNeverFalls(t *testing.T) {
	var fractions []float64
	o := overall{listener: func(p Progress) { fractions = append(fractions, p.Fraction) }}
	o.phase(phaseExtract)
	o.report(Progress{Command: "feature_extractor", Step: 50, Total: 50})
	o.report(Progress{Command: "feature_extractor", Step: 1, Total: 5}) // a second group of cameras
	o.phase(phaseMap)
	o.parallel(2)
	o.report(Progress{Command: "mapper", Step: 50, Total: 50})
	o.report(Progress{Command: "global_mapper", Step: 50, Total: 100})
	o.report(Progress{Command: "view_graph_calibrator", Step: 1, Total: 1})
	o.report(Progress{Command: "unknown", Step: 5})
	o.finish()
	for i, want := range []float64{0.22, 0.22, 0.86, 0.915, 0.915, 0.915, 1} {
		if i >= len(fractions) || !(math.Abs(fractions[i]-want) < 1e-9) {
			t.Fatalf("fractions %v", fractions)
		}
	}
	sum := 0.0
	for _, weight := range phaseWeights {
		sum += weight
	}
	if !(math.Abs(sum-1) < 1e-9) {
		t.Errorf("the weights sum to %v", sum)
	}
}
