package frames

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/fault"
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
	long := strings.Repeat("写真", 60) + ".jpg" // 364 bytes
	for _, test := range []struct {
		name    string
		members []string
		limits  Limits
		code    string
		want    []string // name and content of each file
	}{
		{"good", []string{"set/b.jpg", "B", "set/a.jpg", "A", "set/", ""}, Limits{}, "", []string{"set/a.jpg", "A", "set/b.jpg", "B"}},
		{"what archivers add", []string{"a.jpg", "A", "__MACOSX/._a.jpg", "x", ".DS_Store", "x", "Thumbs.db", "x"}, Limits{}, "", []string{"a.jpg", "A"}},
		{"twice the same name", []string{"a.jpg", "first", "a.jpg", "second"}, Limits{}, "", []string{"a.jpg", "first", "a.jpg", "second"}},
		{"a file that is a folder", []string{"a", "A", "a/b.png", "B"}, Limits{}, "", []string{"a", "A", "a/b.png", "B"}},
		{"a long name", []string{long, "A"}, Limits{}, "", []string{long, "A"}},
		{"a NUL", []string{"a\x00b.jpg", "A"}, Limits{}, "", []string{"a\ufffdb.jpg", "A"}},
		{"names that Windows reserves", []string{"CON", "A", "a:b?.jpg", "B", "aux.jpg ", "C"}, Limits{}, "", []string{"CON", "A", "a:b?.jpg", "B", "aux.jpg ", "C"}},
		{"no UTF-8, control characters", []string{"caf\xe9.jpg", "A", "\x1b]0;x\x07\u009b.jpg", "B"}, Limits{}, "", []string{"caf\ufffd.jpg", "A", "\ufffd]0;x\ufffd\ufffd.jpg", "B"}},
		{"results of an earlier run", []string{"out/report.json", "{}", "out/splat.ply", "ply", "out/orbit.mp4", "film", "a.jpg", "A"}, Limits{}, "", []string{"a.jpg", "A"}},
		{"a link", []string{"a.jpg->", "/etc/passwd", "b.jpg", "B"}, Limits{}, "", []string{"b.jpg", "B"}},
		{"upwards", []string{"a.jpg", "A", "../../evil.jpg", "E"}, Limits{}, BadArchive, nil},
		{"absolute", []string{"/evil.jpg", "E"}, Limits{}, BadArchive, nil},
		{"backslashes", []string{`..\..\evil.jpg`, "E"}, Limits{}, BadArchive, nil},
		{"a large file", []string{"a.jpg", big}, Limits{MaxBytes: 99_999}, ArchiveTooLarge, nil},
		{"much together", []string{"a.jpg", big, "b.jpg", big}, Limits{MaxUnpacked: 150_000}, ArchiveTooLarge, nil},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "deep", "er")
		got, _, err := unpack(t.Context(), archive(t, test.members...), dir, test.limits)
		if c := code(err); c != test.code || err != nil && fault.Of(err) == nil {
			t.Errorf("%s: %v, want %q", test.name, err, test.code)
		}
		if test.code == "" {
			if got := contents(t, got); !slices.Equal(got, test.want) {
				t.Errorf("%s: unpacked %q, want %q", test.name, got, test.want)
			}
		}
		for _, f := range files(t, parent) {
			if number, ok := strings.CutPrefix(f, "deep/er/"); !ok || strings.Trim(number, "0123456789") != "" {
				t.Errorf("%s: %s was written", test.name, f)
			}
		}
	}
}

// contents are the names and contents of files.
func contents(t testing.TB, files []File) []string {
	t.Helper()
	var all []string
	for _, f := range files {
		body, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f.Name, string(body))
	}
	return all
}

