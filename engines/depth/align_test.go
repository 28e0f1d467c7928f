package depth

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/scene"
)

// wavy is a picture of 64x48 pixels of a surface 2 to 6 units away, and n points on it.
func wavy(n int) (*scene.Reconstruction, *Map) {
	rng := rand.New(rand.NewPCG(3, uint64(n)))
	const w, h = 64, 48
	inverse := func(x, y float64) float64 { return 1/3.0 + 1/6.0*math.Sin(x/9)*math.Cos(y/7) }
	m := &Map{Width: w, Height: h}
	for y := range h {
		for x := range w {
			m.Values = append(m.Values, float32(inverse(float64(x)+0.5, float64(y)+0.5)))
		}
	}
	r := &scene.Reconstruction{
		Cameras: []scene.Camera{{CameraID: 1, Model: scene.Pinhole, Width: w, Height: h, Params: []float64{50, 50, w / 2, h / 2}}},
		Images:  []scene.Image{{ImageID: 1, CameraID: 1, Name: "a.jpg", CamFromWorld: scene.Rigid3{Rotation: [4]float64{1, 0, 0, 0}, Translation: [3]float64{0.1, -0.2, 0.3}}}},
	}
	for i := range n {
		x, y := 1+rng.Float64()*(w-2), 1+rng.Float64()*(h-2)
		z := 1 / inverse(x, y)
		r.Points3D = append(r.Points3D, scene.Point3D{
			Point3DID: uint64(i + 1), XYZ: [3]float64{(x-w/2)/50*z - 0.1, (y-h/2)/50*z + 0.2, z - 0.3}, Error: 0.4,
			Track: []scene.TrackElement{{ImageID: 1, Point2DIdx: uint32(i)}, {ImageID: 2}},
		})
		r.Images[0].Points2D = append(r.Images[0].Points2D, scene.Point2D{X: x, Y: y, Point3DID: uint64(i + 1)})
	}
	return r, m
}

// said is what a model of a kind says of a true map: scale·target + shift = true.
func said(truth *Map, kind OutputKind, scale, shift float64) *Map {
	m := &Map{Width: truth.Width, Height: truth.Height}
	for _, inverse := range truth.Values {
		target := float64(inverse)
		if kind != InverseDepth {
			target = 1 / target
		}
		m.Values = append(m.Values, float32((target-shift)/scale))
	}
	return m
}

// medianRelativeError of the depth of a map, where it is known.
func medianRelativeError(t *testing.T, got, truth *Map) float64 {
	t.Helper()
	var off []float64
	for i, v := range got.Values {
		if v >= 0 {
			off = append(off, math.Abs(float64(truth.Values[i]/v)-1))
		}
	}
	if len(off) < len(got.Values)*9/10 {
		t.Errorf("only %d of %d pixels are known", len(off), len(got.Values))
	}
	return unweightedMedian(off)
}

func TestAlignFindsScaleAndShiftAmongOutliers(t *testing.T) {
	for _, kind := range []OutputKind{InverseDepth, AffineDepth, MetricDepth} {
		for _, share := range []float64{0, 0.2, 0.4} {
			r, truth := wavy(400)
			rng := rand.New(rand.NewPCG(5, 5))
			for i := range r.Points3D {
				if rng.Float64() < share { // a wrong match lies anywhere along the ray
					k := 0.3 + 3*rng.Float64()
					p := &r.Points3D[i].XYZ
					c := r.Images[0].Center()
					for d := range 3 {
						p[d] = c[d] + k*(p[d]-c[d])
					}
				}
			}
			scale, shift := 0.013, 0.07
			if kind == MetricDepth {
				shift = 0
			}
			m := said(truth, kind, scale, shift)
			a := Align(r, &r.Images[0], m, kind)
			if !a.OK() {
				t.Errorf("%s, %.0f %% outliers: rejected: %s", kind, 100*share, a.Rejected)
				continue
			}
			if !(math.Abs(a.Scale/scale-1) < 0.01) || !(math.Abs(a.Shift-shift) < 0.01) {
				t.Errorf("%s, %.0f %% outliers: scale %g and shift %g, want %g and %g", kind, 100*share, a.Scale, a.Shift, scale, shift)
			}
			aligned := a.Apply(m, kind)
			if off := medianRelativeError(t, &aligned, truth); !(off < 0.005) {
				t.Errorf("%s, %.0f %% outliers: depth off by %.2g", kind, 100*share, off)
			}
			if again := Align(r, &r.Images[0], m, kind); again != a {
				t.Errorf("%s: %+v, then %+v", kind, a, again)
			}
		}
	}
}

// A point that reprojects badly counts less than a good one: here the bad ones are the majority and agree on another line.
func TestAlignTrustsAccuratePoints(t *testing.T) {
	r, truth := wavy(300)
	for i := range r.Points3D {
		p := &r.Points3D[i]
		p.Error = 0.3
		if i%5 < 3 {
			p.Error = 4
			c := r.Images[0].Center()
			for d := range 3 {
				p.XYZ[d] = c[d] + 1.5*(p.XYZ[d]-c[d])
			}
		}
	}
	a := Align(r, &r.Images[0], said(truth, InverseDepth, 0.1, 0), InverseDepth)
	if !(math.Abs(a.Scale/0.1-1) < 0.01) {
		t.Errorf("scale %g, want that of the accurate points, 0.1", a.Scale)
	}
}

