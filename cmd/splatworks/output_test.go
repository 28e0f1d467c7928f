package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A folder is packed whatever is in it; what is left out is named, once and printable.
func TestZipFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.jpg", "sub/b.jpg", ".cache/c.jpg", "out/report.json", "out/splat.ply", "out/orbit.mp4", "now/x.jpg", `back\..\slash.jpg`, "osc\x1b]0;x\x07.jpg")
	if err := os.Symlink("/nowhere/IMG_9.JPG", filepath.Join(dir, "IMG\x1b_9.JPG")); err != nil {
		t.Fatal(err)
	}
	var notes bytes.Buffer
	r, size, done, err := zipFolder(t.Context(), dir, &notes, filepath.Join(dir, "now"))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	z, err := zip.NewReader(r, size)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if want := []string{"a.jpg", "back_.._slash.jpg", "osc\ufffd]0;x\ufffd.jpg", "sub/b.jpg"}; !slices.Equal(names, want) {
		t.Errorf("packed %q, want %q", names, want)
	}
	for _, want := range []string{"IMG\ufffd_9.JPG is a link that leads nowhere", "out holds the results of an earlier run", "now is a folder that this run writes to"} {
		if !strings.Contains(notes.String(), want) {
			t.Errorf("%q is not in %q", want, notes.String())
		}
	}
	var usage usageError
	if _, _, _, err := zipFolder(t.Context(), filepath.Join(dir, "out"), &notes); !errors.As(err, &usage) {
		t.Errorf("a folder of results was packed: %v", err)
	}
}

// What an earlier run left goes, what is not ours stays.
func TestPrepareOutput(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "splat.ply", "report.json", "orbit.mp4", "mine.txt", "sparse/cameras.bin", "scene/sparse/cameras.bin", "scene/images/old.jpg")
	if err := prepareOutput(dir, filepath.Join(dir, "mine.txt"), false); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"splat.ply": false, "report.json": false, "orbit.mp4": false, "sparse": false, "scene": false, "mine.txt": true} {
		if exists(filepath.Join(dir, name)) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
	for name, prepare := range map[string]func(dir string) error{
		"the input itself":           func(dir string) error { return prepareOutput(dir, dir, false) },
		"the input is a result":      func(dir string) error { return prepareOutput(dir, filepath.Join(dir, "orbit.mp4"), false) },
		"the input is in the scene":  func(dir string) error { return prepareOutput(dir, filepath.Join(dir, "scene", "images"), true) },
		"somebody's folder in place": func(dir string) error { return prepareOutput(dir, "", true) },
	} {
		dir := t.TempDir()
		write(t, dir, "orbit.mp4", "report.json", "scene/images/mine.jpg")
		if strings.HasPrefix(name, "the input is in") {
			write(t, dir, "scene/sparse/cameras.bin")
		}
		var usage usageError
		if err := prepare(dir); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
		if !exists(filepath.Join(dir, "orbit.mp4")) || !exists(filepath.Join(dir, "scene/images/mine.jpg")) {
			t.Errorf("%s: refused, and files are gone", name)
		}
	}
	// A folder of that name which is not wanted is not in the way.
	dir = t.TempDir()
	write(t, dir, "scene/images/mine.jpg")
	if err := prepareOutput(dir, "", false); err != nil || !exists(filepath.Join(dir, "scene/images/mine.jpg")) {
		t.Error(err)
	}
}

// A bundle takes the place of a folder with all that is in it; one that is damaged leaves the folder as it was.
func TestReplaceFolder(t *testing.T) {
	packed, dir := t.TempDir(), t.TempDir()
	write(t, packed, "images/new.jpg")
	write(t, dir, "scene/images/old.jpg")
	var tar bytes.Buffer
	if err := artifacts.Pack(&tar, packed); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "scene.tar")
	if err := os.WriteFile(bundle, tar.Bytes()[:520], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replaceFolder(bundle, filepath.Join(dir, "scene")); err == nil || !exists(filepath.Join(dir, "scene/images/old.jpg")) {
		t.Errorf("a damaged bundle: %v", err)
	}
	if err := os.WriteFile(bundle, tar.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replaceFolder(bundle, filepath.Join(dir, "scene")); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, "scene/images/old.jpg")) || !exists(filepath.Join(dir, "scene/images/new.jpg")) {
		t.Error("old and new are mixed")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
}

// No control characters are printed, whatever the source of a name.
func TestMessagesHoldNoControlCharacters(t *testing.T) {
	const title = "\x1b]0;owned\x07\u009b2J"
	var out bytes.Buffer
	for _, err := range []error{
		&pipeline.Failure{Kind: pipeline.InvalidInput, Code: "c", Message: "file " + title, Advice: title},
		usageError{errors.New(title)}, errors.New("a\nb " + title),
	} {
		report(&out, err)
	}
	b := newBars(&out)
	b.show("stage", 50, title)
	b.warn(pipeline.Warning{Message: title, Advice: title})
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b") || !strings.Contains(out.String(), "]0;owned") {
		t.Errorf("printed %q", out.String())
	}
}
