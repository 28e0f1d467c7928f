package frames

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/engines/capturetest"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/choose/choosetest"
)

// exifPayload is an EXIF segment with an orientation and a focal length, as a camera would write it.
func exifPayload(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte(exifMark)
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = append(b, "II*\x00"...)
	} else {
		b = append(b, "MM\x00*"...)
	}
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint16(b, tag)
		b = order.AppendUint16(b, kind)
		b = order.AppendUint32(b, count)
		if kind == 3 {
			b = order.AppendUint16(b, uint16(value))
			b = order.AppendUint16(b, 0)
		} else {
			b = order.AppendUint32(b, value)
		}
	}
	b = order.AppendUint32(b, 8) // offset of IFD0
	b = order.AppendUint16(b, 4)
	entry(tagModel, 2, 6, 62)
	entry(tagOrientation, 3, 1, uint32(orientation))
	entry(tagExifIFD, 4, 1, 68)
	entry(tagGPSIFD, 4, 1, 106)
	b = order.AppendUint32(b, 0)
	b = append(b, "Pinho\x00"...) // at 62
	b = order.AppendUint16(b, 2)  // at 68
	entry(tagFocalLength, 5, 1, 98)
	entry(tagFocalLength35MM, 3, 1, 28)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, 425) // at 98
	b = order.AppendUint32(b, 100)
	b = order.AppendUint16(b, 5) // at 106: 48 degrees 30 minutes north, 9 degrees 0 minutes 36 seconds west, 250.5 m
	entry(tagLatitude, 5, 3, 172)
	for _, ref := range []struct {
		tag uint16
		at  byte
	}{{tagLatitudeRef, 'N'}, {tagLongitudeRef, 'W'}} {
		b = order.AppendUint16(b, ref.tag)
		b = order.AppendUint16(b, 2)
		b = order.AppendUint32(b, 2)
		b = append(b, ref.at, 0, 0, 0)
	}
	entry(tagLongitude, 5, 3, 196)
	entry(tagAltitude, 5, 1, 220)
	b = order.AppendUint32(b, 0)
	for _, v := range []uint32{48, 1, 30, 1, 0, 1 /* at 196 */, 9, 1, 0, 1, 3600, 100 /* at 220 */, 501, 2} {
		b = order.AppendUint32(b, v)
	}
	return b
}

// numbered is a picture whose red and green encode where a pixel was.
func numbered(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{byte(255 * x / (w - 1)), byte(255 * y / (h - 1)), 60, 255})
		}
	}
	return m
}

func textured(w, h int, seed uint64) *image.Gray {
	return &image.Gray{Pix: capturetest.Texture(w, h, 9, seed), Stride: w, Rect: image.Rect(0, 0, w, h)}
}

func jpegOf(t testing.TB, m image.Image, exif []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return insertExif(b.Bytes(), exif)
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestExif(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		payload := exifPayload(order, 6)
		found := metadataOf(formatJPEG, bytes.NewReader(jpegOf(t, numbered(20, 10), payload))).exif
		if !bytes.Equal(found, payload) {
			t.Fatal("another segment was found")
		}
		e := parseExif(found)
		if e.Orientation != 6 || e.Model != "Pinho" || e.FocalLengthMM != 4.25 || e.FocalLength35MM != 28 {
			t.Errorf("%v: %+v", order, e)
		}
		if e.GPS == nil || !(math.Abs(e.GPS.LatitudeDeg-48.5) < 1e-9 && math.Abs(e.GPS.LongitudeDeg+9.01) < 1e-9 && e.GPS.AltitudeM == 250.5) {
			t.Errorf("%v: place %+v", order, e.GPS)
		}
		if up := parseExif(e.upright(found)); up.Orientation != 1 || up.FocalLengthMM != 4.25 || e.Orientation != 6 {
			t.Errorf("%v: upright %+v", order, up)
		}
	}
	if found := metadataOf(formatJPEG, bytes.NewReader(jpegOf(t, numbered(20, 10), nil))); found.exif != nil {
		t.Errorf("a photo without: %v", found)
	}
}

func FuzzExif(f *testing.F) {
	f.Add(exifPayload(binary.LittleEndian, 3))
	f.Add(exifPayload(binary.BigEndian, 8))
	f.Add([]byte(exifMark + "II*\x00\x08\x00\x00\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := parseExif(payload)
		if e.Orientation < 0 || e.Orientation > 8 || math.IsNaN(e.FocalLengthMM) || len(e.Model) > 64 {
			t.Errorf("%+v", e)
		}
		if up := e.upright(payload); len(up) != len(payload) {
			t.Error("upright changed the length")
		}
		if e.orientationAt > 0 {
			if up := parseExif(e.upright(payload)); up.Orientation != 1 {
				t.Errorf("upright has orientation %d", up.Orientation)
			}
		}
		for _, format := range []string{formatJPEG, formatPNG, formatWebP, formatHEIC} {
			metadataOf(format, bytes.NewReader(payload))
		}
		metadataOf(formatJPEG, bytes.NewReader(append([]byte{0xff, 0xd8, 0xff, 0xe1}, payload...)))
	})
}

