package frames

import (
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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
	selection, r, err := c.Choose(t.Context(), SelectOptions{MaxImages: 30}, nil)
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
	for _, m := range images {
		want, ok := byName[m.Name]
		if !ok || m.Width != camera.Width || m.FocalLengthPx != float64(m.Width)/2 || m.Camera != 1 {
			t.Fatalf("%+v is no view of the truth", m)
		}
		picture, err := decodePicture(t.Context(), filepath.Join(out, m.Name))
		if err != nil {
			t.Fatal(err)
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
		put(t, filepath.Join(dir, string(rune('a'+i))+".jpg"), insertExif(jpegOf(t, textured(800, 400, uint64(i)), nil), xmp))
	}
	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	selection, r, err := c.Choose(t.Context(), SelectOptions{}, nil)
	if err != nil || r.Selected != 18 {
		t.Fatalf("%+v, %v", r, err)
	}
	images, err := c.Extract(t.Context(), selection, filepath.Join(t.TempDir(), "images"), 0, nil)
	if err != nil || len(images) != 18 || images[17].Name != "c_view_5.jpg" || images[17].Width != 255 || images[17].FocalLengthPx != 127.5 {
		t.Errorf("%d images, %v", len(images), err)
	}
}
