package frames

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// One bad entry never stops a walk over a folder: it is named, the others are found.
func TestFindFiles(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	jpeg := []byte("\xff\xd8\xff")
	for _, name := range []string{"a.jpg", "sub/b.jpg", ".hidden/c.jpg", ".d.jpg", "out/report.json", "out/splat.ply", "out/orbit.mp4", "out/scene/images/1.jpg", "data/x.jpg", "report.json"} {
		put(t, filepath.Join(dir, name), jpeg)
	}
	if err := os.WriteFile(filepath.Join(dir, "caf\xe9.jpg"), jpeg, 0o666); err != nil {
		t.Skipf("names must be UTF-8 here: %v", err)
	}
	put(t, filepath.Join(dir, "\x1b]0;x\x07.jpg"), jpeg)
	put(t, filepath.Join(elsewhere, "e.jpg"), jpeg)
	for link, to := range map[string]string{"broken.jpg": "/nowhere/IMG_9.JPG", "more": elsewhere, "link.jpg": filepath.Join(elsewhere, "e.jpg")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, skipped, err := FindFiles(t.Context(), dir, filepath.Join(dir, "data"), filepath.Join(dir, "absent"))
	if err != nil {
		t.Fatal(err)
	}
	var names, left []string
	for _, f := range found {
		names = append(names, f.Name)
		if _, err := os.Stat(f.Path); err != nil {
			t.Error(err)
		}
	}
	for _, s := range skipped {
		left = append(left, s.Name+" "+s.Reason)
	}
	slices.Sort(left)
	if want := []string{"a.jpg", "caf\ufffd.jpg", "link.jpg", "report.json", "sub/b.jpg", "\ufffd]0;x\ufffd.jpg"}; !slices.Equal(names, want) {
		t.Errorf("found %q, want %q", names, want)
	}
	if want := []string{"broken.jpg is a link that leads nowhere", "data is a folder that this run writes to", "more is a link to a folder",
		"out holds the results of an earlier run", "pipe.jpg is no file"}; !slices.Equal(left, want) {
		t.Errorf("skipped %q, want %q", left, want)
	}
	// What a stage was sent is not followed out of its folder.
	found, _, err = findFiles(t.Context(), dir)
	if err != nil || slices.ContainsFunc(found, func(f File) bool { return f.Name == "link.jpg" }) {
		t.Errorf("%v, %v", found, err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(filepath.Join(dir, "sub"), 0); err != nil {
			t.Fatal(err)
		}
		if _, skipped, err = FindFiles(t.Context(), dir); err != nil || !slices.Contains(skipped, Skipped{Name: "sub", Reason: "cannot be read"}) {
			t.Errorf("%v, %v", skipped, err)
		}
	}
	if _, _, err := FindFiles(t.Context(), filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder that is not there was listed")
	}
}

func TestOwnResultsAtTheTopAndBelow(t *testing.T) {
	rest, own := OwnResults([]File{{Name: "splat.ply"}, {Name: "report.json"}, {Name: "a/b.jpg"}})
	if len(rest) != 0 || len(own) != 1 || own[0].Name != "." {
		t.Errorf("%v, %v", rest, own)
	}
	rest, own = OwnResults([]File{{Name: "data/storage/buckets/inbox/bucket.json"}, {Name: "data/work/1.jpg"}, {Name: "a.jpg"}, {Name: "bucket.json"}})
	if len(rest) != 2 || len(own) != 1 || own[0].Name != "data" {
		t.Errorf("%v, %v", rest, own)
	}
	rest, own = OwnResults([]File{{Name: "x/report.json"}, {Name: "y/splat.ply"}, {Name: "a.jpg"}})
	if len(rest) != 3 || len(own) != 0 {
		t.Errorf("%v, %v", rest, own)
	}
}