func TestAlignLeavesOut(t *testing.T) {
	r, truth := wavy(200)
	rng := rand.New(rand.NewPCG(1, 1))
	noise, constant, unknown := said(truth, InverseDepth, 1, 0), said(truth, InverseDepth, 1, 0), said(truth, InverseDepth, 1, 0)
	for i := range noise.Values {
		noise.Values[i] = rng.Float32()
		constant.Values[i] = 0.5
		unknown.Values[i] = float32(math.NaN())
	}
	few, _ := wavy(10)
	for _, test := range []struct {
		name string
		r    *scene.Reconstruction
		m    *Map
	}{
		{"noise", r, noise}, {"constant", r, constant}, {"NaN", r, unknown}, {"few points", few, truth},
		{"upside down in depth", r, said(truth, InverseDepth, -1, 1)},
		{"empty", r, &Map{}}, {"values missing", r, &Map{Width: 64, Height: 48, Values: make([]float32, 5)}},
	} {
		a := Align(test.r, &test.r.Images[0], test.m, InverseDepth)
		if a.OK() {
			t.Errorf("%s: %+v", test.name, a)
		}
		if body, err := json.Marshal(a); err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else {
			t.Logf("%s: %s", test.name, body)
		}
	}
}

func TestReconcile(t *testing.T) {
	all := []Alignment{{Scale: 1}, {Scale: 1.2}, {Scale: 0.9}, {Scale: 6.1}, {Scale: 0.19}, {Scale: 1e9, Rejected: "before"}}
	if got := Reconcile(all); got != 1 {
		t.Errorf("median scale %g", got)
	}
	for i, want := range []bool{true, true, true, false, false, false} {
		if all[i].OK() != want {
			t.Errorf("%+v: OK is not %v", all[i], want)
		}
	}
	if all[5].Rejected != "before" {
		t.Errorf("the first reason was forgotten: %+v", all[5])
	}
	if got := Reconcile(nil); got != 0 {
		t.Errorf("median scale %g of nothing", got)
	}
}

func TestApplyKnowsWhatItDoesNotKnow(t *testing.T) {
	nan := math.IsNaN
	a := Alignment{Scale: 1, Shift: -1, nearest: 2}
	got := a.Apply(&Map{Width: 4, Height: 1, Values: []float32{0.5, 2, 100, float32(math.NaN())}}, InverseDepth).Values
	if got[0] != 0 || got[1] != 1 || !nan(float64(got[2])) || !nan(float64(got[3])) {
		t.Errorf("inverse depth %v: want 0 beyond infinity, 1, and twice NaN", got)
	}
	got = a.Apply(&Map{Width: 3, Height: 1, Values: []float32{0.5, 3, 1.01}}, AffineDepth).Values
	if !nan(float64(got[0])) || got[1] != 0.5 || !nan(float64(got[2])) {
		t.Errorf("depth %v: want NaN behind the camera, 0.5, and NaN far before every point", got)
	}
}

func TestMapsKeepSixteenBits(t *testing.T) {
	dir := t.TempDir()
	_, m := wavy(1)
	m.Values[5] = float32(math.NaN())
	m.Values[6] = 0
	p, err := WriteMap(dir, "sub/frame_000001.jpg", m)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteParams(dir, map[string]Params{MapName("sub/frame_000001.jpg"): p}); err != nil {
		t.Fatal(err)
	}
	params, err := ReadParams(dir)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadMap(dir, "sub/frame_000001.jpg", params["sub/frame_000001"])
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range m.Values {
		got := back.Values[i]
		if math.IsNaN(float64(want)) != math.IsNaN(float64(got)) || math.Abs(float64(got-want)) > 0.5/65534 {
			t.Fatalf("pixel %d: %g, was %g", i, got, want)
		}
	}
	if _, err := WriteMap(dir, "b.jpg", &Map{Width: 1, Height: 1, Values: []float32{float32(math.NaN())}}); err == nil {
		t.Error("a map without a value was written")
	}
	flat := &Map{Width: 2, Height: 1, Values: []float32{0.25, 0.25}}
	if p, err = WriteMap(dir, "c.jpg", flat); err != nil {
		t.Fatal(err)
	}
	if back, err = ReadMap(dir, "c.jpg", p); err != nil || back.Values[1] != 0.25 {
		t.Errorf("a flat map came back as %v, %v", back.Values, err)
	}
	if _, err := ReadMap(dir, "../x", p); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("a name that leads out of the folder: %v", err)
	}
}

func TestDecodeRefusesOtherPictures(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, &image.RGBA{Pix: make([]byte, 16), Stride: 8, Rect: image.Rect(0, 0, 2, 2)}); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodePNG(&b, Params{}); err == nil {
		t.Error("a coloured picture was taken for a map")
	}
	if _, err := DecodePNG(strings.NewReader("no picture"), Params{}); err == nil {
		t.Error("a text was taken for a map")
	}
}
