// Package durable writes small files so that a crash or a loss of power leaves either the old one or the new one.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile replaces path by way of a temporary file in tmpDir, which must be on the same file system. It returns when a loss
// of power could not undo it.
func WriteFile(tmpDir, path string, body []byte) error {
	if err := Replace(tmpDir, path, body, (*os.File).Sync); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Replace replaces path by way of a temporary file in tmpDir, which is flushed as flush does it.
func Replace(tmpDir, path string, body []byte, flush func(*os.File) error) error {
	f, err := os.CreateTemp(tmpDir, "file-*") // readable by its owner only
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = flush(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// SyncDir makes what was made, renamed and removed in a folder lasting.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
