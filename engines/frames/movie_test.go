package frames

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
)

func box(kind string, content ...[]byte) []byte {
	b := append(make([]byte, 4), kind...)
	for _, c := range content {
		b = append(b, c...)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// movieHeader is an mvhd of either version.
func movieHeader(version byte, scale uint32, duration uint64) []byte {
	b := []byte{version, 0, 0, 0}
	if version == 0 {
		b = binary.BigEndian.AppendUint32(append(b, make([]byte, 8)...), scale)
		b = binary.BigEndian.AppendUint32(b, uint32(duration))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, make([]byte, 16)...), scale)
		b = binary.BigEndian.AppendUint64(b, duration)
	}
	return box("mvhd", b, make([]byte, 76))
}

// movieOf is a file whose movie header comes after its pictures, as phones write it.
func movieOf(header []byte) []byte {
	file := append(box("ftyp", []byte("qt  \x00\x00\x00\x00qt  ")), box("wide")...)
	file = append(file, box("mdat", make([]byte, 5000))...)
	return append(file, box("moov", header, box("trak"))...)
}

func TestMovieDuration(t *testing.T) {
	large := append([]byte("\x00\x00\x00\x01mdat"), binary.BigEndian.AppendUint64(nil, 16+100)...)
	large = append(append(large, make([]byte, 100)...), box("moov", movieHeader(0, 600, 900))...)
	overrun := movieOf(movieHeader(0, 600, 900))
	overrun[20] = 0xff // the box behind ftyp is longer than the file
	last := box("moov", movieHeader(0, 600, 900))
	copy(last, "\x00\x00\x00\x00") // to the end
	for name, test := range map[string]struct {
		file []byte
		want float64
	}{
		"version 0":          {movieOf(movieHeader(0, 600, 900)), 1.5},
		"version 1":          {movieOf(movieHeader(1, 90000, 270000)), 3},
		"64-bit size":        {large, 1.5},
		"to the end":         {last, 1.5},
		"in fragments":       {movieOf(movieHeader(0, 1000, 0)), 0},
		"unknown":            {movieOf(movieHeader(0, 1000, 1<<32-1)), 0},
		"unknown, version 1": {movieOf(movieHeader(1, 1000, 1<<64-1)), 0},
		"no time scale":      {movieOf(movieHeader(0, 0, 900)), 0},
		"version 2":          {movieOf(movieHeader(2, 600, 900)), 0},
		"no header":          {movieOf(nil), 0},
		"cut off":            {movieOf(movieHeader(0, 600, 900))[:5050], 0},
		"a box too long":     {overrun, 0},
		"a box too short":    {append([]byte("\x00\x00\x00\x04free"), last...), 0},
		"another kind":       {[]byte("\x1a\x45\xdf\xa3 matroska"), 0},
		"empty":              {nil, 0},
		"too many boxes":     {append([]byte(strings.Repeat(string(box("free")), 300)), last...), 0},
	} {
		path := filepath.Join(t.TempDir(), "a.mov")
		put(t, path, test.file)
		seconds, bytes, err := movieDuration(path)
		if seconds != test.want || bytes != int64(len(test.file)) || err != nil {
			t.Errorf("%s: %g s, want %g; %d bytes, want %d; %v", name, seconds, test.want, bytes, len(test.file), err)
		}
	}
}

// Clips beside photos are set aside by their names and headers, without starting a program for each.
func TestClipsAreKnownByTheirHeaders(t *testing.T) {
	dir := t.TempDir()
	for i := range 24 {
		name := filepath.Join(dir, fmt.Sprintf("IMG_%04d", i))
		put(t, name+".JPG", jpegOf(t, textured(320, 240, uint64(i)), nil))
		put(t, name+".MOV", movieOf(movieHeader(0, 600, 1800)))
	}
	absent := Tools{FFmpeg: filepath.Join(dir, "absent"), FFprobe: filepath.Join(dir, "absent")}
	c, err := Open(t.Context(), absent, dir, "", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.videos) != 0 || len(c.photos.Photos) != 24 || len(c.aside) != 24 {
		t.Errorf("%d videos, %d photos, %d set aside", len(c.videos), len(c.photos.Photos), len(c.aside))
	}
	// One that lasts is a film, and is looked into.
	put(t, filepath.Join(dir, "IMG_0003.MOV"), movieOf(movieHeader(0, 600, 60*600)))
	if _, err := Open(t.Context(), absent, dir, "", Limits{}); err == nil || fault.Of(err) != nil {
		t.Errorf("a film beside a photo: %v", err)
	}
}
