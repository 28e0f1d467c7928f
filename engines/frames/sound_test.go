//go:build linux

package frames

import (
	"bytes"
	"encoding/binary"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/engines/choose"
)

// displayed is clip with another display matrix (ISO/IEC 14496-12, 6.2.2): of its 2 by 2 part and its shift.
func displayed(t *testing.T, a, b, c, d, x, y int32) string {
	t.Helper()
	data, err := os.ReadFile(written(t, "plain.mov", "-i", clip(t), "-c", "copy"))
	if err != nil {
		t.Fatal(err)
	}
	matrix := func(a, b, c, d, x, y int32) (m []byte) {
		for _, v := range []int32{a << 16, b << 16, 0, c << 16, d << 16, 0, x << 16, y << 16, 1 << 30} {
			m = binary.BigEndian.AppendUint32(m, uint32(v))
		}
		return m
	}
	track := bytes.Index(data, []byte("tkhd"))
	at := bytes.Index(data[max(track, 0):], matrix(1, 0, 0, 1, 0, 0))
	if track < 0 || at < 0 {
		t.Fatal("no display matrix")
	}
	copy(data[track+at:], matrix(a, b, c, d, x, y))
	path := filepath.Join(t.TempDir(), "shown.mov")
	put(t, path, data)
	return path
}

// pickedAs is a picture whose pixel (x, y) is that of m at a place.
func pickedAs(m image.Image, w, h int, place func(x, y int) (int, int)) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			u, v := place(x, y)
			out.Set(x, y, m.At(m.Bounds().Min.X+u, m.Bounds().Min.Y+v))
		}
	}
	return out
}

// What phones, browsers and editors write besides plain films is read whole, and as it is shown.
func TestOddButSoundFilms(t *testing.T) {
	stored := reference(t, 320, 180, clip(t))
	asStored := func(x, y int) (int, int) { return x, y }
	copied := func(name string, more ...string) func() string {
		return func() string {
			return written(t, name, append([]string{"-i", clip(t), "-c", "copy"}, more...)...)
		}
	}
	for name, test := range map[string]struct {
		path  func() string
		w, h  int
		place func(x, y int) (int, int) // where in the film a shown pixel is
	}{
		"live, without a duration": {func() string {
			return written(t, "live.webm", "-i", clip(t), "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "4", "-b:v", "4M", "-live", "1")
		}, 320, 180, asStored},
		"in fragments":        {copied("fragments.mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof"), 320, 180, asStored},
		"begins an hour late": {copied("late.mkv", "-output_ts_offset", "3600"), 320, 180, asStored},
		"with a time code":    {copied("timecode.mov", "-timecode", "01:00:00:00"), 320, 180, asStored},
		"of odd sizes": {func() string {
			return written(t, "odd.mp4", "-i", clip(t), "-vf", "crop=319:179:0:0:exact=1", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "5", "-pix_fmt", "yuv444p")
		}, 319, 179, asStored},
		"upside down":           {func() string { return displayed(t, -1, 0, 0, -1, 320, 180) }, 320, 180, func(x, y int) (int, int) { return 319 - x, 179 - y }},
		"a quarter turned":      {func() string { return displayed(t, 0, 1, -1, 0, 180, 0) }, 180, 320, func(x, y int) (int, int) { return y, 179 - x }},
		"mirrored, for selfies": {func() string { return displayed(t, -1, 0, 0, 1, 320, 0) }, 320, 180, func(x, y int) (int, int) { return 319 - x, y }},
	} {
		t.Run(name, func(t *testing.T) {
			v, s, _, _, err := chosen(t, test.path())
			if err != nil || v.Width != test.w || v.Height != test.h || len(s.Frames) != 24 || s.Damaged != 0 {
				t.Fatalf("%d x %d, %d frames, %d complaints, %v", v.Width, v.Height, len(s.Frames), s.Damaged, err)
			}
			dir := t.TempDir()
			images, err := extract(t.Context(), ffmpegTools(t), v, choose.Selection{Frames: s.Frames[21:22]}, dir, "", 0, nil)
			if err != nil || len(images) != 1 {
				t.Fatalf("%d images, %v", len(images), err)
			}
			for _, m := range images {
				got, err := decodePicture(t.Context(), filepath.Join(dir, m.Name))
				if err != nil {
					t.Fatal(err)
				}
				here := unlike(got, pickedAs(stored[m.Index], test.w, test.h, test.place))
				other := unlike(got, pickedAs(stored[(m.Index+8)%24], test.w, test.h, test.place))
				if !(here < 6) || !(here < 0.5*other) {
					t.Errorf("%s: differs by %.1f from what is shown, by %.1f from another frame", m.Name, here, other)
				}
			}
		})
	}
}

// A film that begins black is used, and nothing black is chosen.
func TestBlackStart(t *testing.T) {
	path := written(t, "black.mp4", "-i", clip(t), "-vf", "drawbox=c=black:t=fill:enable='lt(n,6)'", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "10")
	_, _, selection, _, err := chosen(t, path)
	if err != nil || len(selection.Frames) < 12 || selection.Frames[0].Index < 6 {
		t.Errorf("%d frames selected, %v", len(selection.Frames), err)
	}
}
