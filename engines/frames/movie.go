package frames

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// mostBoxes bounds the boxes that are looked at in one level of a file: recorders write a handful.
const mostBoxes = 256

// movieDuration reads how long an MP4 or QuickTime file says that it lasts, in seconds, and its size in bytes. 0 s is a file that
// does not say: one in fragments, one of another kind, a damaged one. Nothing but the headers of boxes and the movie's own is
// read, wherever in the file that is. The error is that of the file system.
func movieDuration(path string) (seconds float64, bytes int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, 0, fmt.Errorf("reading a video's header: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("reading a video's header: %w", err)
	}
	whole := io.NewSectionReader(file, 0, info.Size())
	movie := boxIn(whole, "moov")
	if movie == nil {
		return 0, info.Size(), nil
	}
	return movieSeconds(boxIn(movie, "mvhd")), info.Size(), nil
}

// boxIn is the content of the first box of a kind among those that follow each other (ISO/IEC 14496-12, 4.2); nil if there is
// none.
func boxIn(boxes *io.SectionReader, kind string) *io.SectionReader {
	at := int64(0)
	for range mostBoxes {
		var head [16]byte
		if n, _ := boxes.ReadAt(head[:], at); n < 8 {
			return nil
		}
		size, header := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		switch size {
		case 0: // to the end
			size = boxes.Size() - at
		case 1:
			size, header = int64(binary.BigEndian.Uint64(head[8:])), 16
		}
		if size < header || size > boxes.Size()-at {
			return nil
		}
		if string(head[4:8]) == kind {
			return io.NewSectionReader(boxes, at+header, size-header)
		}
		at += size
	}
	return nil
}

// movieSeconds reads the duration in a movie header (ISO/IEC 14496-12, 8.2.2), 0 where it is missing.
func movieSeconds(header *io.SectionReader) float64 {
	if header == nil {
		return 0
	}
	var b [32]byte
	n, _ := header.ReadAt(b[:], 0)
	var scale uint32
	var duration uint64
	switch {
	case n >= 20 && b[0] == 0:
		scale, duration = binary.BigEndian.Uint32(b[12:]), uint64(binary.BigEndian.Uint32(b[16:]))
		if duration == 1<<32-1 { // unknown
			return 0
		}
	case n >= 32 && b[0] == 1:
		scale, duration = binary.BigEndian.Uint32(b[20:]), binary.BigEndian.Uint64(b[24:])
		if duration == 1<<64-1 {
			return 0
		}
	}
	if scale == 0 {
		return 0
	}
	return float64(duration) / float64(scale)
}
