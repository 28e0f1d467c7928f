package frames

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// metadata is what is in a photo file beside its pixels.
type metadata struct {
	exif []byte // from exifMark on; nil when missing
	// spherical is what XMP says of the projection (Google's GPano namespace): the picture shows all directions.
	spherical bool
}

const (
	exifMark = "Exif\x00\x00"
	xmpMark  = "http://ns.adobe.com/xap/1.0/\x00"
)

// maxMetadata bounds one piece of metadata, bytes; JPEG allows no more than 64 KiB anyway.
const maxMetadata = 1 << 20

// metadataOf reads the metadata of a photo. Damaged metadata count as missing: they are no reason to refuse a photo.
func metadataOf(format string, r io.ReadSeeker) metadata {
	var m metadata
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return m
	}
	switch format {
	case formatJPEG:
		_ = jpegSegments(r, func(marker byte, payload []byte) {
			if marker != 0xe1 {
				return
			}
			if m.exif == nil && bytes.HasPrefix(payload, []byte(exifMark)) {
				m.exif = payload
			}
			if bytes.HasPrefix(payload, []byte(xmpMark)) {
				m.xmp(payload)
			}
		})
	case formatPNG:
		chunks(r, 8, binary.BigEndian, false, 4, func(name string, payload []byte) {
			switch name {
			case "eXIf":
				m.exif = append([]byte(exifMark), payload...)
			case "iTXt":
				m.xmp(payload)
			}
		})
	case formatWebP:
		chunks(r, 12, binary.LittleEndian, true, 0, func(name string, payload []byte) {
			switch name {
			case "EXIF": // with the mark in the files of some programs, and without it by the specification
				m.exif = append([]byte(exifMark), bytes.TrimPrefix(payload, []byte(exifMark))...)
			case "XMP ":
				m.xmp(payload)
			}
		})
	case formatHEIC:
		// The item may be anywhere in the file; its mark and the header of TIFF behind it are distinctive enough.
		all, err := io.ReadAll(r)
		if err != nil {
			return m
		}
		for at := 0; ; at++ {
			i := bytes.Index(all[at:], []byte(exifMark))
			if i < 0 {
				break
			}
			at += i
			if after := all[at+len(exifMark):]; bytes.HasPrefix(after, []byte("II*\x00")) || bytes.HasPrefix(after, []byte("MM\x00*")) {
				m.exif = all[at:min(len(all), at+0xffff-2)]
				break
			}
		}
	}
	return m
}

func (m *metadata) xmp(packet []byte) {
	if i := bytes.Index(packet, []byte("GPano:ProjectionType")); i >= 0 {
		m.spherical = bytes.Contains(packet[i:min(len(packet), i+64)], []byte("equirectangular"))
	}
}

// jpegSegments hands out the segments of a JPEG file that come before its pixels.
func jpegSegments(r io.Reader, segment func(marker byte, payload []byte)) error {
	var two [2]byte
	if _, err := io.ReadFull(r, two[:]); err != nil {
		return err
	}
	if two != [2]byte{0xff, 0xd8} {
		return errors.New("not a JPEG file")
	}
	// Metadata come before the frame header; 64 segments are more than any camera writes.
	for range 64 {
		if _, err := io.ReadFull(r, two[:]); err != nil {
			return err
		}
		marker := two[1]
		for two[0] == 0xff && marker == 0xff { // fill bytes
			var one [1]byte
			if _, err := io.ReadFull(r, one[:]); err != nil {
				return err
			}
			marker = one[0]
		}
		if two[0] != 0xff || marker == 0xda || marker >= 0xc0 && marker <= 0xc3 || marker == 0xd9 {
			return nil
		}
		if _, err := io.ReadFull(r, two[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(two[:])) - 2
		if n < 0 {
			return errors.New("a JPEG segment without length")
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		segment(marker, payload)
	}
	return nil
}

// chunks hands out the chunks of a PNG or RIFF file that hold metadata, from the offset start on. In RIFF the name is
// before the length and an odd length is padded; in PNG, trailer bytes of checksum follow.
func chunks(r io.ReadSeeker, start int64, order binary.ByteOrder, nameFirst bool, trailer int64, chunk func(name string, payload []byte)) {
	if _, err := r.Seek(start, io.SeekStart); err != nil {
		return
	}
	var head [8]byte
	for range 10_000 {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		size, name := int64(order.Uint32(head[:4])), string(head[4:])
		if nameFirst {
			name, size = string(head[:4]), int64(order.Uint32(head[4:]))
		}
		skip := size + trailer
		if nameFirst {
			skip += size & 1
		}
		switch name {
		case "eXIf", "iTXt", "EXIF", "XMP ":
			if size > maxMetadata {
				break
			}
			payload := make([]byte, size)
			if _, err := io.ReadFull(r, payload); err != nil {
				return
			}
			chunk(name, payload)
			skip -= size
		}
		if _, err := r.Seek(skip, io.SeekCurrent); err != nil {
			return
		}
	}
}