// Each orientation, stored as a camera would, comes out upright.
func TestPreparedPhotosAreUpright(t *testing.T) {
	upright := numbered(160, 240)
	// Where a shown pixel (x, y) is stored, by the definition of the tag: the row 0 and the column 0 of the stored
	// picture are the named sides of the shown one.
	stored := map[int]func(x, y int) (int, int){
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return 159 - x, y },       // top, right
		3: func(x, y int) (int, int) { return 159 - x, 239 - y }, // bottom, right
		4: func(x, y int) (int, int) { return x, 239 - y },       // bottom, left
		5: func(x, y int) (int, int) { return y, x },             // left, top
		6: func(x, y int) (int, int) { return y, 159 - x },       // right, top
		7: func(x, y int) (int, int) { return 239 - y, 159 - x }, // right, bottom
		8: func(x, y int) (int, int) { return 239 - y, x },       // left, bottom
	}
	dir := t.TempDir()
	for o := 1; o <= 8; o++ {
		w, h := 160, 240
		if o >= 5 {
			w, h = 240, 160
		}
		m := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range 240 {
			for x := range 160 {
				u, v := stored[o](x, y)
				m.SetRGBA(u, v, upright.RGBAAt(x, y))
			}
		}
		put(t, filepath.Join(dir, "in", string(rune('0'+o))+".jpg"), jpegOf(t, m, exifPayload(binary.BigEndian, uint16(o))))
	}
	set, err := findPhotos(t, filepath.Join(dir, "in"), Limits{})
	if err != nil || len(set.Photos) != 8 {
		t.Fatalf("%d photos, %v", len(set.Photos), err)
	}
	selection := choose.Selection{Frames: choosetest.Walk(8, 0)}
	for _, edge := range []int{0, 120} {
		out := filepath.Join(dir, "out")
		images, err := preparePhotos(t.Context(), Tools{}, set, selection, out, "", edge, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, made := range images {
			data, err := os.ReadFile(filepath.Join(out, made.Name))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := jpeg.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			b := picture.Bounds()
			if b.Dx() != made.Width || b.Dy() != made.Height || 3*b.Dx() != 2*b.Dy() || edge > 0 && b.Dy() != edge {
				t.Errorf("orientation %d: %v, said %+v", i+1, b, made)
			}
			for _, p := range []image.Point{{10, 10}, {b.Dx() - 10, 10}, {10, b.Dy() - 10}} {
				r, g, _, _ := picture.At(p.X, p.Y).RGBA()
				wantR, wantG := 255*p.X/b.Dx(), 255*p.Y/b.Dy()
				if absolute(int(r>>8)-wantR) > 8 || absolute(int(g>>8)-wantG) > 8 {
					t.Errorf("orientation %d, edge %d: at %v (%d, %d), want (%d, %d)", i+1, edge, p, r>>8, g>>8, wantR, wantG)
				}
			}
			payload, err := metadataOf(formatJPEG, bytes.NewReader(data)).exif, error(nil)
			if e := parseExif(payload); err != nil || e.Orientation != 1 || e.FocalLength35MM != 28 {
				t.Errorf("orientation %d: EXIF %+v, %v", i+1, e, err)
			}
		}
	}
	// What needs no change is the very same file.
	same, _ := os.ReadFile(filepath.Join(dir, "in", "1.jpg"))
	if _, err := preparePhotos(t.Context(), Tools{}, set, choose.Selection{Frames: choosetest.Walk(1, 0)}, filepath.Join(dir, "copy"), "", 0, nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "copy", "1.jpg")); !bytes.Equal(got, same) {
		t.Error("an upright photo was changed")
	}
}

