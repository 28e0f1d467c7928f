package frames

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// archive is a ZIP file of members in order; a name that ends in "->" is a link.
func archive(t testing.TB, members ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "photos.zip")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(file)
	for i := 0; i < len(members); i += 2 {
		header := &zip.FileHeader{Name: members[i], Method: zip.Deflate}
		header.SetMode(0o644)
		if link, ok := strings.CutSuffix(members[i], "->"); ok {
			header.Name = link
			header.SetMode(0o777 | os.ModeSymlink)
		}
		w, err := z.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, p)
			found = append(found, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestUnpack(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	for _, test := range []struct {
		name    string
		members []string
		limits  Limits
		code    string
		files   []string
	}{
		{"good", []string{"set/b.jpg", "B", "set/a.jpg", "A", "set/", ""}, Limits{}, "", []string{"set/a.jpg", "set/b.jpg"}},
		{"what archivers add", []string{"a.jpg", "A", "__MACOSX/._a.jpg", "x", ".DS_Store", "x", "Thumbs.db", "x"}, Limits{}, "", []string{"a.jpg"}},
		{"twice the same name", []string{"a.jpg", "first", "a.jpg", "second"}, Limits{}, "", []string{"a.jpg"}},
		{"a link", []string{"a.jpg->", "/etc/passwd", "b.jpg", "B"}, Limits{}, "", []string{"b.jpg"}},
		{"upwards", []string{"a.jpg", "A", "../../evil.jpg", "E"}, Limits{}, BadArchive, nil},
		{"absolute", []string{"/evil.jpg", "E"}, Limits{}, BadArchive, nil},
		{"backslashes", []string{`..\..\evil.jpg`, "E"}, Limits{}, BadArchive, nil},
		{"a large file", []string{"a.jpg", big}, Limits{MaxBytes: 99_999}, ArchiveTooLarge, nil},
		{"much together", []string{"a.jpg", big, "b.jpg", big}, Limits{MaxUnpacked: 150_000}, ArchiveTooLarge, nil},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "deep", "er")
		err := Unpack(t.Context(), archive(t, test.members...), dir, test.limits)
		if got := code(err); got != test.code {
			t.Errorf("%s: %q, want %q", test.name, got, test.code)
		}
		if test.code == "" {
			if got := files(t, dir); !slices.Equal(got, test.files) {
				t.Errorf("%s: unpacked %v, want %v", test.name, got, test.files)
			}
		}
		for _, f := range files(t, parent) {
			if !strings.HasPrefix(f, "deep/er/") {
				t.Errorf("%s: %s was written outside", test.name, f)
			}
		}
	}
}

func TestUnpackDamaged(t *testing.T) {
	whole, err := os.ReadFile(archive(t, "a.jpg", strings.Repeat("picture ", 1000), "b.jpg", "B"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cut := filepath.Join(dir, "cut.zip")
	put(t, cut, whole[:len(whole)-30])
	if err := Unpack(t.Context(), cut, filepath.Join(dir, "1"), Limits{}); code(err) != BadArchive {
		t.Errorf("cut: %v", err)
	}
	for i := 40; i < 60; i++ {
		whole[i] ^= 0x55
	}
	flipped := filepath.Join(dir, "flipped.zip")
	put(t, flipped, whole)
	if err := Unpack(t.Context(), flipped, filepath.Join(dir, "2"), Limits{}); code(err) != BadArchive {
		t.Errorf("flipped: %v", err)
	}
	if err := Unpack(t.Context(), filepath.Join(dir, "absent.zip"), filepath.Join(dir, "3"), Limits{}); err == nil || isFailure(err) {
		t.Errorf("absent: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, members := range [][]string{{"a.jpg", "A"}, {"../a.jpg", "A"}, {"d/b.jpg", strings.Repeat("b", 500)}, {"l->", "/etc/passwd"}} {
		data, err := os.ReadFile(archive(f, members...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		path := filepath.Join(parent, "in.zip")
		put(t, path, data)
		_ = Unpack(t.Context(), path, filepath.Join(parent, "out"), Limits{MaxBytes: 1 << 16, MaxUnpacked: 1 << 18})
		for _, name := range files(t, parent) {
			if name != "in.zip" && !strings.HasPrefix(name, "out/") {
				t.Errorf("%s was written outside", name)
			}
		}
	})
}
