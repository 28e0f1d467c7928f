package frames

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/tool"
)

// maxEntries bounds the files of a folder or an archive, whatever they are.
const maxEntries = 20_000

// File is one of an input's. Its name is a label, not a path: what its owner knows it by, the path within the folder or
// archive with slashes, made printable. Two files may have the same.
type File struct{ Path, Name string }

// FindFiles lists the files in a folder and below it, in natural order of their names. Hidden files and folders are ignored,
// and so is what systems and archivers add. What else cannot be used is skipped: links that lead nowhere or to folders,
// folders that may not be read, what is no file, the folders in leaveOut, and the results of earlier runs (see
// OwnResults).
//
// Programs that pack a folder to send it use it, so that packing takes what the filter stage takes. Links to files count as
// files: the folder is the caller's own. What a stage was sent is never followed, see findFiles.
func FindFiles(ctx context.Context, dir string, leaveOut ...string) ([]File, []Skipped, error) {
	l := listing{dir: dir, follow: true}
	for _, folder := range leaveOut {
		if info, err := os.Stat(folder); err == nil {
			l.leaveOut = append(l.leaveOut, info)
		}
	}
	return l.list(ctx)
}

// findFiles lists a folder whose makers are not trusted: it follows no links.
func findFiles(ctx context.Context, dir string) ([]File, []Skipped, error) {
	l := listing{dir: dir}
	return l.list(ctx)
}

func (l *listing) list(ctx context.Context) ([]File, []Skipped, error) {
	err := filepath.WalkDir(l.dir, func(p string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return l.visit(p, entry, err)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the input: %w", err)
	}
	slices.SortStableFunc(l.found, func(a, b File) int { return natural(a.Name, b.Name) })
	found, own := OwnResults(l.found)
	return found, append(l.skipped, own...), nil
}

// listing is one way through a folder.
type listing struct {
	dir      string
	follow   bool // links to files count as files
	leaveOut []fs.FileInfo
	found    []File
	skipped  []Skipped
	entries  int
}

func (l *listing) visit(p string, entry fs.DirEntry, err error) error {
	if p == l.dir {
		return err // without the folder itself there is nothing
	}
	if ignored(entry.Name()) {
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if l.entries++; l.entries > maxEntries {
		return fail(TooManyPhotos, "Send fewer files.", "The folder holds more than %d files.", maxEntries)
	}
	relative, relErr := filepath.Rel(l.dir, p)
	if relErr != nil {
		return relErr
	}
	name := label(filepath.ToSlash(relative))
	skip := func(reason string) error {
		l.skipped = append(l.skipped, Skipped{Name: name, Reason: reason})
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if err != nil {
		return skip("cannot be read")
	}
	link := entry.Type()&fs.ModeSymlink != 0
	if link && !l.follow {
		return skip("is a link")
	}
	info, err := os.Stat(p)
	switch {
	case err != nil && link:
		return skip("is a link that leads nowhere")
	case err != nil:
		return skip("cannot be read")
	case info.IsDir() && link:
		return skip("is a link to a folder")
	case info.IsDir():
		if slices.ContainsFunc(l.leaveOut, func(out fs.FileInfo) bool { return os.SameFile(info, out) }) {
			return skip("is a folder that this run writes to")
		}
	case !info.Mode().IsRegular():
		return skip("is no file")
	case slices.ContainsFunc(l.leaveOut, func(out fs.FileInfo) bool { return os.SameFile(info, out) }):
		// The file that is being written, of no interest to anybody.
	default:
		l.found = append(l.found, File{p, name})
	}
	return nil
}

// label makes a name from outside fit for messages and reports.
func label(name string) string { return tool.Printable(name) }

// OwnResults takes out what this program has written: folders with both a report.json and a splat.ply, the data folder of a
// backend (storage/buckets/NAME/bucket.json), and all that is below them.
func OwnResults(files []File) (rest []File, own []Skipped) {
	const report, splat = 1, 2
	signs := map[string]int{}
	for _, f := range files {
		switch path.Base(f.Name) {
		case "report.json":
			signs[path.Dir(f.Name)] |= report
		case "splat.ply":
			signs[path.Dir(f.Name)] |= splat
		case "bucket.json":
			buckets := path.Dir(path.Dir(f.Name))
			if data, ok := strings.CutSuffix(buckets, "storage/buckets"); ok {
				signs[path.Clean(data)] = report | splat
			}
		}
	}
	named := map[string]bool{}
	for _, f := range files {
		folder := path.Dir(f.Name)
		for signs[folder] != report|splat && folder != "." {
			folder = path.Dir(folder)
		}
		if signs[folder] != report|splat {
			rest = append(rest, f)
		} else if !named[folder] {
			named[folder] = true
			own = append(own, Skipped{Name: folder, Reason: "holds the results of an earlier run"})
		}
	}
	return rest, own
}

// ignored are the files that systems and archivers leave beside the owner's.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX" || strings.EqualFold(name, "thumbs.db") || strings.EqualFold(name, "desktop.ini")
}
