package main

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// zipFolder packs the files of a folder into a temporary zip, without compressing: photos are compressed already.
func zipFolder(dir string) (r io.ReaderAt, size int64, done func(), err error) {
	f, err := os.CreateTemp("", "splatworks-*.zip")
	if err != nil {
		return nil, 0, nil, err
	}
	done = func() {
		f.Close()
		os.Remove(f.Name())
	}
	if err := writeZip(f, os.DirFS(dir)); err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("pack %s: %w", dir, err)
	}
	info, err := f.Stat()
	if err != nil {
		done()
		return nil, 0, nil, err
	}
	return f, info.Size(), done, nil
}

func writeZip(w io.Writer, files fs.FS) error {
	z := zip.NewWriter(w)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		in, err := files.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}