// What is damaged in an archive is skipped and named as in a folder, unless it is the archive.
func TestUnpackDamaged(t *testing.T) {
	whole, err := os.ReadFile(archive(t, "a.jpg", strings.Repeat("picture ", 1000), "b.jpg", "B"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cut := filepath.Join(dir, "cut.zip")
	put(t, cut, whole[:len(whole)-30])
	if _, _, err := unpack(t.Context(), cut, filepath.Join(dir, "1"), Limits{}); code(err) != BadArchive {
		t.Errorf("cut: %v", err)
	}
	for i := 40; i < 60; i++ {
		whole[i] ^= 0x55
	}
	flipped := filepath.Join(dir, "flipped.zip")
	put(t, flipped, whole)
	got, skipped, err := unpack(t.Context(), flipped, filepath.Join(dir, "2"), Limits{})
	if err != nil || !slices.Equal(contents(t, got), []string{"b.jpg", "B"}) || !slices.Equal(skipped, []Skipped{{"a.jpg", "is damaged"}}) || len(files(t, filepath.Join(dir, "2"))) != 1 {
		t.Errorf("flipped: %v, %v, %v", got, skipped, err)
	}
	if _, _, err := unpack(t.Context(), filepath.Join(dir, "absent.zip"), filepath.Join(dir, "3"), Limits{}); err == nil || fault.Of(err) != nil {
		t.Errorf("absent: %v", err)
	}
}

// A compression that is not known here is no damage.
func TestUnpackOtherCompressions(t *testing.T) {
	pack := func(method uint16, body []byte, members ...string) string {
		path := filepath.Join(t.TempDir(), "photos.zip")
		var packed bytes.Buffer
		z := zip.NewWriter(&packed)
		for _, name := range members {
			w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: method, CRC32: crc32.ChecksumIEEE([]byte("hello\n")), CompressedSize64: uint64(len(body)), UncompressedSize64: 6})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
		if w, err := z.Create("z.jpg"); err != nil {
			t.Fatal(err)
		} else if _, err := w.Write([]byte("Z")); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		put(t, path, packed.Bytes())
		return path
	}
	// printf 'hello\n' | bzip2 | base64
	bz, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWcHAgOIAAAFBAAAQAkSgADDNAMNGKZcXckU4UJDBwIDi")
	if err == nil {
		_, err = io.ReadAll(bzip2.NewReader(bytes.NewReader(bz)))
	}
	if err != nil {
		t.Fatal(err)
	}
	got, skipped, err := unpack(t.Context(), pack(methodBzip2, bz, "a.jpg"), t.TempDir(), Limits{})
	if err != nil || len(skipped) != 0 || !slices.Equal(contents(t, got), []string{"a.jpg", "hello\n", "z.jpg", "Z"}) {
		t.Errorf("bzip2: %q, %v, %v", contents(t, got), skipped, err)
	}
	got, skipped, err = unpack(t.Context(), pack(14, []byte("anything"), "a.jpg"), t.TempDir(), Limits{})
	if err != nil || len(got) != 1 || !slices.Equal(skipped, []Skipped{{"a.jpg", "is compressed with LZMA, which is not read here"}}) {
		t.Errorf("LZMA beside another: %v, %v, %v", got, skipped, err)
	}
}

// Where nothing is left, the failure says why, and its advice makes another archive.
func TestUnpackOnlyOtherCompressions(t *testing.T) {
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "a.jpg", Method: 9, CompressedSize64: 1, UncompressedSize64: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("x"))
	z.Close()
	path := filepath.Join(t.TempDir(), "photos.zip")
	put(t, path, packed.Bytes())
	var f *fault.Failure
	if _, _, err := unpack(t.Context(), path, t.TempDir(), Limits{}); !errors.As(err, &f) || f.Code != BadArchive || !strings.Contains(f.Message, "Deflate64") || strings.Contains(f.Message, "damaged") || f.Advice == adviceArchive {
		t.Errorf("%+v", err)
	}
}

