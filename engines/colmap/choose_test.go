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

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// ring is a reconstruction of n cameras on a circle around the points they all see. Image i is named "i.jpg".
func ring(n, points int) *scene.Reconstruction {
	r := &scene.Reconstruction{Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: 100, Height: 100, Params: []float64{80, 80, 50, 50}}}}
	for j := range points {
		r.Points3D = append(r.Points3D, scene.Point3D{Point3DID: uint64(j + 1), XYZ: [3]float64{0.3 * math.Cos(float64(j)), 0.1, 0.3 * math.Sin(float64(j))}, Error: 0.4})
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

// telescope gives the camera a focal length of a hundred times its images' longer side.
func telescope(r *scene.Reconstruction) *scene.Reconstruction {
	r.Cameras[0].Params = []float64{1e4, 1e4, 50, 50}
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
		given  int
		want   string
		agree  bool
	}{
		"both agree":                     {[]model{global(ring(25, 60)), incremental(ring(25, 62))}, 25, globalMapper, true},
		"order does not matter":          {[]model{incremental(ring(25, 62)), global(ring(25, 60))}, 25, globalMapper, true},
		"mapper has more images":         {[]model{global(ring(25, 60).Without([]string{"3.jpg"})), incremental(ring(25, 60))}, 25, incrementalMapper, true},
		"global_mapper has more images":  {[]model{global(ring(25, 60)), incremental(ring(25, 60).Without([]string{"3.jpg"}))}, 25, globalMapper, true},
		"global_mapper misplaced one":    {[]model{global(misplace(blind(ring(25, 60), 4, 10), 4)), incremental(ring(25, 60))}, 25, incrementalMapper, false},
		"disagreement on equal evidence": {[]model{global(misplace(ring(25, 60), 4)), incremental(ring(25, 60))}, 25, incrementalMapper, false},
		"mapper found a fraction":        {[]model{global(misplace(ring(25, 60), 4)), incremental(ring(25, 40))}, 25, globalMapper, false},
		"too little in common":           {[]model{global(ring(25, 60)), incremental(ring(2, 60))}, 25, globalMapper, false},
		"only global_mapper":             {[]model{global(ring(25, 60)), failed(incrementalMapper)}, 25, globalMapper, false},
		"only mapper":                    {[]model{failed(globalMapper), incremental(ring(25, 60))}, 25, incrementalMapper, false},
		"of few images mapper's":         {[]model{global(ring(12, 60)), incremental(ring(12, 60))}, 12, incrementalMapper, true},
		"a focal length no lens has":     {[]model{global(telescope(ring(25, 62))), incremental(ring(25, 60))}, 25, incrementalMapper, true},
		"only global_mapper, few images": {[]model{global(ring(9, 150)), failed(incrementalMapper)}, 9, globalMapper, false},
		"mapper alone was asked":         {[]model{incremental(ring(9, 60))}, 9, incrementalMapper, false},
	} {
		c := chooseModel(test.models, test.given, nil)
		if c.model == nil || c.model.mapper != test.want || c.reason == "" || (c.agreement != nil && c.agreement.Agree) != test.agree {
			t.Errorf("%s: chose %+v because %q; agreement %+v", name, c.model, c.reason, c.agreement)
		}
		for i, candidate := range c.candidates {
			if failed := test.models[i].reconstruction == nil; !(candidate.Score >= 0 && candidate.Score <= 1) || failed && candidate.Score != 0 {
				t.Errorf("%s: %s scores %v", name, candidate.Mapper, candidate.Score)
			}
		}
	}
	if c := chooseModel([]model{failed(globalMapper), failed(incrementalMapper)}, 25, nil); c.model != nil {
		t.Errorf("nothing to choose from gave %+v", c.model)
	}
	// Nobody confirms a model of few images with few observations.
	if c := chooseModel([]model{global(ring(7, 40)), failed(incrementalMapper)}, 7, nil); c.model != nil || c.reason == "" {
		t.Errorf("chose %+v because %q", c.model, c.reason)
	}
}

