package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
)

// prepareOutput makes the folder that results go to and takes away what an earlier run left there, so that a run that fails
// does not leave another one's splat as if it were its own. It takes away only what this program writes, and refuses
// where that, or a folder in its place, is the input or not this program's. input is "" where there is none here.
func prepareOutput(dir, input string, scene bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if input != "" && same(input, dir) {
		return usageError{errors.New("the results cannot go into the folder of the input: name another one with -o")}
	}
	var old []string
	for _, kind := range artifacts.ForClients() {
		path := filepath.Join(dir, kind.FileName())
		folder, packed := bundles[kind]
		if packed {
			path = filepath.Join(dir, folder)
		}
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		switch {
		case input != "" && within(input, path):
			return usageError{fmt.Errorf("the input is among the results of an earlier run in %s: name another folder with -o", dir)}
		case !packed && info.Mode().IsRegular():
		case packed && ownFolder(kind, path):
		case kind == artifacts.Scene && !scene:
			continue // not ours, and not in the way
		default:
			return usageError{fmt.Errorf("%s is in the way of the results: name another folder with -o", path)}
		}
		old = append(old, path)
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("taking away the results of an earlier run: %w", err)
		}
	}
	return nil
}

// ownFolder says whether a folder is a bundle that was unpacked by this program, or empty.
func ownFolder(kind artifacts.Kind, path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil {
		return false
	}
	model := path
	if kind == artifacts.Scene {
		model = filepath.Join(path, "sparse")
	}
	_, err = os.Stat(filepath.Join(model, "cameras.bin"))
	return len(entries) == 0 || err == nil
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// within says whether path is the folder or file above, or is in it.
func within(path, above string) bool {
	real := func(p string) string {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		if followed, err := filepath.EvalSymlinks(p); err == nil {
			p = followed
		}
		return p
	}
	relative, err := filepath.Rel(real(above), real(path))
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}

// replaceFolder unpacks a bundle into a folder of its own, which then takes the place of dir and of all that is in it.
func replaceFolder(bundle, dir string) error {
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	f, err := os.Open(bundle)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	if err := artifacts.Unpack(f, fresh); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

// printable makes text from elsewhere (names of files, words of a backend) safe for a terminal, line by line.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = tool.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
