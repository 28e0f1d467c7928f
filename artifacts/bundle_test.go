package artifacts_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
)

func TestPackUnpack(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	files := map[string]string{"images/a.jpg": "pixels", "images/b.jpg": "", "sparse/cameras.bin": "\x00\x01"}
	for name, body := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := artifacts.Pack(b, from); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("packing the same folder twice gave different bytes")
	}
	if err := artifacts.Unpack(&first, to); err != nil {
		t.Fatal(err)
	}
	for name, body := range files {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(got) != body {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, body)
		}
	}
}

// The checksum is at the end of a stream, behind the end of the tar, and a damaged bundle must not be worked with.
func TestUnpackReadsToTheEnd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.bin"), bytes.Repeat([]byte("hello "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	var tarred bytes.Buffer
	if err := artifacts.Pack(&tarred, dir); err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	o, err := store.Put(t.Context(), "b", "n.tar", bytes.NewReader(tarred.Bytes()), artifacts.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content, header := bytes.Clone(tarred.Bytes()), bytes.Clone(tarred.Bytes())
	copy(content[30_000:], "XXXX") // in the file's bytes
	copy(header[1:], "XXXX")       // in its name
	for name, c := range map[string]struct {
		body []byte
		want error
	}{"sound": {tarred.Bytes(), nil}, "content": {content, artifacts.ErrDamaged}, "header": {header, artifacts.ErrDamaged}, "cut": {content[:20_000], artifacts.ErrDamaged}} {
		store.Spoil(o, c.body, "")
		r, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := artifacts.Unpack(r, t.TempDir()); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A sparse file is more bytes on disk than in the tar.
func TestUnpackRefusesSparseFiles(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	const sparse = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n31 GNU.sparse.realsize=1048576\n26 GNU.sparse.name=larger\n"
	key := strings.Repeat("k", len(sparse)-len("101 =v\n")) // a record of the same length
	record := fmt.Sprintf("%d %s=v\n", len(sparse), key)
	body := "1\n0\n1\n" + strings.Repeat("\x00", 512-6) + "x" // its map: one byte at 0
	if err := w.WriteHeader(&tar.Header{Name: "a", Size: int64(len(body)), Mode: 0o600, Format: tar.FormatPAX,
		PAXRecords: map[string]string{key: "v"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The writer refuses to make such records, so one that it does make becomes theirs.
	i := bytes.Index(b.Bytes(), []byte(record))
	if i < 0 {
		t.Fatal("no record")
	}
	copy(b.Bytes()[i:], sparse)
	dir := t.TempDir()
	if err := artifacts.Unpack(&b, dir); err == nil || !strings.Contains(err.Error(), "neither file nor folder") {
		t.Errorf("a sparse file was unpacked: %v", err)
	}
}

func TestUnpackRefusesWhatLeavesTheFolder(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../evil", Typeflag: tar.TypeReg},
		{Name: "a/../../evil", Typeflag: tar.TypeReg},
		{Name: "/evil", Typeflag: tar.TypeReg},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "pipe", Typeflag: tar.TypeFifo},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		dir := filepath.Join(parent, "inside")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := artifacts.Unpack(&b, dir); err == nil {
			t.Errorf("%q was unpacked", h.Name)
		}
		if _, err := os.Lstat(filepath.Join(parent, "evil")); err == nil {
			t.Errorf("%q was written outside", h.Name)
		}
	}
}
