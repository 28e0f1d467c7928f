package frames

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/sample"
)

func copied(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	put(t, to, data)
}

// Two good videos, a black one, photos and strange files in one folder: what is good is used, in a stable order, and the
// rest is named.
func TestSeveralSources(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	copied(t, clip(t), filepath.Join(dir, "IMG_2.MP4"))
	copied(t, clip(t, sample.ExposureSteps), filepath.Join(dir, "IMG_10.MP4"))
	copied(t, clip(t, sample.Black), filepath.Join(dir, "IMG_11.MP4"))
	whole, err := os.ReadFile(clip(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "IMG_12.MP4"), whole[:len(whole)/50])
	for i, name := range []string{"IMG_3.jpg", "more/IMG_3.jpg"} {
		put(t, filepath.Join(dir, name), jpegOf(t, textured(320, 240, uint64(i)), exifPayload(binary.LittleEndian, 1)))
	}
	put(t, filepath.Join(dir, "read me.txt"), []byte("hello"))

	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Video() || len(c.masks) > 0 {
		t.Error("taken for one video or masked")
	}
	last := [2]int{}
	selection, r, err := c.Choose(t.Context(), choose.Options{}, func(done, expected int) {
		if done < last[0] || done > expected {
			t.Errorf("%d of %d after %v", done, expected, last)
		}
		last = [2]int{done, expected}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Input != "videos and photos" || r.Selected != 50 || len(selection.Frames) != 50 || len(r.Parts) != 3 || r.Parts[0].Name != "IMG_2.MP4" || last[0] != last[1] {
		t.Errorf("%+v, progress %v", r, last)
	}
	words := map[string]string{}
	for _, w := range r.Warnings {
		words[w.Code] += w.Message
	}
	if !strings.Contains(words["part_left_out"], "IMG_11.MP4") || !strings.Contains(words["part_left_out"], "IMG_12.MP4") || !strings.Contains(words["skipped_files"], "read me.txt") {
		t.Errorf("warnings %q", words)
	}
	// The selection survives its file.
	body, err := json.Marshal(selection)
	if err != nil {
		t.Fatal(err)
	}
	var again choose.Selection
	if err := json.Unmarshal(body, &again); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "images")
	images, err := c.Extract(t.Context(), again, out, 160, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	cameras := map[int]int{}
	for _, m := range images {
		names = append(names, m.Name)
		cameras[m.Camera]++
	}
	if len(images) != 50 || !slices.IsSorted(names) || names[0] != "photo_000001_IMG_3.jpg" || names[2] != "video_01_frame_000001.jpg" || names[49] != "video_02_frame_000024.jpg" {
		t.Errorf("names %v", names)
	}
	if len(cameras) != 3 {
		t.Errorf("cameras %v", cameras)
	}
	if images[0].GPS == nil || images[5].GPS != nil {
		t.Error("the place of a photo is lost")
	}
	sheet := filepath.Join(t.TempDir(), "sheet.jpg")
	if err := WriteSheet(t.Context(), out, images, again.Frames, sheet); err != nil {
		t.Error(err)
	}

	// The maximum is shared by what there is to see.
	fewer, r, err := c.Choose(t.Context(), choose.Options{MaxImages: 20}, nil)
	if err != nil || len(fewer.Frames) > 22 || len(fewer.Frames) < 15 || r.Selected != len(fewer.Frames) {
		t.Errorf("%d selected, %v", len(fewer.Frames), err)
	}
	count := map[int]int{}
	for _, f := range fewer.Frames {
		count[f.Source]++
	}
	if count[0] < 5 || count[1] < 5 || count[4] != 2 {
		t.Errorf("shares %v", count)
	}
	if _, err := Open(t.Context(), tools, dir, "", Limits{MaxVideos: 2}); code(err) != TooManyVideos {
		t.Errorf("too many videos: %v", err)
	}
	if _, err := Open(t.Context(), tools, dir, "", Limits{MaxFrames: 50}); code(err) != TooManyFrames {
		t.Errorf("too many frames: %v", err)
	}
}

// Of videos alone, in an archive: all broken is a failure with the first one's reason.
func TestSeveralBrokenVideos(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	copied(t, clip(t, sample.Black), filepath.Join(dir, "a.mp4"))
	copied(t, clip(t, sample.Still), filepath.Join(dir, "b.mp4"))
	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Choose(t.Context(), choose.Options{}, nil); code(err) != AllBlack {
		t.Errorf("got %v", err)
	}
	put(t, filepath.Join(dir, "a.mp4"), []byte("\x00\x00\x00\x18ftypmp42"))
	os.Remove(filepath.Join(dir, "b.mp4"))
	if _, err := Open(t.Context(), tools, dir, "", Limits{}); fault.Of(err) == nil {
		t.Errorf("nothing usable: %v", err)
	}
}

// Masks reach the folder that COLMAP reads, by the names it expects, as large as the images and upright like them.
func TestMasks(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	half := func(w, h int) *image.Gray { // the left half counts
		m := image.NewGray(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w / 2 {
				m.SetGray(x, y, color.Gray{Y: 255})
			}
		}
		return m
	}
	put(t, filepath.Join(dir, "images", "IMG_1.jpg"), jpegOf(t, textured(320, 240, 1), nil))
	put(t, filepath.Join(dir, "images", "IMG_2.jpg"), jpegOf(t, textured(320, 240, 2), exifPayload(binary.BigEndian, 6)))
	put(t, filepath.Join(dir, "images", "IMG_3.jpg"), jpegOf(t, textured(320, 240, 3), exifPayload(binary.BigEndian, 6)))
	put(t, filepath.Join(dir, "images", "IMG_5.jpg"), jpegOf(t, textured(320, 240, 5), nil))
	cut := image.NewNRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			c := color.NRGBA{R: 200, G: byte(x * 255 / 319), B: byte(y), A: 255}
			if x >= 160 {
				c = color.NRGBA{}
			}
			if x == 159 {
				c.A = 100
			}
			cut.SetNRGBA(x, y, c)
		}
	}
	put(t, filepath.Join(dir, "images", "IMG_4.png"), pngOf(t, cut))
	put(t, filepath.Join(dir, "masks", "IMG_1.jpg.png"), pngOf(t, half(640, 480)))
	put(t, filepath.Join(dir, "masks", "IMG_2.png"), pngOf(t, half(320, 240))) // lies like the photo
	put(t, filepath.Join(dir, "masks", "IMG_3.png"), pngOf(t, half(240, 320))) // upright, as it is shown
	put(t, filepath.Join(dir, "masks", "IMG_9.png"), pngOf(t, half(320, 240)))
	put(t, filepath.Join(dir, "masks", "IMG_5.png"), []byte("no picture"))

	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil || len(c.masks) == 0 {
		t.Fatalf("%d masks, %v", len(c.masks), err)
	}
	selection, r, err := c.Choose(t.Context(), choose.Options{}, nil)
	if err != nil || warned(r) != "exposure_changes low_resolution skipped_files unmatched_masks few_images" || r.Masks != 4 || r.Selected != 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	work := t.TempDir()
	images, err := c.Extract(t.Context(), selection, filepath.Join(work, "images"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		mask             string
		w, h             int
		counted, ignored image.Point
	}{
		{"IMG_1.jpg.png", 320, 240, image.Pt(20, 120), image.Pt(300, 120)},
		{"IMG_2.jpg.png", 240, 320, image.Pt(120, 20), image.Pt(120, 300)}, // a quarter clockwise: left is above
		{"IMG_3.jpg.png", 240, 320, image.Pt(20, 160), image.Pt(220, 160)},
		{"IMG_4.jpg.png", 320, 240, image.Pt(20, 120), image.Pt(300, 120)},
		{"", 320, 240, image.Point{}, image.Point{}},
	} {
		m := images[i]
		if m.Mask != test.mask || m.Width != test.w || m.Height != test.h {
			t.Errorf("image %d: %+v", i, m)
		}
		if test.mask == "" {
			continue
		}
		got, err := decodePicture(t.Context(), filepath.Join(MasksBeside(filepath.Join(work, "images")), test.mask))
		if err != nil {
			t.Fatal(err)
		}
		gray, ok := got.(*image.Gray)
		if !ok || gray.Rect.Dx() != test.w || gray.Rect.Dy() != test.h || gray.GrayAt(test.counted.X, test.counted.Y).Y != 255 || gray.GrayAt(test.ignored.X, test.ignored.Y).Y != 0 {
			t.Errorf("%s: %T %v", test.mask, got, got.Bounds())
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(work, "masks")); len(entries) != 4 {
		t.Errorf("%d masks", len(entries))
	}
	// The colour at the edge of a subject is the subject's.
	got, err := decodePicture(t.Context(), filepath.Join(work, "images", "IMG_4.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	if red, _, _, _ := got.At(159, 120).RGBA(); red>>8 < 150 {
		t.Errorf("the half transparent edge is dark: red %d", red>>8)
	}

	// A damaged mask is the owner's to mend; nothing stays.
	put(t, filepath.Join(dir, "masks", "IMG_1.jpg.png"), pngOf(t, half(640, 480))[:200])
	work = t.TempDir()
	if _, err := c.Extract(t.Context(), selection, filepath.Join(work, "images"), 0, nil); code(err) != BadMask {
		t.Errorf("a damaged mask: %v", err)
	}
	if found := files(t, work); len(found) != 0 {
		t.Errorf("left behind: %v", found)
	}
}

func TestMaskKey(t *testing.T) {
	for _, test := range []struct {
		name, key string
		mask      bool
	}{
		{"masks/a/IMG_1.png", "a/img_1", true},
		{"a/masks/IMG_1.jpg.png", "a/img_1", true},
		{"a/IMG_1.JPG", "a/img_1", false},
		{"images/IMG_1.v2.jpg", "img_1.v2", false},
		{"Mask/IMG_1.v2.png", "img_1.v2", true},
		{"frame_000001.jpg", "frame_000001", false},
	} {
		if key, mask := maskKey(test.name); key != test.key || mask != test.mask {
			t.Errorf("%s: %s, %v", test.name, key, mask)
		}
	}
}

// Masks of a video are named after its frames.
func TestMasksOfAVideo(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	copied(t, clip(t), filepath.Join(dir, "walk.mp4"))
	put(t, filepath.Join(dir, "masks", FrameName(3)+".png"), pngOf(t, textured(320, 180, 1)))
	c, err := Open(t.Context(), tools, dir, "", Limits{})
	if err != nil || !c.Video() {
		t.Fatal(err)
	}
	work := t.TempDir()
	images, err := c.Extract(t.Context(), choose.Selection{Frames: choosetest.Walk(5, 0.1)}, filepath.Join(work, "images"), 0, nil)
	if err != nil || images[3].Mask != "frame_000004.jpg.png" || images[2].Mask != "" {
		t.Errorf("%+v, %v", images, err)
	}
}

// WebP and PNG photos keep what EXIF says.
func TestExifOfOtherFormats(t *testing.T) {
	tools := ffmpegTools(t)
	dir := t.TempDir()
	picture := filepath.Join(dir, "a.png")
	png := pngOf(t, textured(320, 240, 1))
	payload := exifPayload(binary.LittleEndian, 6)
	chunk := func(b []byte, name string, data []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		b = append(append(b, name...), data...)
		return append(b, 0, 0, 0, 0) // Go checks the sum of no such chunk that it skips
	}
	put(t, picture, png)
	webp := filepath.Join(dir, "a.webp")
	if out, err := exec.Command(tools.FFmpeg, "-v", "error", "-i", picture, "-c:v", "libwebp", "-quality", "95", webp).CombinedOutput(); err != nil {
		t.Skipf("this ffmpeg cannot write WebP: %s", out)
	}
	// The chunk of EXIF data behind the pixels, within the extended format.
	plain, err := os.ReadFile(webp)
	if err != nil {
		t.Fatal(err)
	}
	body := plain[12:]
	if string(body[:4]) == "VP8X" {
		body = body[18:]
	}
	extended := append([]byte("WEBPVP8X\x0a\x00\x00\x00\x08\x00\x00\x00"), 63, 1, 0, 239, 0, 0) // 320 x 240, less one
	extended = append(append(extended, body...), "EXIF"...)
	extended = binary.LittleEndian.AppendUint32(extended, uint32(len(payload)-len(exifMark)))
	extended = append(extended, payload[len(exifMark):]...)
	data := append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(extended))), extended...)
	put(t, webp, data)

	withExif := append(bytes.Clone(png[:len(png)-12]), 0)[:len(png)-12]
	withExif = chunk(withExif, "eXIf", payload[len(exifMark):])
	withExif = append(withExif, png[len(png)-12:]...)
	if e := parseExif(metadataOf(formatPNG, bytes.NewReader(withExif)).exif); e.FocalLengthMM != 4.25 || e.GPS == nil {
		t.Errorf("PNG: %+v", e)
	}
	p, reason := probePhoto(webp, Limits{}.withDefaults())
	if reason != "" || p.Format != formatWebP || p.Width != 240 || p.Height != 320 || p.Exif.FocalLength35MM != 28 {
		t.Fatalf("%+v, %s", p, reason)
	}
	m, err := preparePhoto(t.Context(), p, dir, "out.jpg", 0)
	if err != nil || m.Width != 240 || m.GPS == nil {
		t.Fatalf("%+v, %v", m, err)
	}
	again, reason := probePhoto(filepath.Join(dir, "out.jpg"), Limits{}.withDefaults())
	if reason != "" || again.Exif.Orientation != 1 || again.Exif.FocalLengthMM != 4.25 || again.Width != 240 {
		t.Errorf("the copy: %+v, %s", again, reason)
	}
}
