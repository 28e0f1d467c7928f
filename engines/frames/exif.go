package frames

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Exif is what a photo's EXIF data say that matters here. The zero value is a photo without any.
type Exif struct {
	Orientation     int     `json:"orientation,omitempty"` // 1 to 8 as in the TIFF standard; 0 when not stated
	Make            string  `json:"make,omitempty"`
	Model           string  `json:"model,omitempty"`
	FocalLengthMM   float64 `json:"focal_length_mm,omitempty"`
	FocalLength35MM float64 `json:"focal_length_35mm,omitempty"` // for a frame of 36 x 24 mm
	GPS             *GPS    `json:"gps,omitempty"`

	// digitalZoom is the factor by which the camera cut the picture out of the sensor's; 0 and 1 mean no zoom. storedWidth and
	// storedHeight are the pixels that the camera wrote, 0 when it does not say.
	digitalZoom               float64
	storedWidth, storedHeight int

	focalAt, focal35At int // offsets of the focal lengths' values, as orientationAt

	orientationAt int // offset of the orientation's value within the EXIF segment's payload; 0 when missing
	bigEndian     bool
}

// GPS is where a photo was taken, on WGS 84.
type GPS struct {
	LatitudeDeg  float64 `json:"latitude_deg"`  // north is positive
	LongitudeDeg float64 `json:"longitude_deg"` // east is positive
	AltitudeM    float64 `json:"altitude_m"`    // above the sea; 0 when it is not stated
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
	tagPixelXDimension = 0xa002
	tagPixelYDimension = 0xa003
	tagDigitalZoom     = 0xa404
	tagFocalLength35MM = 0xa405

	tagGPSIFD       = 0x8825
	tagLatitudeRef  = 1
	tagLatitude     = 2
	tagLongitudeRef = 3
	tagLongitude    = 4
	tagAltitudeRef  = 5
	tagAltitude     = 6
)

// parseExif reads an EXIF payload, from exifMark on. What is damaged is left out: EXIF is never a reason to
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
	rational := func(value []byte) float64 {
		over, under := order.Uint32(value), order.Uint32(value[4:])
		if under == 0 {
			return math.NaN()
		}
		return float64(over) / float64(under)
	}
	var exifIFD, gpsIFD uint32
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
		case tag == tagGPSIFD && kind == 4:
			gpsIFD = order.Uint32(value)
		}
	})
	if exifIFD > 0 {
		directory(exifIFD, func(tag, kind uint16, count uint32, value []byte, at int) {
			switch {
			case tag == tagFocalLength && kind == 5:
				e.focalAt = len(exifMark) + at
				if f := rational(value); f > 0 {
					e.FocalLengthMM = f
				}
			case tag == tagFocalLength35MM && kind == 3:
				e.focal35At = len(exifMark) + at
				if f := float64(order.Uint16(value)); f >= shortest35MM && f <= longest35MM {
					e.FocalLength35MM = f
				}
			case tag == tagDigitalZoom && kind == 5:
				e.digitalZoom = rational(value)
			case (tag == tagPixelXDimension || tag == tagPixelYDimension) && (kind == 3 || kind == 4):
				size := 0
				if kind == 3 {
					size = int(order.Uint16(value))
				} else {
					size = int(min(1<<30, order.Uint32(value)))
				}
				if tag == tagPixelXDimension {
					e.storedWidth = size
				} else {
					e.storedHeight = size
				}
			}
		})
	}
	if gpsIFD > 0 {
		nan := math.NaN()
		at, south, west, below := GPS{nan, nan, nan}, false, false, false
		directory(gpsIFD, func(tag, kind uint16, count uint32, value []byte, _ int) {
			switch {
			case tag == tagLatitudeRef:
				south = value[0] == 'S'
			case tag == tagLongitudeRef:
				west = value[0] == 'W'
			case tag == tagAltitudeRef:
				below = value[0] == 1
			case tag == tagLatitude && kind == 5 && count == 3:
				at.LatitudeDeg = rational(value) + rational(value[8:])/60 + rational(value[16:])/3600
			case tag == tagLongitude && kind == 5 && count == 3:
				at.LongitudeDeg = rational(value) + rational(value[8:])/60 + rational(value[16:])/3600
			case tag == tagAltitude && kind == 5:
				at.AltitudeM = rational(value)
			}
		})
		e.GPS = at.signed(south, west, below)
	}
	return e
}

// signed gives unsigned values their signs; nil when they are no place on earth. Exactly 0, 0 is what receivers without
// a fix write.
func (g GPS) signed(south, west, below bool) *GPS {
	if !(g.LatitudeDeg <= 90 && g.LongitudeDeg <= 180) || g.LatitudeDeg == 0 && g.LongitudeDeg == 0 {
		return nil
	}
	if south {
		g.LatitudeDeg = -g.LatitudeDeg
	}
	if west {
		g.LongitudeDeg = -g.LongitudeDeg
	}
	if !(g.AltitudeM < 1e5) {
		g.AltitudeM = 0
	}
	if below {
		g.AltitudeM = -g.AltitudeM
	}
	return &g
}

// kindSize is the size in bytes of a TIFF field type, 0 when it is unknown.
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

// Focal lengths that lenses have on a frame of 36 mm, from ultra-wide to ten times telephoto: 0.33 to 8 times its longer side.
// Action cameras that know none write 1.
const (
	shortest35MM = 12
	longest35MM  = 288
)

// misleading says whether the focal length is not that of a picture of w by h pixels as it is stored: it was cut out of the
// sensor's picture by the camera or from the camera's picture by an editor, or it is one that no lens has.
func (e Exif) misleading(w, h int) bool {
	if e.focalAt == 0 && e.focal35At == 0 {
		return false
	}
	cut := e.storedWidth > 0 && e.storedHeight > 0 && w > 0 && h > 0 &&
		!sameShape(e.storedWidth, e.storedHeight, w, h) && !sameShape(e.storedHeight, e.storedWidth, w, h)
	return e.digitalZoom > 1.05 || cut || e.focal35At > 0 && e.FocalLength35MM == 0
}

// withoutFocal is a copy of the payload whose focal lengths are 0, which stands for unknown.
func (e Exif) withoutFocal(payload []byte) []byte {
	out := bytes.Clone(payload)
	for _, value := range []struct{ at, size int }{{e.focalAt, 4}, {e.focal35At, 2}} { // the numerator, and a short
		if value.at > 0 && value.at+value.size <= len(out) {
			clear(out[value.at : value.at+value.size])
		}
	}
	return out
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
