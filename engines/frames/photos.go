package frames

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Photo is one picture of a set, as its header describes it.
type Photo struct {
	Path   string `json:"-"`
	Name   string `json:"name"`   // as the owner knows it: the path within the folder or archive, with slashes
	Format string `json:"format"` // "jpeg", "png", "webp" or "heic"
	Width  int    `json:"width"`  // as shown: after the EXIF orientation
	Height int    `json:"height"`
	Bytes  int64  `json:"bytes"`
	Exif   Exif   `json:"exif"`

	Spherical bool `json:"spherical,omitempty"` // equirectangular: all directions, twice as wide as high

	asStored bool // its pixels are used as they are stored, whatever the EXIF orientation says: what poses that came with it are of
	turned   int  // the EXIF orientation that is not followed then

	memory int64 // bytes that working on its pixels takes, see decodedBytes
}

// Photos is a set of photos in order, with what could not be used.
type Photos struct {
	Photos  []Photo
	Skipped []Skipped
}

// Skipped is a file of the input that is left out, and why.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// listPhotos reads the headers of photos; see check for whether they suffice.
func listPhotos(ctx context.Context, files []File, limits Limits) (Photos, error) {
	var set Photos
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return set, fmt.Errorf("reading photo headers: %w", err)
		}
		photo, reason := probePhoto(f.Path, limits)
		if reason != "" {
			if gone := unread(f.Path); gone != nil && !errors.Is(gone, fs.ErrPermission) {
				return set, fmt.Errorf("reading photo headers: %w", gone)
			}
			set.Skipped = append(set.Skipped, Skipped{Name: f.Name, Reason: reason})
			continue
		}
		photo.Name = f.Name
		set.Photos = append(set.Photos, photo)
	}
	return set, nil
}

const adviceFormats = "Send photos as JPEG, PNG, WebP or HEIC and videos as MP4, MOV, WebM or MKV, as the camera made them."

func (s Photos) checkMost(l Limits) error {
	if n := len(s.Photos); n > l.MaxPhotos {
		return fail(TooManyPhotos, "Send the sharpest ones, or a video.", "There are %d photos; at most %d are accepted.", n, l.MaxPhotos)
	}
	return nil
}

func (s Photos) check(l Limits) error {
	if err := s.checkMost(l); err != nil {
		return err
	}
	n := len(s.Photos)
	switch {
	case n == 0 && l.MinPhotos > 0 && len(s.Skipped) > 0:
		return fail(NotAPhoto, adviceFormats, "None of the files can be used; the first, %s, %s.", s.Skipped[0].Name, s.Skipped[0].Reason)
	case n < l.MinPhotos:
		return fail(TooFewPhotos, "Take 20 to 200 photos all around the subject, each overlapping the last by two thirds.",
			"%s.", thereAre(n))
	}
	return nil
}

// thereAre begins a sentence about too few photos.
func thereAre(n int) string {
	switch n {
	case 0:
		return "There are no photos or videos"
	case 1:
		return "There is only 1 photo"
	}
	return fmt.Sprintf("There are only %d photos", n)
}

// probePhoto reads a file's header. reason says why it cannot be used, for its owner; "" when it can.
func probePhoto(p string, l Limits) (photo Photo, reason string) {
	file, err := os.Open(p)
	if err != nil {
		return Photo{}, "cannot be opened"
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil || !info.Mode().IsRegular():
		return Photo{}, "is no file"
	case info.Size() == 0:
		return Photo{}, "is empty"
	case info.Size() > l.MaxBytes:
		return Photo{}, fmt.Sprintf("is larger than %d MB", l.MaxBytes>>20)
	}
	photo, reason = probeHeader(file, l)
	photo.Path, photo.Bytes = p, info.Size()
	return photo, reason
}

// probeHeader reads what comes before the pixels.
func probeHeader(r io.ReadSeeker, l Limits) (photo Photo, reason string) {
	head, err := headFrom(r)
	if err != nil {
		return Photo{}, "cannot be read"
	}
	format := photoFormat(head)
	if format == "" {
		if o := otherKind(head); o != nil {
			return Photo{}, "is " + o.name + ", which is not read here"
		}
		return Photo{}, "is not a picture of a known format"
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Photo{}, "cannot be read"
	}
	config, err := decodeSize(format, r)
	if err != nil {
		return Photo{}, "is damaged"
	}
	photo = Photo{Format: format, Width: config.Width, Height: config.Height}
	// Widths and heights are below 2^31: their product does not overflow.
	switch limit := l.pixels(format); {
	case config.Width <= 0 || config.Height <= 0 || int64(config.Width)*int64(config.Height) > int64(limit):
		return photo, fmt.Sprintf("has %d x %d pixels, more than %d million", config.Width, config.Height, limit/1_000_000)
	case min(config.Width, config.Height) < l.MinEdge:
		return photo, fmt.Sprintf("has only %d x %d pixels", config.Width, config.Height)
	}
	photo.memory = int64(config.Width) * int64(config.Height) * decodedBytes(format, config.ColorModel)
	meta := metadataOf(format, r)
	photo.Exif = parseExif(meta.exif)
	photo.Spherical = meta.spherical && config.Width == 2*config.Height
	if format == formatHEIC {
		photo.Exif.Orientation = 0 // see decodeHEIC
	}
	if photo.Exif.sideways() {
		photo.Width, photo.Height = photo.Height, photo.Width
	}
	return photo, ""
}

// pixels is the limit for one format: HEIC is decoded within the address space of 32 bits of its sandbox.
func (l Limits) pixels(format string) int {
	if format == formatHEIC {
		return min(l.MaxPixels, 64_000_000)
	}
	return l.MaxPixels
}

// natural compares names with runs of digits as numbers.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		dx, dy := digits(x), digits(y)
		if dx > 0 && dy > 0 {
			nx, ny := strings.TrimLeft(x[:dx], "0"), strings.TrimLeft(y[:dy], "0")
			if c := cmp.Or(cmp.Compare(len(nx), len(ny)), strings.Compare(nx, ny)); c != 0 {
				return c
			}
			x, y = x[dx:], y[dy:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// photoPrefix begins the names of photos that cannot keep their own.
const photoPrefix = "photo_"

// imageNames gives each photo the file name that it is prepared under: its own, made harmless, where these are
// distinct and sort in the order of the set, and otherwise with a number in front. COLMAP matches neighbours in the
// order of names.
func imageNames(photos []Photo, numbered bool) []string {
	names := make([]string, len(photos))
	keep := !numbered
	for i, p := range photos {
		base := path.Base(p.Name)
		extension := path.Ext(base)
		stem := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
				return r
			}
			return '_'
		}, strings.TrimSuffix(base, extension))
		names[i] = strings.TrimLeft(stem[:min(len(stem), 80)], ".-") + ".jpg"
		if i > 0 && !(strings.ToLower(names[i-1]) < strings.ToLower(names[i]) && names[i-1] < names[i]) {
			keep = false
		}
		if names[i] == ".jpg" {
			keep = false
		}
	}
	if !keep {
		for i := range names {
			names[i] = fmt.Sprintf("%s%06d_%s", photoPrefix, i+1, names[i])
		}
	}
	return names
}