func TestPhotoSet(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"IMG_10.JPG", "IMG_9.jpg", "sub/IMG_11.jpeg", "IMG_12.png"} {
		m := textured(320, 240, uint64(i))
		data := jpegOf(t, m, exifPayload(binary.LittleEndian, 1))
		if strings.HasSuffix(name, "png") {
			data = pngOf(t, m)
		}
		put(t, filepath.Join(dir, name), data)
	}
	again, _ := os.ReadFile(filepath.Join(dir, "IMG_12.png"))
	put(t, filepath.Join(dir, "IMG_13.png"), again)
	put(t, filepath.Join(dir, "IMG_14.jpg"), jpegOf(t, image.NewGray(image.Rect(0, 0, 320, 240)), nil)) // black
	whole := jpegOf(t, textured(320, 240, 9), nil)
	put(t, filepath.Join(dir, "IMG_15.jpg"), whole[:len(whole)/2])
	put(t, filepath.Join(dir, "notes.txt"), []byte("hello"))
	put(t, filepath.Join(dir, "IMG_16.heic"), []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"))
	put(t, filepath.Join(dir, "tiny.png"), pngOf(t, textured(64, 48, 1)))
	put(t, filepath.Join(dir, ".hidden.jpg"), whole)
	put(t, filepath.Join(dir, "__MACOSX", "IMG_9.jpg"), []byte("resource fork"))

	set, err := findPhotos(t, dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range set.Photos {
		names = append(names, p.Name)
	}
	if want := []string{"IMG_9.jpg", "IMG_10.JPG", "IMG_12.png", "IMG_13.png", "IMG_14.jpg", "IMG_15.jpg", "sub/IMG_11.jpeg"}; !slices.Equal(names, want) {
		t.Errorf("found %v, want %v", names, want)
	}
	var skipped []string
	for _, s := range set.Skipped {
		skipped = append(skipped, s.Name+" "+s.Reason)
	}
	if want := []string{"IMG_16.heic is damaged", "notes.txt is not a picture of a known format", "tiny.png has only 64 x 48 pixels"}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %q, want %q", skipped, want)
	}
	calls := 0
	scores, err := ScorePhotos(t.Context(), &set, Limits{}, func(int, int) { calls++ })
	if err != nil || calls != 7 || len(scores.Frames) != 6 || len(set.Photos) != 7 {
		t.Fatalf("%d frames, %d calls, %v", len(scores.Frames), calls, err)
	}
	if last := set.Skipped[len(set.Skipped)-1]; last.Name != "IMG_15.jpg" || last.Reason != "is damaged" {
		t.Errorf("the broken photo: %+v", last)
	}
	selection := choose.Photos(scores.Frames, choose.Options{})
	if got := choosetest.Indices(selection); !slices.Equal(got, []int{0, 1, 2, 6}) || selection.Duplicates != 1 || selection.Unusable != 1 {
		t.Errorf("selected %v, %+v", got, selection)
	}
	r, err := judgedPhotos(set, scores, selection)
	if err != nil || warned(r) != "low_resolution skipped_files few_images" || r.Width != 320 || r.Input != "photos" {
		t.Errorf("%+v, %v", r, err)
	}
	images, err := preparePhotos(t.Context(), Tools{}, set, selection, t.TempDir(), "", 160, nil)
	if err != nil {
		t.Fatal(err)
	}
	names = nil
	for _, m := range images {
		names = append(names, m.Name)
	}
	if want := []string{"photo_000001_IMG_9.jpg", "photo_000002_IMG_10.jpg", "photo_000003_IMG_12.jpg", "photo_000004_IMG_11.jpg"}; !slices.Equal(names, want) {
		t.Errorf("prepared %v, want %v", names, want)
	}
}

