package frames

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// A focal length that no lens has, or that is another picture's, does not reach COLMAP; all else that EXIF says does.
func TestMisleadingFocalLengthsAreTakenOut(t *testing.T) {
	nonsense := func(order binary.AppendByteOrder, value uint16) []byte {
		payload := exifPayload(order, 1)
		at := bytes.Index(payload, order.AppendUint16(order.AppendUint16(nil, tagFocalLength35MM), 3))
		if at < 0 {
			t.Fatal("no such tag")
		}
		copy(payload[at+8:], order.AppendUint16(nil, value))
		return payload
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for value, kept := range map[uint16]bool{0: false, 1: false, 11: false, 12: true, 28: true, 288: true, 289: false, 65535: false} {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.jpg")
			put(t, path, jpegOf(t, textured(320, 240, 1), nonsense(order, value)))
			p, reason := probePhoto(path, Limits{}.withDefaults())
			if reason != "" || (p.Exif.FocalLength35MM > 0) != kept {
				t.Errorf("%d: %+v, %s", value, p.Exif, reason)
			}
			for edge, name := range map[int]string{0: "whole.jpg", 160: "small.jpg"} {
				if _, err := preparePhoto(t.Context(), p, dir, name, edge); err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				e := parseExif(metadataOf(formatJPEG, bytes.NewReader(data)).exif)
				if (e.FocalLengthMM > 0) != kept || (e.FocalLength35MM > 0) != kept || e.GPS == nil || e.Model != "Pinho" {
					t.Errorf("%d, %s: %+v", value, name, e)
				}
			}
		}
	}
}

func TestMisleading(t *testing.T) {
	focal := Exif{focalAt: 50, FocalLengthMM: 4}
	for name, test := range map[string]struct {
		change func(*Exif)
		want   bool
	}{
		"nothing more":           {func(*Exif) {}, false},
		"no focal length at all": {func(e *Exif) { *e = Exif{digitalZoom: 3} }, false},
		"no zoom":                {func(e *Exif) { e.digitalZoom = 1 }, false},
		"zoomed by cutting":      {func(e *Exif) { e.digitalZoom = 2 }, true},
		"made smaller":           {func(e *Exif) { e.storedWidth, e.storedHeight = 4000, 3000 }, false},
		"turned":                 {func(e *Exif) { e.storedWidth, e.storedHeight = 3000, 4000 }, false},
		"cropped":                {func(e *Exif) { e.storedWidth, e.storedHeight = 4000, 2250 }, true},
	} {
		e := focal
		test.change(&e)
		if got := e.misleading(400, 300); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
