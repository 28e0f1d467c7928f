package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/infra/local/durable"
)

func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for _, body := range []string{"first", "second, which is longer", ""} {
		if err := durable.WriteFile(dir, path, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != body {
			t.Errorf("the file holds %q, %v; want %q", got, err, body)
		}
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "missing"), path, []byte("new")); err == nil {
		t.Error("written by way of a folder that is not there")
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(dir, filepath.Join(dir, "folder"), []byte("new")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("after a failure the file holds %q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
