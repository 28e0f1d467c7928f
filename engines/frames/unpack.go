package frames

import (
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const adviceArchive = "Make the archive again (ZIP, without a password) from the photos alone, and send it once more."

// unpack writes the files of a ZIP archive into dir, which it makes if missing, and lists them in natural order of their
// names. Names in an archive are labels, not paths: the files are called 1, 2, … in dir, whatever they are called in the
// archive, and two members of one name are two files. Hidden files, links, folders and what archivers add are left out,
// and so are the results of earlier runs; damaged members, and those whose compression is not known here, are skipped.
// No more is written than limits allow, whatever the archive claims.
//
// The error is a *fault.Failure when the archive is at fault; what was unpacked so far stays.
func unpack(ctx context.Context, archive, dir string, limits Limits) ([]File, []Skipped, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the archive: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("opening the archive: %w", err)
	}
	return unpackFrom(ctx, file, info.Size(), dir, limits)
}

// unpackFrom is unpack of an archive of packed bytes that need not be a file. What reading it fails with is returned as it is: the
// archive is not at fault.
func unpackFrom(ctx context.Context, archive io.ReaderAt, packed int64, dir string, limits Limits) ([]File, []Skipped, error) {
	u := unpacking{dir: dir, limits: limits.withDefaults()}
	in := &watched{in: archive}
	z, err := zip.NewReader(in, packed)
	switch {
	case in.err != nil:
		return nil, nil, fmt.Errorf("reading the archive: %w", in.err)
	case errors.Is(err, zip.ErrInsecurePath):
		return nil, nil, fail(BadArchive, adviceArchive, "The archive holds names that point outside of it.")
	case errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, nil, fail(BadArchive, adviceArchive, "The ZIP archive is damaged or incomplete.").Because(err)
	case err != nil:
		return nil, nil, fmt.Errorf("opening the archive: %w", err)
	}
	z.RegisterDecompressor(methodBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	if len(z.File) > maxEntries {
		return nil, nil, fail(ArchiveTooLarge, "Send fewer photos.", "The archive holds %d files; at most %d are accepted.", len(z.File), maxEntries)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, nil, fmt.Errorf("unpacking: %w", err)
	}
	// Pictures and videos are compressed already.
	u.left = min(u.limits.MaxUnpacked, packed*maxExpansion+expansionGrace)
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("unpacking: %w", err)
		}
		if err := u.member(f); in.err != nil {
			return nil, nil, fmt.Errorf("reading the archive: %w", in.err)
		} else if err != nil {
			return nil, nil, err
		}
	}
	if len(u.files) == 0 && u.unknown != "" {
		return nil, nil, fail(BadArchive, "Make the archive again with the method Deflate, or without compression, and send it once more.",
			"The archive is compressed with %s, which is not read here.", u.unknown)
	}
	slices.SortStableFunc(u.files, func(a, b File) int { return natural(a.Name, b.Name) })
	files, own := OwnResults(u.files)
	return files, append(u.skipped, own...), nil
}

// watched remembers what reading failed with.
type watched struct {
	in  io.ReaderAt
	err error
}

func (w *watched) ReadAt(p []byte, offset int64) (int, error) {
	n, err := w.in.ReadAt(p, offset)
	if err != nil && err != io.EOF && w.err == nil {
		w.err = err
	}
	return n, err
}

// unpacking is an archive on its way into a folder.
type unpacking struct {
	dir     string
	limits  Limits
	left    int64 // bytes that may still be written
	files   []File
	skipped []Skipped
	unknown string // a compression that is not known here
}

// member unpacks one file of the archive, or skips it.
func (u *unpacking) member(f *zip.File) error {
	given := path.Clean(strings.ReplaceAll(f.Name, `\`, "/"))
	name := label(given)
	switch {
	case given == ".." || strings.HasPrefix(given, "../") || path.IsAbs(given):
		return fail(BadArchive, adviceArchive, "The archive holds names that point outside of it.")
	case !f.Mode().IsRegular() || hidden(given):
		return nil
	case f.Flags&1 != 0:
		return fail(BadArchive, adviceArchive, "The archive is protected by a password.")
	}
	target := filepath.Join(u.dir, fmt.Sprint(len(u.files)+1))
	n, err := unpackFile(target, f, u.left, u.limits.MaxBytes)
	u.left -= n
	switch {
	case err == nil:
		u.files = append(u.files, File{target, name})
		return nil
	case errors.Is(err, errTooLarge):
		return fail(ArchiveTooLarge, "Send fewer or smaller photos, as the camera made them.",
			"Unpacked, the archive is larger than is accepted: %d MB a photo, %d MB in all, and %d times its own size.",
			u.limits.MaxBytes>>20, u.limits.MaxUnpacked>>20, maxExpansion)
	case errors.Is(err, zip.ErrAlgorithm):
		u.unknown = methodName(f.Method)
		u.skipped = append(u.skipped, Skipped{Name: name, Reason: "is compressed with " + u.unknown + ", which is not read here"})
		return nil
	case errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, errDamaged):
		u.skipped = append(u.skipped, Skipped{Name: name, Reason: "is damaged"})
		return nil
	}
	return fmt.Errorf("unpacking %q: %w", name, err)
}

var (
	errTooLarge = errors.New("larger than allowed")
	errDamaged  = errors.New("damaged data")
)

const (
	// maxExpansion bounds what an archive unpacks to, in its own size: PNG of few colours shrinks to a tenth.
	maxExpansion = 50
	// expansionGrace is always allowed, bytes.
	expansionGrace = 32 << 20
)

// methodBzip2 and the names below are from APPNOTE.TXT 6.3.10, 4.4.5.
const methodBzip2 = 12

func methodName(method uint16) string {
	names := map[uint16]string{1: "Shrink", 6: "Implode", 9: "Deflate64", methodBzip2: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd", 99: "AES"}
	if name, ok := names[method]; ok {
		return name
	}
	return fmt.Sprintf("method %d", method)
}

// unpackFile writes one member and says how many bytes it took: at most limit, and unless it is a video at most photo.
// The sizes in the archive are not believed. After an error nothing of it is left.
func unpackFile(target string, f *zip.File, limit, photo int64) (int64, error) {
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return 0, err
	}
	start := bufio.NewReader(&source{in: in})
	if head, _ := start.Peek(32); !videoContainer(string(head)) {
		limit = min(limit, photo)
	}
	n, err := io.Copy(out, io.LimitReader(start, limit+1))
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if n > limit {
		err = errTooLarge
	}
	if err != nil {
		os.Remove(target)
	}
	return n, err
}

// source marks what reading fails with as the archive's fault; writing fails for reasons of its own.
type source struct{ in io.Reader }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, err
}

func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if ignored(part) {
			return true
		}
	}
	return false
}
