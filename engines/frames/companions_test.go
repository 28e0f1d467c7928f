package frames

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
)

// What cameras write beside a photo or a film is one capture with it.
func TestCompanionsAreSetAside(t *testing.T) {
	dir := t.TempDir()
	jpeg := jpegOf(t, textured(160, 120, 1), nil)
	for _, name := range []string{
		"IMG_0001.HEIC.jpg", "IMG_0001.jpg", "IMG_0001.AAE", "IMG_0001.CR2", "IMG_0001.jpg.json", "IMG_E0001.jpg", // 1 photo
		"PXL_2.jpg", "PXL_2-edited.jpg", "PXL_2_edited(1).jpg",
		"GX010003.MP4", "GL010003.LRV", "GX010003.THM", "DJI_4.MP4", "DJI_4.LRF", "DJI_4.SRT",
		"GL010009.LRV", "alone.THM", "alone.xmp", "IMG_E0077.jpg", "raw/IMG_0001.CR2", "my_edited.jpg", // nothing to belong to
	} {
		put(t, filepath.Join(dir, name), jpeg)
	}
	// Of one stem, but of another shape: another picture.
	put(t, filepath.Join(dir, "IMG_0001.png"), pngOf(t, textured(120, 160, 1)))
	files, _, err := findFiles(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	rest, aside, _ := setAside(files)
	var kept, left []string
	for _, f := range rest {
		kept = append(kept, f.Name)
	}
	for _, s := range aside {
		left = append(left, s.Name+" "+s.Reason)
	}
	slices.Sort(kept)
	slices.Sort(left)
	if want := []string{"DJI_4.MP4", "GL010009.LRV", "GX010003.MP4", "IMG_0001.HEIC.jpg", "IMG_0001.png", "IMG_E0077.jpg", "PXL_2.jpg", "alone.THM", "alone.xmp", "my_edited.jpg", "raw/IMG_0001.CR2"}; !slices.Equal(kept, want) {
		t.Errorf("kept %q\nwant %q", kept, want)
	}
	if want := []string{
		"DJI_4.LRF is the small copy of DJI_4.MP4", "DJI_4.SRT is a description of DJI_4.MP4",
		"GL010003.LRV is the small copy of GX010003.MP4", "GX010003.THM is the thumbnail of GX010003.MP4",
		"IMG_0001.AAE is a description of IMG_0001.HEIC.jpg", "IMG_0001.CR2 is the raw data of IMG_0001.HEIC.jpg",
		"IMG_0001.jpg is another format of IMG_0001.HEIC.jpg", "IMG_0001.jpg.json is a description of IMG_0001.HEIC.jpg",
		"IMG_E0001.jpg is an edited version of IMG_0001.HEIC.jpg",
		"PXL_2-edited.jpg is an edited version of PXL_2.jpg", "PXL_2_edited(1).jpg is an edited version of PXL_2.jpg",
	}; !slices.Equal(left, want) {
		t.Errorf("set aside %q\nwant %q", left, want)
	}
}

// A photo's own clip is no film: neither many of them nor one make the photos a capture of videos. A film of some length
// beside a photo of its name stays.
func TestLivePhotos(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	for i, name := range []string{"IMG_1", "IMG_2", "IMG_3", "IMG_4"} {
		put(t, filepath.Join(dir, name+".JPG"), jpegOf(t, textured(320, 240, uint64(i)), nil))
		copied(t, clip(t), filepath.Join(dir, name+".MOV"))
	}
	copied(t, clip(t), filepath.Join(dir, "walk.MOV"))
	c, err := Open(t.Context(), tools, dir, "", Limits{MaxVideos: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.videos) != 1 || c.videos[0].Name != "walk.MOV" || len(c.photos.Photos) != 4 || len(c.photos.Skipped) != 0 {
		t.Errorf("%d videos, %d photos, skipped %+v", len(c.videos), len(c.photos.Photos), c.photos.Skipped)
	}
	r := Report{}
	c.finish(&r, false)
	i := slices.IndexFunc(r.Warnings, func(w fault.Warning) bool { return w.Code == "companions_set_aside" })
	if i < 0 || !strings.Contains(r.Warnings[i].Message, "4 files") || !strings.Contains(r.Warnings[i].Message, "IMG_1.MOV, is the clip of IMG_1.JPG") {
		t.Errorf("warnings %+v", r.Warnings)
	}
	if _, ok, err := c.isClipOf(t.Context(), File{Path: clip(t), Name: "b.MOV"}, map[string]File{"b": {Path: filepath.Join(dir, "absent"), Name: "b.jpg"}}); ok || err != nil {
		t.Error("the clip of a photo that cannot be used is the only picture there is")
	}
}

// Photos of cameras that EXIF does not name have the intrinsics of their folder, and of their original size.
func TestCamerasWithoutEXIF(t *testing.T) {
	photo := func(name string, w, h int) Photo { return Photo{Name: name, Width: w, Height: h} }
	known := photo("tele/7.jpg", 400, 300)
	known.Exif = Exif{Make: "M", Model: "X", FocalLengthMM: 5}
	elsewhere := known
	elsewhere.Name = "wide/7.jpg"
	c := Capture{photos: Photos{Photos: []Photo{
		photo("wide/1.jpg", 400, 300), photo("wide/2.jpg", 400, 300), photo("wide/3.jpg", 400, 300), // 0 to 2
		photo("tele/1.jpg", 400, 300), photo("tele/2.jpg", 400, 300), photo("tele/3.jpg", 400, 300), // 3 to 5
		photo("wide/4.jpg", 800, 600), // 6, prepared in the same size
		known, elsewhere,              // 7, 8
		photo("a/1.jpg", 400, 300), photo("b/1.jpg", 400, 300), // 9, 10: too few for intrinsics of their own
	}}}
	images := make([]Image, len(c.photos.Photos))
	for i := range images {
		images[i] = Image{Index: i, Width: 200, Height: 150}
	}
	c.numberCameras(images)
	var got []int
	for _, m := range images {
		got = append(got, m.Camera)
	}
	if want := []int{1, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5}; !slices.Equal(got, want) {
		t.Errorf("cameras %v, want %v", got, want)
	}
}

func TestSameShape(t *testing.T) {
	if !sameShape(4032, 3024, 2048, 1536) || !sameShape(4032, 3024, 4033, 3024) || sameShape(400, 300, 300, 400) || sameShape(400, 300, 400, 299-10) {
		t.Error("proportions are compared wrongly")
	}
}
