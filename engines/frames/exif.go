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
	if len(payload) < len(exifMark)+8 {
		return Exif{}
	}
	t := tiff{data: payload[len(exifMark):], order: binary.LittleEndian}
	var e Exif
	switch string(t.data[:4]) {
	case "II*\x00":
	case "MM\x00*":
		t.order, e.bigEndian = binary.BigEndian, true
	default:
		return e
	}
	exifIFD, gpsIFD := e.readPicture(t, t.order.Uint32(t.data[4:]))
	if exifIFD > 0 {
		e.readCamera(t, exifIFD)
	}
	if gpsIFD > 0 {
		e.GPS = readGPS(t, gpsIFD)
	}
	return e
}

// tiff is a file of TIFF 6.0: directories of entries, each a tag with a value.
type tiff struct {
	data  []byte
	order binary.ByteOrder
}

// tiffEntry is one entry of a directory.
type tiffEntry struct {
	tag, kind uint16
	count     uint32
	value     []byte // count values of the kind
	at        int    // offset of the value within the file
}

// directory calls each for the entries of the directory at an offset; those that are damaged are left out.
func (t tiff) directory(offset uint32, each func(tiffEntry)) {
	if int64(offset)+2 > int64(len(t.data)) {
		return
	}
	n := int(t.order.Uint16(t.data[offset:]))
	for i := range n {
		p := int(offset) + 2 + 12*i
		if p+12 > len(t.data) {
			return
		}
		kind, count := t.order.Uint16(t.data[p+2:]), t.order.Uint32(t.data[p+4:])
		size := int64(count) * int64(kindSize(kind))
		at := int64(p + 8)
		if size > 4 {
			at = int64(t.order.Uint32(t.data[p+8:]))
		}
		if size <= 0 || at+size > int64(len(t.data)) {
			continue
		}
		each(tiffEntry{tag: t.order.Uint16(t.data[p:]), kind: kind, count: count, value: t.data[at : at+size], at: int(at)})
	}
}

// rational is a value of kind 5; NaN where it is divided by 0.
func (t tiff) rational(value []byte) float64 {
	over, under := t.order.Uint32(value), t.order.Uint32(value[4:])
	if under == 0 {
		return math.NaN()
	}
	return float64(over) / float64(under)
}

// pixels is a value of kind 3 or 4.
func (t tiff) pixels(entry tiffEntry) int {
	if entry.kind == 3 {
		return int(t.order.Uint16(entry.value))
	}
	return int(min(1<<30, t.order.Uint32(entry.value)))
}

// degrees is an angle of three rationals: degrees, minutes and seconds.
func (t tiff) degrees(value []byte) float64 {
	return t.rational(value) + t.rational(value[8:])/60 + t.rational(value[16:])/3600
}

// readPicture reads the first directory, and where it says that the other two are; 0 where it does not.
func (e *Exif) readPicture(t tiff, offset uint32) (exifIFD, gpsIFD uint32) {
	t.directory(offset, func(entry tiffEntry) {
		switch tag, kind := entry.tag, entry.kind; {
		case tag == tagOrientation && kind == 3:
			if v := t.order.Uint16(entry.value); v >= 1 && v <= 8 {
				e.Orientation, e.orientationAt = int(v), len(exifMark)+entry.at
			}
		case tag == tagMake && kind == 2:
			e.Make = text(entry.value)
		case tag == tagModel && kind == 2:
			e.Model = text(entry.value)
		case tag == tagExifIFD && kind == 4:
			exifIFD = t.order.Uint32(entry.value)
		case tag == tagGPSIFD && kind == 4:
			gpsIFD = t.order.Uint32(entry.value)
		}
	})
	return exifIFD, gpsIFD
}

// readCamera reads the EXIF directory.
func (e *Exif) readCamera(t tiff, offset uint32) {
	t.directory(offset, func(entry tiffEntry) {
		switch tag, kind := entry.tag, entry.kind; {
		case tag == tagFocalLength && kind == 5:
			e.focalAt = len(exifMark) + entry.at
			if f := t.rational(entry.value); f > 0 {
				e.FocalLengthMM = f
			}
		case tag == tagFocalLength35MM && kind == 3:
			e.focal35At = len(exifMark) + entry.at
			if f := float64(t.order.Uint16(entry.value)); f >= shortest35MM && f <= longest35MM {
				e.FocalLength35MM = f
			}
		case tag == tagDigitalZoom && kind == 5:
			e.digitalZoom = t.rational(entry.value)
		case tag == tagPixelXDimension && (kind == 3 || kind == 4):
			e.storedWidth = t.pixels(entry)
		case tag == tagPixelYDimension && (kind == 3 || kind == 4):
			e.storedHeight = t.pixels(entry)
		}
	})
}

// readGPS reads the directory of the place; nil where it holds none.
func readGPS(t tiff, offset uint32) *GPS {
	nan := math.NaN()
	at, south, west, below := GPS{nan, nan, nan}, false, false, false
	t.directory(offset, func(entry tiffEntry) {
		switch tag, kind := entry.tag, entry.kind; {
		case tag == tagLatitudeRef:
			south = entry.value[0] == 'S'
		case tag == tagLongitudeRef:
			west = entry.value[0] == 'W'
		case tag == tagAltitudeRef:
			below = entry.value[0] == 1
		case tag == tagLatitude && kind == 5 && entry.count == 3:
			at.LatitudeDeg = t.degrees(entry.value)
		case tag == tagLongitude && kind == 5 && entry.count == 3:
			at.LongitudeDeg = t.degrees(entry.value)
		case tag == tagAltitude && kind == 5:
			at.AltitudeM = t.rational(entry.value)
		}
	})
	return at.signed(south, west, below)
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
