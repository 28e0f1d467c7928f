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
	self, err := f.Stat() // the zip may come to lie in the folder
	if err == nil {
		err = writeZip(f, os.DirFS(dir), self)
	}
	if err != nil {
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

func writeZip(w io.Writer, files fs.FS, self fs.FileInfo) error {
	z := zip.NewWriter(w)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := fs.Stat(files, name) // a link counts as what it leads to
		if err != nil || !info.Mode().IsRegular() || os.SameFile(info, self) {
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
