package frames

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// maxEntries bounds the files of a folder or an archive, whatever they are.
const maxEntries = 20_000

// file is one of an input's, with the name its owner knows it by: the path within the folder or archive, with slashes.
type file struct{ path, name string }

// findFiles lists the files in a folder and below it, in natural order of their names. Hidden files and links are ignored.
func findFiles(ctx context.Context, dir string) ([]file, error) {
	var found []file
	err := filepath.WalkDir(dir, func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case p != dir && ignored(entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.Type().IsRegular():
			name, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			found = append(found, file{p, filepath.ToSlash(name)})
		}
		if len(found) > maxEntries {
			return fail(TooManyPhotos, "Send fewer files.", "The folder holds more than %d files.", maxEntries)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the input: %w", err)
	}
	slices.SortFunc(found, func(a, b file) int { return natural(a.name, b.name) })
	return found, nil
}

// ignored are the files that systems and archivers leave beside the owner's.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX" || strings.EqualFold(name, "thumbs.db") || strings.EqualFold(name, "desktop.ini")
}
