package frames

import (
	"encoding/binary"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/engines/scene"
)

// A spherical video is recognised, with and without its metadata, and the views that are cut from it are those of the
// perspective cameras that the truth names: every true point has its colour where its camera sees it.
func TestSphericalVideo(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	o := sample.Options{Seed: 3, Frames: 10, Width: 640, Height: 320, Disturbances: []sample.Disturbance{sample.Spherical}}
	if err := sample.Write(t.Context(), tools.FFmpeg, o, dir, nil); err != nil {
		t.Fatal(err)
	}
	truth, err := scene.Read(filepath.Join(dir, sample.SparseFolder))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, sample.VideoFile)
	bare := filepath.Join(dir, "bare.mov")
	flat := filepath.Join(dir, "flat.mp4")
	for _, args := range [][]string{{"-i", path, "-c", "copy", bare}, {"-i", clip(t), "-vf", "crop=320:160", flat}} {
		if out, err := exec.Command(tools.FFmpeg, append([]string{"-v", "error"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, test := range []struct {
		path      string
		spherical bool
	}{{path, true}, {bare, true}, {flat, false}} {
		if v, err := Probe(t.Context(), tools, test.path, Limits{}); err != nil || v.Spherical != test.spherical {
			t.Errorf("%s: spherical %v, %v", filepath.Base(test.path), v.Spherical, err)
		}
	}

	c, err := Open(t.Context(), tools, path, "", Limits{MinEdge: 50})
	if err != nil || !c.Video() {
		t.Fatal(err)
	}
	selection, r, err := c.Choose(t.Context(), choose.Options{MaxImages: 30}, nil)
	if err != nil || len(selection.Frames) < 3 || len(selection.Frames) > 5 || r.Views != sphericalViews || r.Selected != 6*len(selection.Frames) {
		t.Fatalf("%d frames selected, %d images of %d views, %v", len(selection.Frames), r.Selected, r.Views, err)
	}
	out := filepath.Join(t.TempDir(), "images")
	images, err := c.Extract(t.Context(), selection, out, 0, nil)
	if err != nil || len(images) != r.Selected {
		t.Fatalf("%d images, %v", len(images), err)
	}
	if entries, _ := os.ReadDir(out); len(entries) != len(images) {
		t.Errorf("%d files", len(entries))
	}
	byName := map[string]scene.Image{}
	for _, m := range truth.Images {
		byName[m.Name] = m
	}
	points := map[uint64]scene.Point3D{}
	for _, p := range truth.Points3D {
		points[p.Point3DID] = p
	}
	camera := truth.Cameras[0]
	drawn, err := sample.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var shifts []float64
	for i, m := range images {
		want, ok := byName[m.Name]
		if !ok || m.Width != camera.Width || m.FocalLengthPx != float64(m.Width)/2 || m.Camera != 1 || m.View == nil || m.View.Number != i%sphericalViews {
			t.Fatalf("%+v is no view of the truth", m)
		}
		// The rotation between the views is the truth's.
		first := byName[images[i-m.View.Number].Name].CamFromWorld
		turned := scene.QuaternionMatrix(m.View.CamFromRig)
		var expected [3][3]float64
		for row, axis := range turned {
			for column := range 3 {
				for k, along := range first.Matrix() {
					expected[row][column] += axis[k] * along[column]
				}
			}
		}
		if off := scene.RotationAngleDeg(expected, want.CamFromWorld.Matrix()); !(off < 1e-4) {
			t.Errorf("%s: turned by %v, %.4f degree from the truth", m.Name, m.View.CamFromRig, off)
		}
		picture, err := decodePicture(t.Context(), filepath.Join(out, m.Name))
		if err != nil {
			t.Fatal(err)
		}
		if m.Index == images[0].Index {
			shifts = append(shifts, shiftsOf(picture, drawn.View(m.Index, m.View.Number))...)
		}
		off := colourError(picture, want, points)
		// A view further the colours have nothing to do with the points.
		other, err := decodePicture(t.Context(), filepath.Join(out, viewName(FrameName(m.Index), (int(m.Name[len(m.Name)-5]-'0')+1)%sphericalViews)))
		if err != nil {
			t.Fatal(err)
		}
		if wrong := colourError(other, want, points); !(off < 20) || !(off < 0.6*wrong) {
			t.Errorf("%s: colours are off by %.1f, in the next view by %.1f", m.Name, off, wrong)
		}
	}
	slices.Sort(shifts)
	// Measured 0.02; where v360 is not given how far its outermost pixels are apart, 0.35.
	t.Logf("parts of views are off by %.3f pixels, at most %.3f", shifts[len(shifts)/2], shifts[len(shifts)-1])
	if n := len(shifts); n < 30 || !(shifts[n/2] < 0.04) || !(shifts[n*9/10] < 0.15) {
		t.Errorf("parts of views are off by %.3f pixels", shifts)
	}
}

// shiftsOf is how far, in pixels, nine parts of a picture are from where they are in the true one, RGB: the least-squares
// shift of brightness (Lucas and Kanade, IJCAI 1981). Parts that show next to nothing are left out.
func shiftsOf(picture image.Image, truth []byte) []float64 {
	w, h := picture.Bounds().Dx(), picture.Bounds().Dy()
	got, want := make([]float64, w*h), make([]float64, w*h)
	for i := range got {
		r, g, b, _ := picture.At(i%w, i/w).RGBA()
		got[i] = float64(r+g+b) / 3 / 257
		want[i] = (float64(truth[3*i]) + float64(truth[3*i+1]) + float64(truth[3*i+2])) / 3
	}
	at := func(x, y float64) float64 {
		i := int(y)*w + int(x)
		u, v := x-math.Floor(x), y-math.Floor(y)
		return (got[i]*(1-u)+got[i+1]*u)*(1-v) + (got[i+w]*(1-u)+got[i+w+1]*u)*v
	}
	const margin = 3
	var shifts []float64
	for part := range 9 {
		x0, y0 := margin+part%3*(w-2*margin)/3, margin+part/3*(h-2*margin)/3
		dx, dy, shown := 0.0, 0.0, true
		for range 10 {
			var xx, xy, yy, xe, ye float64
			for y := y0; y < y0+(h-2*margin)/3; y++ {
				for x := x0; x < x0+(w-2*margin)/3; x++ {
					i := y*w + x
					gx, gy := (want[i+1]-want[i-1])/2, (want[i+w]-want[i-w])/2
					e := want[i] - at(float64(x)+dx, float64(y)+dy)
					xx, xy, yy, xe, ye = xx+gx*gx, xy+gx*gy, yy+gy*gy, xe+gx*e, ye+gy*e
				}
			}
			determinant := xx*yy - xy*xy
			// Both gradients, a grey level a pixel and more.
			shown = determinant > math.Pow(float64(w*h)/9, 2) && shown
			dx, dy = dx+(yy*xe-xy*ye)/determinant, dy+(xx*ye-xy*xe)/determinant
			dx, dy = max(-2, min(dx, 2)), max(-2, min(dy, 2))
		}
		if shown {
			shifts = append(shifts, math.Hypot(dx, dy))
		}
	}
	return shifts
}

// colourError is the mean difference of a picture from the colours of the points that its camera sees.
func colourError(picture image.Image, m scene.Image, points map[uint64]scene.Point3D) float64 {
	sum, n := 0.0, 0
	for _, p := range m.Points2D {
		r, g, b, _ := picture.At(int(p.X), int(p.Y)).RGBA()
		for k, v := range [3]uint32{r, g, b} {
			sum += math.Abs(float64(v>>8) - float64(points[p.Point3DID].RGB[k]))
			n++
		}
	}
	return sum / float64(max(1, n))
}

// A spherical photo says so in its XMP data and gives the same views.
func TestSphericalPhoto(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	xmp := []byte(xmpMark + `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description GPano:ProjectionType="equirectangular"/></rdf:RDF></x:xmpmeta>`)
	for i := range 3 {
		picture := jpegOf(t, textured(800, 400, uint64(i)), nil)
		if i == 2 {
			picture = insertExif(picture, exifPayload(binary.BigEndian, 1))
		}
		put(t, filepath.Join(dir, string(rune('a'+i))+".jpg"), insertExif(picture, xmp))
	}
	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	selection, r, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil || r.Selected != 18 {
		t.Fatalf("%+v, %v", r, err)
	}
	folder := filepath.Join(t.TempDir(), "images")
	images, err := c.Extract(t.Context(), selection, folder, 0, nil)
	if err != nil || len(images) != 18 || images[17].Name != "c_view_5.jpg" || images[17].Width != 255 || images[17].FocalLengthPx != 127.5 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	// The place stays with every view, for COLMAP to read.
	view, err := os.Open(filepath.Join(folder, images[17].Name))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if read := parseExif(metadataOf(formatJPEG, view).exif).GPS; images[17].GPS == nil || read == nil || *read != *images[17].GPS || images[0].GPS != nil {
		t.Errorf("place %+v, in the file %+v", images[17].GPS, read)
	}
}
