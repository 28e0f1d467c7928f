package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/splatworks/splatworks/engines/frames"
)

// zipFolder packs the files of a folder into a temporary zip, without compressing: photos are compressed already. It takes
// what the filter stage would take of the folder, and says in notes what it leaves out: an entry that cannot be used never
// stops it. leaveOut are folders that this run writes to.
func zipFolder(ctx context.Context, dir string, notes io.Writer, leaveOut ...string) (r io.ReaderAt, size int64, done func(), err error) {
	f, err := os.CreateTemp("", "splatworks-*.zip")
	if err != nil {
		return nil, 0, nil, err
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	// The zip may be written into the folder.
	files, skipped, err := frames.FindFiles(ctx, dir, append(leaveOut, f.Name())...)
	if err == nil && len(files) == 0 && len(skipped) > 0 && skipped[0].Name == "." {
		err = usageError{errors.New("the folder holds the results of an earlier run: name the folder of the photos")}
	}
	if err == nil {
		var unread []frames.Skipped
		unread, err = writeZip(ctx, f, files)
		skipped = append(skipped, unread...)
	}
	if err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	noteSkipped(notes, skipped)
	info, err := f.Stat()
	if err != nil {
		done()
		return nil, 0, nil, err
	}
	return f, info.Size(), done, nil
}

// writeZip packs files under their names, until ctx ends. Those that cannot be opened are left out.
func writeZip(ctx context.Context, w io.Writer, files []frames.File) (unread []frames.Skipped, err error) {
	z := zip.NewWriter(w)
	for _, file := range files {
		opened, err := packFile(ctx, z, file)
		if err != nil {
			return unread, fmt.Errorf("%s: %w", file.Name, err)
		}
		if !opened {
			unread = append(unread, frames.Skipped{Name: file.Name, Reason: "cannot be read"})
		}
	}
	return unread, z.Close()
}

func packFile(ctx context.Context, z *zip.Writer, file frames.File) (opened bool, err error) {
	in, err := os.Open(file.Path)
	if err != nil {
		return false, nil
	}
	defer in.Close()
	// Readers of archives take a backslash for a folder.
	out, err := z.CreateHeader(&zip.FileHeader{Name: strings.ReplaceAll(file.Name, `\`, "_"), Method: zip.Store})
	if err != nil {
		return true, err
	}
	_, err = io.Copy(out, untilDone{ctx, in})
	return true, err
}

// untilDone reads until ctx ends: a film takes a while to pack.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.in.Read(p)
}

// mostNotes is how many files that are left out are named.
const mostNotes = 5

func noteSkipped(w io.Writer, skipped []frames.Skipped) {
	for i, s := range skipped {
		if i == mostNotes {
			fmt.Fprintf(w, "  left out: %d more\n", len(skipped)-i)
			return
		}
		fmt.Fprintf(w, "  left out: %s %s\n", printable(s.Name), s.Reason)
	}
}
