package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// Exif is what a photo's EXIF data say that matters here. The zero value is a photo without any.
type Exif struct {
	Orientation     int     `json:"orientation,omitempty"` // 1 to 8 as in the TIFF standard; 0 when not stated
	Make            string  `json:"make,omitempty"`
	Model           string  `json:"model,omitempty"`
	FocalLengthMM   float64 `json:"focal_length_mm,omitempty"`
	FocalLength35MM float64 `json:"focal_length_35mm,omitempty"` // for a frame of 36 x 24 mm

	orientationAt int // offset of the orientation's value within the EXIF segment's payload; 0 is none
	bigEndian     bool
}

// sideways says whether the picture is shown with width and height exchanged.
func (e Exif) sideways() bool { return e.Orientation >= 5 }

// Tags of TIFF 6.0 and EXIF 2.32.
const (
	tagMake            = 0x010f
	tagModel           = 0x0110
	tagOrientation     = 0x0112
	tagExifIFD         = 0x8769
	tagFocalLength     = 0x920a
	tagFocalLength35MM = 0xa405
)

const exifMark = "Exif\x00\x00"

// exifSegment finds the EXIF payload (from "Exif\0\0" on) among the markers of a JPEG file before its pixels; nil
// when there is none.
func exifSegment(r io.Reader) ([]byte, error) {
	var two [2]byte
	if _, err := io.ReadFull(r, two[:]); err != nil {
		return nil, err
	}
	if two != [2]byte{0xff, 0xd8} {
		return nil, errors.New("not a JPEG file")
	}
	// Metadata stand before the frame header; 64 segments are more than any camera writes.
	for range 64 {
		if _, err := io.ReadFull(r, two[:]); err != nil {
			return nil, err
		}
		marker := two[1]
		for two[0] == 0xff && marker == 0xff { // fill bytes
			var one [1]byte
			if _, err := io.ReadFull(r, one[:]); err != nil {
				return nil, err
			}
			marker = one[0]
		}
		if two[0] != 0xff || marker == 0xda || marker >= 0xc0 && marker <= 0xc3 || marker == 0xd9 {
			return nil, nil
		}
		if _, err := io.ReadFull(r, two[:]); err != nil {
			return nil, err
		}
		n := int(binary.BigEndian.Uint16(two[:])) - 2
		if n < 0 {
			return nil, errors.New("a JPEG segment without length")
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			return nil, err
		}
		if marker == 0xe1 && bytes.HasPrefix(payload, []byte(exifMark)) {
			return payload, nil
		}
	}
	return nil, nil
}

// parseExif reads the payload that exifSegment found. What is damaged is left out: EXIF is never a reason to
// refuse a photo.
func parseExif(payload []byte) Exif {
	var e Exif
	if len(payload) < len(exifMark)+8 {
		return e
	}
	tiff := payload[len(exifMark):]
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order, e.bigEndian = binary.BigEndian, true
	default:
		return e
	}
	directory := func(at uint32, entry func(tag, kind uint16, count uint32, value []byte, at int)) {
		if int64(at)+2 > int64(len(tiff)) {
			return
		}
		n := int(order.Uint16(tiff[at:]))
		for i := range n {
			p := int(at) + 2 + 12*i
			if p+12 > len(tiff) {
				return
			}
			kind, count := order.Uint16(tiff[p+2:]), order.Uint32(tiff[p+4:])
			size := int64(count) * int64(kindSize(kind))
			where := int64(p + 8)
			if size > 4 {
				where = int64(order.Uint32(tiff[p+8:]))
			}
			if size <= 0 || where+size > int64(len(tiff)) {
				continue
			}
			entry(order.Uint16(tiff[p:]), kind, count, tiff[where:where+size], int(where))
		}
	}
	var exifIFD uint32
	directory(order.Uint32(tiff[4:]), func(tag, kind uint16, count uint32, value []byte, at int) {
		switch {
		case tag == tagOrientation && kind == 3:
			if v := order.Uint16(value); v >= 1 && v <= 8 {
				e.Orientation, e.orientationAt = int(v), len(exifMark)+at
			}
		case tag == tagMake && kind == 2:
			e.Make = text(value)
		case tag == tagModel && kind == 2:
			e.Model = text(value)
		case tag == tagExifIFD && kind == 4:
			exifIFD = order.Uint32(value)
		}
	})
	if exifIFD > 0 {
		directory(exifIFD, func(tag, kind uint16, count uint32, value []byte, at int) {
			switch {
			case tag == tagFocalLength && kind == 5:
				if under := order.Uint32(value[4:]); under > 0 {
					e.FocalLengthMM = float64(order.Uint32(value)) / float64(under)
				}
			case tag == tagFocalLength35MM && kind == 3:
				e.FocalLength35MM = float64(order.Uint16(value))
			}
		})
	}
	return e
}

// kindSize is the size in bytes of a TIFF field type, 0 when it is none.
func kindSize(kind uint16) int {
	sizes := [...]int{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8}
	if int(kind) < len(sizes) {
		return sizes[kind]
	}
	return 0
}

func text(value []byte) string {
	value, _, _ = bytes.Cut(value, []byte{0})
	value = bytes.TrimSpace(value)
	return string(bytes.ToValidUTF8(value[:min(len(value), 64)], nil))
}

// upright is a copy of the payload that says that the picture needs no turning.
func (e Exif) upright(payload []byte) []byte {
	out := bytes.Clone(payload)
	if at := e.orientationAt; at > 0 && at+2 <= len(out) {
		if e.bigEndian {
			binary.BigEndian.PutUint16(out[at:], 1)
		} else {
			binary.LittleEndian.PutUint16(out[at:], 1)
		}
	}
	return out
}

// insertExif puts an EXIF payload behind the first marker of an encoded JPEG.
func insertExif(jpeg, payload []byte) []byte {
	if len(payload) == 0 || len(payload) > 0xffff-2 || len(jpeg) < 2 {
		return jpeg
	}
	out := make([]byte, 0, len(jpeg)+len(payload)+4)
	out = append(out, jpeg[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(payload)+2))
	out = append(out, payload...)
	return append(out, jpeg[2:]...)
}