func TestPhotoRefusals(t *testing.T) {
	dir := t.TempDir()
	if _, err := findPhotos(t, dir, Limits{}); code(err) != TooFewPhotos {
		t.Errorf("an empty folder: %v", err)
	}
	put(t, filepath.Join(dir, "a.txt"), []byte("a"))
	if _, err := findPhotos(t, dir, Limits{}); code(err) != NotAPhoto {
		t.Errorf("no photo: %v", err)
	}
	for i := range 4 {
		put(t, filepath.Join(dir, string(rune('a'+i))+".jpg"), jpegOf(t, textured(160, 160, uint64(i)), nil))
	}
	if _, err := findPhotos(t, dir, Limits{MaxPhotos: 3}); code(err) != TooManyPhotos {
		t.Errorf("too many: %v", err)
	}
	if set, err := findPhotos(t, dir, Limits{MaxPixels: 20_000}); code(err) != NotAPhoto || len(set.Skipped) != 5 {
		t.Errorf("too many pixels: %v", err)
	}
	if _, err := Open(t.Context(), Tools{}, filepath.Join(dir, "a.jpg"), "", Limits{}); code(err) != TooFewPhotos {
		t.Errorf("one photo: %v", err)
	}
	judge := func(change func(*choose.Frame)) string {
		frames := choosetest.Walk(30, 0)
		for i := range frames {
			change(&frames[i])
		}
		_, err := judgedPhotos(Photos{}, Scores{Frames: frames}, choose.Photos(frames, choose.Options{}))
		return code(err)
	}
	for _, test := range []struct {
		want   string
		change func(*choose.Frame)
	}{
		{"", func(*choose.Frame) {}},
		{AllBlack, func(f *choose.Frame) { f.Dark = 1 }},
		{NoDetail, func(f *choose.Frame) { f.Texture = 0 }},
		{NotAScene, func(f *choose.Frame) { f.Sharpness = 0.887 }},
		{TooFewPhotos, func(f *choose.Frame) { f.Duplicate = f.Index > 1 }},
	} {
		if got := judge(test.change); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestTooFewPhotosAreCounted(t *testing.T) {
	for n, want := range []string{"There are no photos or videos.", "There is only 1 photo.", "There are only 2 photos."} {
		err := Photos{Photos: make([]Photo, n)}.check(Limits{}.withDefaults())
		if code(err) != TooFewPhotos || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d photos: %v", n, err)
		}
	}
}

func TestImageNames(t *testing.T) {
	of := func(names ...string) []string {
		photos := make([]Photo, len(names))
		for i, n := range names {
			photos[i].Name = n
		}
		return imageNames(photos, false)
	}
	if got := of("100_7100.JPG", "100_7101.JPG"); !slices.Equal(got, []string{"100_7100.jpg", "100_7101.jpg"}) {
		t.Errorf("good names became %v", got)
	}
	if got := of("a/../x y.jpg", "ü.jpg", "-rf.jpg"); !slices.Equal(got, []string{"photo_000001_x_y.jpg", "photo_000002__.jpg", "photo_000003_rf.jpg"}) {
		t.Errorf("odd names became %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		got := of(rapid.SliceOfN(rapid.String(), 1, 20).Draw(t, "names")...)
		for i, n := range got {
			if !filepath.IsLocal(n) || strings.ContainsAny(n, "/\\%\x00 ") || len(n) > 120 || strings.HasPrefix(n, "-") || strings.HasPrefix(n, ".") {
				t.Fatalf("name %q", n)
			}
			if i > 0 && got[i-1] >= n {
				t.Fatalf("%q does not sort after %q", n, got[i-1])
			}
		}
	})
}

func TestNatural(t *testing.T) {
	names := []string{"b", "a10", "a2", "a02", "a1b", "a1", "", "a"}
	slices.SortFunc(names, natural)
	if want := []string{"", "a", "a1", "a1b", "a02", "a2", "a10", "b"}; !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a0-1]{0,5}`)
		a, b, c := name.Draw(t, "a"), name.Draw(t, "b"), name.Draw(t, "c")
		if natural(a, b) != -natural(b, a) || (natural(a, b) == 0) != (a == b) {
			t.Fatalf("%q and %q: %d and %d", a, b, natural(a, b), natural(b, a))
		}
		if natural(a, b) < 0 && natural(b, c) < 0 && !(natural(a, c) < 0) {
			t.Fatalf("%q < %q < %q, but not the first and the last", a, b, c)
		}
	})
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name string
		data []byte
		want Kind
	}{
		{"video.zip", []byte("\x00\x00\x00\x18ftypisom"), KindVideo},
		{"photos.mp4", []byte("PK\x03\x04 and so on"), KindArchive},
		{"photo", jpegOf(t, numbered(8, 8), nil), KindPhoto},
		{"image", pngOf(t, numbered(8, 8)), KindPhoto},
		{"empty", nil, KindVideo},
	} {
		path := filepath.Join(dir, test.name)
		put(t, path, test.data)
		if got, err := Detect(path); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	if got, err := Detect(dir); err != nil || got != KindFolder {
		t.Errorf("a folder: %q, %v", got, err)
	}
	if _, err := Detect(filepath.Join(dir, "absent")); err == nil {
		t.Error("a missing file")
	}
}

func TestSceauxPhotos(t *testing.T) {
	dir := capturetest.Find(t, "sceaux")
	set, err := findPhotos(t, dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	scores, err := ScorePhotos(t.Context(), &set, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	selection := choose.Photos(scores.Frames, choose.Options{})
	r, err := judgedPhotos(set, scores, selection)
	if err != nil || len(selection.Frames) != 11 || warned(r) != "few_images" || set.Photos[0].Exif.FocalLengthMM != 5.85 {
		t.Errorf("%d selected, warnings %q, %+v, %v", len(selection.Frames), warned(r), set.Photos[0].Exif, err)
	}
}

// findPhotos lists the photos of a folder, as Open does where nothing else is in it.
func findPhotos(t *testing.T, dir string, limits Limits) (Photos, error) {
	t.Helper()
	files, skipped, err := findFiles(t.Context(), dir)
	if err != nil {
		return Photos{}, err
	}
	limits = limits.withDefaults()
	set, err := listPhotos(t.Context(), files, limits)
	set.Skipped = append(skipped, set.Skipped...)
	if err != nil {
		return set, err
	}
	return set, set.check(limits)
}

// judgedPhotos is the report of a capture of photos alone, as Capture.Choose makes it.
func judgedPhotos(set Photos, scores Scores, selection choose.Selection) (Report, error) {
	r, err := judgePhotos(set, scores, selection, 3)
	r.warnSkipped(set.Skipped)
	r.warnFew(true)
	return r, err
}
