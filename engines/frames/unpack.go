package frames

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Unpack writes the files of a ZIP archive of photos below dir, which it makes if missing. Folders are kept; hidden
// files, links and what archivers add are left out. Nothing is written outside dir, and no more than limits allow,
// whatever the archive claims. The error is a *Failure when the archive is at fault; what was unpacked so far stays.
func Unpack(ctx context.Context, archive, dir string, limits Limits) error {
	limits = limits.withDefaults()
	const advice = "Make the archive again (ZIP, without a password) from the photos alone, and send it once more."
	z, err := zip.OpenReader(archive)
	switch {
	case errors.Is(err, zip.ErrInsecurePath):
		z.Close()
		return fail(BadArchive, advice, "The archive holds names that point outside of it.")
	case errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, io.ErrUnexpectedEOF):
		return fail(BadArchive, advice, "The ZIP archive is damaged or incomplete.").because(err)
	case err != nil:
		return fmt.Errorf("opening the archive: %w", err)
	}
	defer z.Close()
	if len(z.File) > maxEntries {
		return fail(ArchiveTooLarge, "Send fewer photos.", "The archive holds %d files; at most %d are accepted.", len(z.File), maxEntries)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer root.Close()

	packed := int64(0)
	if info, err := os.Stat(archive); err == nil {
		packed = info.Size()
	}
	// Pictures and videos are compressed already.
	left := min(limits.MaxUnpacked, packed*maxExpansion+expansionGrace)
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
		name := path.Clean(strings.ReplaceAll(f.Name, `\`, "/"))
		switch {
		case !filepath.IsLocal(filepath.FromSlash(name)):
			return fail(BadArchive, advice, "The archive holds names that point outside of it.")
		case !f.Mode().IsRegular() || hidden(name):
			continue
		case f.Flags&1 != 0:
			return fail(BadArchive, advice, "The archive is protected by a password.")
		}
		n, err := unpackFile(root, f, name, left, limits.MaxBytes)
		left -= n
		switch {
		case errors.Is(err, errTooLarge):
			return fail(ArchiveTooLarge, "Send fewer or smaller photos, as the camera made them.",
				"Unpacked, the archive is larger than is accepted: %d MB a photo, %d MB in all, and %d times its own size.",
				limits.MaxBytes>>20, limits.MaxUnpacked>>20, maxExpansion)
		case errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, errDamaged):
			return fail(BadArchive, advice, "The file %q in the archive is damaged.", name).because(err)
		case err != nil:
			return fmt.Errorf("unpacking %q: %w", name, err)
		}
	}
	return nil
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

// unpackFile writes one member and says how many bytes it took: at most limit, and unless it is a video at most photo.
// The sizes in the archive are not believed.
func unpackFile(root *os.Root, f *zip.File, name string, limit, photo int64) (int64, error) {
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	local := filepath.FromSlash(name)
	if folder := filepath.Dir(local); folder != "." {
		if err := root.MkdirAll(folder, 0o777); err != nil {
			return 0, err
		}
	}
	out, err := root.OpenFile(local, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, os.ErrExist) {
		// Two members of one name; the first one counts.
		return 0, nil
	} else if err != nil {
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
		root.Remove(local)
		return n, errTooLarge
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
