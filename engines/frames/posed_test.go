package frames

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/posed"
)

// zipped packs members into an archive.
func zipped(t *testing.T, members map[string][]byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range members {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.zip")
	put(t, name, b.Bytes())
	return name
}

// TestPosesInAnArchive: poses among the photos are found, photos without one are left out by name, and photos that lie on their
// side are taken as they are stored, which is what the poses are of.
func TestPosesInAnArchive(t *testing.T) {
	members := map[string][]byte{"sparse/0/cameras.txt": []byte("1 PINHOLE 400 200 300 300 200 100\n"), "sparse/0/points3D.txt": nil}
	images := ""
	for i := range 5 {
		m := textured(400, 200, uint64(i))
		name := fmt.Sprintf("photos/IMG_%d.jpg", i)
		members[name] = jpegOf(t, m, exifPayload(binary.BigEndian, 6))
		if i < 4 {
			images += fmt.Sprintf("%d 1 0 0 0 %d 0 0 1 IMG_%d.jpg\n\n", i+1, i, i)
		}
	}
	members["sparse/0/images.txt"] = []byte(images)
	dir := t.TempDir()
	c, err := Open(t.Context(), Tools{}, zipped(t, members), filepath.Join(dir, "unpacked"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	selection, report, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	warned := fmt.Sprint(report.Warnings)
	if c.Poses() != "sparse/0" || report.Poses != "sparse/0" || len(selection.Frames) != 4 || !strings.Contains(warned, "photos/IMG_4.jpg") || strings.Contains(warned, "skipped_files") {
		t.Errorf("%d chosen, %s", len(selection.Frames), warned)
	}
	extracted, err := c.Extract(t.Context(), selection, filepath.Join(dir, "images"), 200, nil)
	if err != nil {
		t.Fatal(err)
	}
	known, err := c.Posed(extracted)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range extracted {
		im := known.Model.ImageByName(m.Name)
		if m.Width != 200 || m.Height != 100 || im == nil || known.Turned[m.Name] != 6 || im.CamFromWorld.Translation[0] != float64(i) {
			t.Errorf("%+v of %+v", im, m)
		}
	}
	if cameras := known.Model.Cameras; len(cameras) != 1 || cameras[0].Params[0] != 150 || cameras[0].Width != 200 {
		t.Errorf("cameras %+v", cameras)
	}
	delete(members, "photos/IMG_0.jpg")
	delete(members, "photos/IMG_1.jpg")
	if _, err := Open(t.Context(), Tools{}, zipped(t, members), filepath.Join(dir, "few"), Limits{}); fault.CodeOf(err) != posed.TooFewPosed {
		t.Errorf("two photos with poses: %v", err)
	}
	members["sparse/0/cameras.txt"] = []byte("1 PINHOLE 400 200 -1 300 200 100\n")
	if _, err := Open(t.Context(), Tools{}, zipped(t, members), filepath.Join(dir, "bad"), Limits{}); fault.CodeOf(err) != posed.BadPoses {
		t.Errorf("a negative focal length: %v", err)
	}
}