func TestWeakImages(t *testing.T) {
	if weak := (&model{reconstruction: ring(9, 400)}).weakImages(); weak != nil {
		t.Errorf("%v of equal images are weak", weak)
	}
	if weak := (&model{reconstruction: blind(ring(9, 400), 5, 29)}).weakImages(); !reflect.DeepEqual(weak, []string{"5.jpg"}) {
		t.Errorf("weak: %v", weak)
	}
	// 40 of 400 are few, but enough for a pose; 20 of 100 are what everybody has.
	if weak := (&model{reconstruction: blind(ring(9, 400), 5, 40)}).weakImages(); weak != nil {
		t.Errorf("weak: %v", weak)
	}
	if weak := (&model{reconstruction: blind(ring(9, 100), 5, 20)}).weakImages(); weak != nil {
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
	if err := m.readLargest(dir); err != nil || m.models != 3 || m.registered != 7 || len(m.reconstruction.Images) != 7 || len(m.reconstruction.Points3D) != 30 {
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
		{8, 10, 0, "", []string{"unregistered_images"}},
		{5, 10, 0, "", []string{"poorly_registered"}},
		{4, 10, 0, TooFewRegistered, nil},
		{3, 3, 0, "", nil},
		{10, 10, 1, "", []string{"weak_images"}}, // one image, one warning
		{9, 10, 1, "", []string{"weak_images", "unregistered_images"}},
	} {
		r := reconstructor{plan: Plan{MinRegistered: 0.5}, images: names(test.given)}
		built := ring(test.registered, 400)
		for i := range test.weak {
			blind(built, i, 5)
		}
		chosen, err := r.choose([]model{{mapper: incrementalMapper, reconstruction: built, models: 1}})
		var failure *fault.Failure
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
	// Poses alone are not enough: there must be points, and they must be seen from different sides.
	sparse := reconstructor{plan: Plan{MinRegistered: 0.5}, images: names(10)}
	still := ring(10, 400)
	for i := range still.Images {
		c := still.Images[i].Center()
		still.Images[i].CamFromWorld = scene.Rigid3FromCenter(still.Images[i].CamFromWorld.Matrix(), [3]float64{0.005 * c[0], 0.005 * c[1], 0.005*c[2] - 1})
	}
	for code, r := range map[string]*scene.Reconstruction{TooFewPoints: ring(10, 120), DegenerateBaseline: still} {
		var failure *fault.Failure
		if _, err := sparse.choose([]model{{mapper: incrementalMapper, reconstruction: r, models: 1}}); !errors.As(err, &failure) || failure.Code != code || failure.Kind != fault.Input || failure.Advice == "" {
			t.Errorf("%s: got %v", code, err)
		}
	}
	two := reconstructor{plan: Plan{MinRegistered: 0.5}, images: names(3)}
	var failure *fault.Failure
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
	groups, err := cameraGroups(Plan{ImagePath: dir}, names)
	want := []cameraGroup{
		{names: []string{"a.jpg", "e.jpg"}, model: "SIMPLE_RADIAL"}, // COLMAP decides by EXIF
		{names: []string{"b.jpg", "sub/d.jpg"}, single: true, model: "SIMPLE_RADIAL"},
		{names: []string{"f.png", "sub/c.jpg"}, single: true, model: "SIMPLE_RADIAL"},
		{names: []string{"g.bin"}, single: true, model: "SIMPLE_RADIAL"},
	}
	if err != nil || !reflect.DeepEqual(groups, want) {
		t.Errorf("%+v, %v", groups, err)
	}
	groups, err = cameraGroups(Plan{ImagePath: dir, Video: true}, names)
	if err != nil || len(groups) != 1 || !groups[0].single || len(groups[0].names) != 7 || groups[0].model != "OPENCV" {
		t.Errorf("video: %+v, %v", groups, err)
	}
	// What is known of images decides, and an exact focal length leaves nothing to find.
	inputs := []ImageInput{{Name: "a.jpg", Camera: 2}, {Name: "b.jpg", Camera: 1, FocalLengthPx: 36}, {Name: "e.jpg", Camera: 3, Frame: true}}
	groups, err = cameraGroups(Plan{ImagePath: dir, Images: inputs}, []string{"a.jpg", "b.jpg", "e.jpg"})
	if want := []cameraGroup{
		{names: []string{"a.jpg"}, single: true, model: "SIMPLE_RADIAL"},
		{names: []string{"b.jpg"}, single: true, model: "PINHOLE", params: []float64{36, 36, 20, 15}},
		{names: []string{"e.jpg"}, single: true, model: "SIMPLE_RADIAL"}, // one frame of a video shows no distortion
	}; err != nil || !reflect.DeepEqual(groups, want) {
		t.Errorf("%+v, %v", groups, err)
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

// Where the mappers disagree, the places that photos state decide between them, as far as they tell the two apart.
func TestPlacesDecide(t *testing.T) {
	places := func(noise float64) map[string][3]float64 {
		p := make(map[string][3]float64)
		for i, im := range ring(25, 40).Images {
			c := im.Center()
			p[im.Name] = [3]float64{50*c[0] + noise*math.Sin(float64(7*i)), 50*c[2] + noise*math.Cos(float64(11*i)), -50 * c[1]}
		}
		return p
	}
	// Half of the global mapper's cameras are elsewhere, and its score is still the better one.
	torn := ring(25, 40)
	for i := range 12 {
		misplace(torn, i)
	}
	right := ring(25, 40)
	for i := range 5 {
		blind(right, i, 20)
	}
	models := func() []model {
		return []model{{mapper: globalMapper, reconstruction: torn, models: 1}, {mapper: incrementalMapper, reconstruction: right, models: 1}}
	}
	c := chooseModel(models(), 25, places(0.5))
	if c.model == nil || c.model.mapper != incrementalMapper || !c.located || c.doubtful() || !strings.Contains(c.reason, "GPS") ||
		!(c.candidates[1].GPSErrorPct > 0 && c.candidates[1].GPSErrorPct < c.candidates[0].GPSErrorPct) {
		t.Errorf("%q, %+v", c.reason, c.candidates)
	}
	// Swapped, it is the other's.
	c = chooseModel([]model{{mapper: globalMapper, reconstruction: right, models: 1}, {mapper: incrementalMapper, reconstruction: torn, models: 1}}, 25, places(0.5))
	if c.model == nil || c.model.mapper != globalMapper || !c.located {
		t.Errorf("swapped: %q, %+v", c.reason, c.candidates)
	}
	// Receivers that are wrong by more than the models differ, and few places, say nothing.
	few := places(0)
	for name := range few {
		if len(few) > 3 {
			delete(few, name)
		}
	}
	for name, p := range map[string]map[string][3]float64{"noise": places(2000), "three places": few, "none": nil} {
		if c := chooseModel(models(), 25, p); c.located {
			t.Errorf("%s: %q, %+v", name, c.reason, c.candidates)
		}
	}
}

// What comes before the work of a phase does not count as the work; groups of cameras share a phase; what is done again shares
// what is left; and phases count by what they are expected to take.
func TestOverallProgressIsInProportion(t *testing.T) {
	last := 0.0
	o := overall{listener: func(p Progress) { last = p.Fraction }}
	o.expect([numPhases]float64{phaseExtract: 10, phaseMatch: 70, phaseMap: 15, phaseUndistort: 5})
	for i, step := range []struct {
		before func()
		p      Progress
		want   float64
	}{
		{func() { o.phase(phaseExtract); o.next(0.4) }, Progress{Command: "feature_extractor", Step: 5, Total: 10}, 0.02},
		{nil, Progress{Command: "feature_extractor", Step: 10, Total: 10}, 0.04},
		{func() { o.next(1) }, Progress{Command: "feature_extractor", Step: 5, Total: 10}, 0.07},
		{func() { o.phase(phaseMatch) }, Progress{Command: "vocab_tree_builder", Step: 1, Total: 1}, 0.1},
		{nil, Progress{Command: "sequential_matcher", Step: 1, Total: 10}, 0.17},
		{nil, Progress{Command: "sequential_matcher", Step: 10, Total: 10}, 0.8},
		{func() { o.again(); o.phase(phaseMatch) }, Progress{Command: "exhaustive_matcher", Step: 5, Total: 10}, 0.8 + 0.2*0.45},
	} {
		if step.before != nil {
			step.before()
		}
		if o.report(step.p); !(math.Abs(last-step.want) < 1e-9) {
			t.Errorf("step %d: %v, want %v", i, last, step.want)
		}
	}
}

// The features found, not their limit, say how long matching takes.
func TestPlanByTheFeaturesFound(t *testing.T) {
	r := reconstructor{plan: Plan{MaxNumFeatures: 2000, Size: Size{Images: 16, Width: 504, Height: 336}}, colmap: Colmap{Threads: 2}}
	r.expect(0)
	planned := r.result.Expected
	r.count([]int{4000, 4000, 4000})
	if found := r.result.Expected; found.Features != 4000 || found.Pairs != planned.Pairs || !(found.phases[phaseMatch] > 2*planned.phases[phaseMatch]) || found.MemoryBytes < planned.MemoryBytes {
		t.Errorf("planned %+v, with what was found %+v", planned, found)
	}
	before := r.result.Expected
	r.count(nil) // of an interrupted run COLMAP says nothing
	if r.result.Expected != before {
		t.Errorf("without counts: %+v", r.result.Expected)
	}
}

// COLMAP leaves out images whose mask is missing: those get one that hides nothing.
func TestMasksAreCompleted(t *testing.T) {
	dir := t.TempDir()
	r := reconstructor{plan: Plan{ImagePath: filepath.Join(dir, "images"), MaskPath: filepath.Join(dir, "masks"), WorkPath: filepath.Join(dir, "work")}, images: []string{"a.png", "sub/b.png"}}
	if path, err := r.completeMasks(); path != "" || err != nil {
		t.Fatalf("no masks gave %q, %v", path, err)
	}
	for name, ink := range map[string]uint8{"images/a.png": 90, "images/sub/b.png": 90, "masks/a.png.png": 0} {
		picture := image.NewGray(image.Rect(0, 0, 8, 6))
		for i := range picture.Pix {
			picture.Pix[i] = ink
		}
		var b bytes.Buffer
		if err := errors.Join(png.Encode(&b, picture), os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	path, err := r.completeMasks()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{"a.png.png": 0, "sub/b.png.png": 0xffff} {
		data, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		mask, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if ink, _, _, _ := mask.At(3, 3).RGBA(); ink != want || mask.Bounds() != image.Rect(0, 0, 8, 6) {
			t.Errorf("%s is %#x in %v", name, ink, mask.Bounds())
		}
	}
}