// An archive that cannot be used is called what it is, and one in another is named.
func TestUnpackOddArchives(t *testing.T) {
	packed := func(headers ...zip.FileHeader) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, h := range headers {
			w, err := z.CreateRaw(&h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "photos.zip")
		put(t, path, b.Bytes())
		return path
	}
	inner, err := os.ReadFile(archive(t, "b.jpg", "B"))
	if err != nil {
		t.Fatal(err)
	}
	one := zip.FileHeader{Name: "a.jpg", Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte("x")), CompressedSize64: 1, UncompressedSize64: 1}
	secret, modern := one, one
	secret.Flags, modern.Method = 1, 99 // ZipCrypto, AES
	for name, test := range map[string]struct{ path, code, said string }{
		"a password":          {packed(secret), BadArchive, "password"},
		"a password, AES":     {packed(modern), BadArchive, "AES"},
		"empty":               {packed(), TooFewPhotos, "no photos"},
		"an archive in it":    {archive(t, "inner.zip", string(inner)), NotAPhoto, "inner.zip"},
		"an archive, renamed": {archive(t, "inner.jpg", string(inner)), NotAPhoto, "inner.jpg"},
	} {
		if _, err := Open(t.Context(), Tools{}, test.path, t.TempDir(), Limits{}); code(err) != test.code || !strings.Contains(err.Error(), test.said) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Sizes of 64 bits, as archives above 4 GB and those that are written as a stream have them.
	one.Extra = []byte("\x01\x00\x10\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00")
	long, err := os.ReadFile(packed(one))
	if err != nil {
		t.Fatal(err)
	}
	copy(long[bytes.LastIndex(long, []byte("PK\x01\x02"))+20:], "\xff\xff\xff\xff\xff\xff\xff\xff") // both sizes: see the extra field
	path := filepath.Join(t.TempDir(), "long.zip")
	put(t, path, long)
	if got, skipped, err := unpack(t.Context(), path, t.TempDir(), Limits{}); err != nil || len(skipped) > 0 || !slices.Equal(contents(t, got), []string{"a.jpg", "x"}) {
		t.Errorf("sizes of 64 bits: %v, %v, %v", got, skipped, err)
	}
}

// away fails where a storage would that has gone: with the n-th read.
type away struct {
	in   io.ReaderAt
	left int
}

var errAway = errors.New("the storage is away")

func (a *away) ReadAt(p []byte, offset int64) (int, error) {
	if a.left--; a.left < 0 {
		return 0, errAway
	}
	return a.in.ReadAt(p, offset)
}

// TestUnpackFromElsewhere: an archive that is read in storage gives what a file gives, and what reading fails with is never the
// archive's fault, wherever it happens.
func TestUnpackFromElsewhere(t *testing.T) {
	body, err := os.ReadFile(archive(t, "b.jpg", "photo b", "a.jpg", "photo a"))
	if err != nil {
		t.Fatal(err)
	}
	for reads := range 100 {
		found, skipped, err := unpackFrom(t.Context(), &away{bytes.NewReader(body), reads}, int64(len(body)), t.TempDir(), Limits{})
		if err == nil {
			if got := contents(t, found); reads < 3 || len(skipped) > 0 || !slices.Equal(got, []string{"a.jpg", "photo a", "b.jpg", "photo b"}) {
				t.Errorf("after %d reads: %q, skipped %v", reads, got, skipped)
			}
			return
		}
		if !errors.Is(err, errAway) || fault.Of(err) != nil {
			t.Errorf("the storage goes away at read %d: %v", reads, err)
		}
	}
	t.Error("it takes a hundred reads")
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
		_, _, _ = unpack(t.Context(), path, filepath.Join(parent, "out"), Limits{MaxBytes: 1 << 16, MaxUnpacked: 1 << 18})
		for _, name := range files(t, parent) {
			if name != "in.zip" && !strings.HasPrefix(name, "out/") {
				t.Errorf("%s was written outside", name)
			}
		}
	})
}
