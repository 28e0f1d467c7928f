// Package frames makes of a capture the images to reconstruct from: it probes a video, has every frame measured in one streaming
// pass at low resolution, judges the capture, and extracts exactly the frames that were chosen. For photos it does the same with
// headers, scores and oriented copies. How pictures are measured and chosen is arithmetic, and in package choose.
//
// It is first in the flow: a bad capture is recognised here, within seconds and with advice, before anything
// expensive runs. It drives ffmpeg and ffprobe; it does not estimate poses and knows nothing of COLMAP beyond writing
// file names in order and keeping the EXIF data that COLMAP reads a focal length from.
package frames

import "time"

// Tools are the native programs, as paths or as names to be found in PATH.
type Tools struct {
	FFmpeg  string
	FFprobe string
}

// Limits bound what is accepted. The zero value of a field means its default.
type Limits struct {
	MinDuration time.Duration // (1 s)
	MaxDuration time.Duration // (20 min)
	MinFrames   int           // (8): fewer views of a scene do not make a splat
	MaxFrames   int           // decoded frames (40,000)
	MaxSamples  int64         // pixels of all frames together (400 billion: 25 minutes of 4K, 6 of 8K)
	MinEdge     int           // shorter picture edge in pixels (120)
	MaxEdge     int           // longer picture edge in pixels (8192: 8K video)
	MaxVideos   int           // (20) in one folder or archive
	MinPhotos   int           // (3)
	MaxPhotos   int           // (2000)
	MaxPixels   int           // of one photo (150 million: the largest medium-format sensors)
	MaxBytes    int64         // of one photo (200 MiB)
	MaxUnpacked int64         // of all archive members together (20 GiB)
	MaxMemory   int64         // of a program that decodes a video, bytes (6 GiB: 8K on 16 threads)
}

func (l Limits) withDefaults() Limits {
	set(&l.MinDuration, time.Second)
	set(&l.MaxDuration, 20*time.Minute)
	set(&l.MinFrames, 8)
	set(&l.MaxFrames, 40_000)
	set(&l.MaxSamples, 400_000_000_000)
	set(&l.MinEdge, 120)
	set(&l.MaxEdge, 8192)
	set(&l.MaxVideos, 20)
	set(&l.MinPhotos, 3)
	set(&l.MaxPhotos, 2000)
	set(&l.MaxPixels, 150_000_000)
	set(&l.MaxBytes, 200<<20)
	set(&l.MaxUnpacked, 20<<30)
	set(&l.MaxMemory, 6<<30)
	return l
}

// Within is l where an archive's members must fit into room, in bytes; 0: no bound is known.
func (l Limits) Within(room int64) Limits {
	l = l.withDefaults()
	if room > 0 {
		l.MaxUnpacked = min(l.MaxUnpacked, room)
	}
	return l
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
