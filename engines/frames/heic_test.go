package frames

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/image/draw"
)

// heicOf writes a picture as an iPhone would: HEVC in the boxes of ISO/IEC 23008-12, turned by quarters
// counter-clockwise for display (irot), with EXIF data.
func heicOf(t testing.TB, m *image.RGBA, quarters byte, exif []byte) []byte {
	t.Helper()
	return heicCoded(t, m, quarters, exif, "pc", "bt601", "range=full")
}

// heicCoded has the range and matrix that ffmpeg is given, and those that x265 writes into the stream.
func heicCoded(t testing.TB, m *image.RGBA, quarters byte, exif []byte, levels, matrix, said string) []byte {
	t.Helper()
	tools := ffmpegTools(t)
	raw := exec.Command(tools.FFmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", strconv.Itoa(m.Rect.Dx())+"x"+strconv.Itoa(m.Rect.Dy()), "-i", "pipe:0",
		"-vf", "scale=out_color_matrix="+matrix+":out_range="+levels+",format=yuv420p", "-frames:v", "1", "-c:v", "libx265",
		"-x265-params", "log-level=none:crf=8:info=0:"+said, "-f", "hevc", "pipe:1")
	raw.Stdin = bytes.NewReader(m.Pix)
	stream, err := raw.Output()
	if err != nil {
		t.Skipf("this ffmpeg cannot encode HEVC: %v", err)
	}
	// NAL units of the stream (ITU-T H.265, annex B): parameter sets for the header, slices for the data.
	var sets [3][]byte
	var slices []byte
	for _, nal := range bytes.Split(stream, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		if len(nal) < 3 {
			continue
		}
		switch kind := nal[0] >> 1 & 63; {
		case kind >= 32 && kind <= 34:
			sets[kind-32] = nal
		case kind < 32:
			slices = binary.BigEndian.AppendUint32(slices, uint32(len(nal)))
			slices = append(slices, nal...)
		}
	}
	u16 := func(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
	u32 := func(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	box := func(kind string, parts ...[]byte) []byte {
		body := join(parts...)
		return join(u32(8+len(body)), []byte(kind), body)
	}
	full := func(kind string, version byte, parts ...[]byte) []byte {
		return box(kind, append([][]byte{{version, 0, 0, 0}}, parts...)...)
	}
	// ISO/IEC 14496-15, 8.3.3.1.2; the profile is the general one of the sequence parameter set.
	config := join([]byte{1}, sets[1][3:15], []byte{0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 3})
	for i, set := range sets {
		config = join(config, []byte{byte(0x80 | (32 + i))}, u16(1), u16(len(set)), set)
	}
	// The mark is in the item; the offset before it leads past it.
	exifItem := join(u32(len(exifMark)), exif)
	meta := func(at int) []byte {
		return full("meta", 0,
			full("hdlr", 0, u32(0), []byte("pict"), make([]byte, 13)),
			full("pitm", 0, u16(1)),
			full("iloc", 0, []byte{0x44, 0x00}, u16(2),
				u16(1), u16(0), u16(1), u32(at), u32(len(slices)),
				u16(2), u16(0), u16(1), u32(at+len(slices)), u32(len(exifItem))),
			full("iinf", 0, u16(2),
				full("infe", 2, u16(1), u16(0), []byte("hvc1"), []byte{0}),
				full("infe", 2, u16(2), u16(0), []byte("Exif"), []byte{0})),
			full("iref", 0, box("cdsc", u16(2), u16(1), u16(1))),
			box("iprp",
				box("ipco", box("hvcC", config), full("ispe", 0, u32(m.Rect.Dx()), u32(m.Rect.Dy())), box("irot", []byte{quarters})),
				full("ipma", 0, u32(1), u16(1), []byte{3, 0x81, 0x02, 0x83})))
	}
	head := box("ftyp", []byte("heic"), u32(0), []byte("mif1heic"))
	at := len(head) + len(meta(0)) + 8
	return join(head, meta(at), box("mdat", slices, exifItem))
}

// A HEIC photo is turned once, by its own box and not again by EXIF, and its focal length and place reach the JPEG.
func TestHEIC(t *testing.T) {
	dir := t.TempDir()
	stored := image.NewRGBA(image.Rect(0, 0, 320, 192))
	draw.NearestNeighbor.Scale(stored, stored.Bounds(), numbered(40, 24), image.Rect(0, 0, 40, 24), draw.Src, nil)
	// Orientation 6 is a quarter clockwise, 3 quarters counter-clockwise.
	path := filepath.Join(dir, "IMG_1.HEIC")
	put(t, path, heicOf(t, stored, 3, exifPayload(binary.BigEndian, 6)))
	if kind, err := Detect(path); err != nil || kind != KindPhoto {
		t.Errorf("detected %s, %v", kind, err)
	}
	p, reason := probePhoto(path, Limits{}.withDefaults())
	if reason != "" || p.Format != formatHEIC || p.Width != 192 || p.Height != 320 || p.Exif.FocalLength35MM != 28 || p.Exif.Orientation != 0 {
		t.Fatalf("%+v, %s", p, reason)
	}
	if p.Exif.GPS == nil || p.Exif.GPS.LatitudeDeg != 48.5 {
		t.Errorf("place %+v", p.Exif.GPS)
	}
	out := t.TempDir()
	image, err := preparePhoto(t.Context(), p, out, "a.jpg", 0)
	if err != nil || image.Width != 192 || image.Height != 320 {
		t.Fatalf("%+v, %v", image, err)
	}
	got, err := decodePicture(t.Context(), filepath.Join(out, "a.jpg"))
	if err != nil || got.Bounds().Dx() != 192 {
		t.Fatal(err)
	}
	// The stored left edge is now above, the stored top at the right.
	for _, c := range []struct{ x, y, red, green int }{{188, 4, 0, 0}, {188, 316, 255, 0}, {4, 316, 255, 255}, {4, 4, 0, 255}} {
		r, g, _, _ := got.At(c.x, c.y).RGBA()
		if absolute(int(r>>8)-c.red) > 12 || absolute(int(g>>8)-c.green) > 12 {
			t.Errorf("at %d, %d: red %d, green %d, want %d, %d", c.x, c.y, r>>8, g>>8, c.red, c.green)
		}
	}
	data, _ := os.ReadFile(filepath.Join(out, "a.jpg"))
	if e := parseExif(metadataOf(formatJPEG, bytes.NewReader(data)).exif); e.Orientation != 1 || e.FocalLengthMM != 4.25 || e.GPS == nil {
		t.Errorf("the copy's EXIF data: %+v", e)
	}
	// Waiting for the one decoder ends with the context.
	heicTurn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := decodePicture(ctx, path); err == nil {
		t.Error("two HEIC pictures were decoded at once")
	}
	<-heicTurn
}

// Damage must not end the process: the sandbox fails, not we.
func TestDamagedHEIC(t *testing.T) {
	whole := heicOf(t, numbered(160, 160), 0, exifPayload(binary.LittleEndian, 1))
	for i := range 12 {
		data := bytes.Clone(whole[:len(whole)-i*len(whole)/13])
		for k := range 40 {
			data[(40+i*31+k*97)%len(data)] ^= 0x55
		}
		path := filepath.Join(t.TempDir(), "a.heic")
		put(t, path, data)
		if _, reason := probePhoto(path, Limits{}.withDefaults()); reason == "" {
			_, _ = decodePicture(t.Context(), path)
		}
	}
	// A size that is a lie costs nothing.
	huge := bytes.Replace(whole, []byte("ispe\x00\x00\x00\x00\x00\x00\x00\xa0\x00\x00\x00\xa0"), []byte("ispe\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), 1)
	path := filepath.Join(t.TempDir(), "huge.heic")
	put(t, path, huge)
	if _, reason := probePhoto(path, Limits{}.withDefaults()); bytes.Equal(huge, whole) || reason == "" {
		t.Errorf("accepted with %q", reason)
	}
}
