package storetest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

func missingIsErrNotFound(t *testing.T, f fixture) {
	missing := pipeline.Object{Bucket: f.bucket, Name: "no/such object"}
	f.absent(t, missing.Name)
	if r, err := f.Open(t.Context(), missing); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("open: %v, %v; want ErrNotFound", r, err)
	}
	if err := f.Delete(t.Context(), missing); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("delete: %v; want ErrNotFound", err)
	}
}

func openReadsTheGenerationNamed(t *testing.T, f fixture) {
	first := f.put(t, "n", "first")
	if got := f.read(t, first); got != "first" {
		t.Errorf("generation %d reads %q", first.Generation, got)
	}
	second := f.put(t, "n", "second")
	if r, err := f.Open(t.Context(), first); !errors.Is(err, artifacts.ErrNotFound) {
		t.Errorf("open of a generation that was replaced: %v, %v; want ErrNotFound", r, err)
	}
	if got := f.read(t, second); got != "second" {
		t.Errorf("generation %d reads %q", second.Generation, got)
	}
	if got := f.read(t, pipeline.Object{Bucket: f.bucket, Name: "n"}); got != "second" {
		t.Errorf("the newest generation reads %q", got)
	}
}

func overwriteWhileReading(t *testing.T, f fixture) {
	old, replacement := random(Large), strings.Repeat("x", Large)
	r, err := f.Open(t.Context(), f.put(t, "n", old))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	f.put(t, "n", replacement)
	rest, err := io.ReadAll(r)
	if err == nil && string(head)+string(rest) != old {
		t.Error("a reader mixed two generations without an error")
	}
}

func closeBeforeTheEnd(t *testing.T, f fixture) {
	o := f.put(t, "n", random(Large))
	r, err := f.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close after ten bytes: %v", err)
	}
}

// readAt: a store that can read from the middle returns what is there, of the generation named, in any order.
func readAt(t *testing.T, f fixture) {
	store, ok := f.Store.(artifacts.Ranger)
	if !ok {
		t.Skip("this store reads from the beginning only")
	}
	body := random(Large)
	o := f.put(t, "n", body)
	r := artifacts.NewReaderAt(t.Context(), store, o)
	defer r.Close()
	for _, c := range []struct{ at, n int }{{Large - 22, 22}, {0, 10}, {10, 4096}, {5000, 1}, {4000, 20}, {Large - 1, 1}, {0, Large}, {Large / 2, 100}} {
		p := make([]byte, c.n)
		if n, err := r.ReadAt(p, int64(c.at)); n != c.n || err != nil || string(p) != body[c.at:c.at+c.n] {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.at, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 10), Large-4); n != 4 || !errors.Is(err, io.EOF) {
		t.Errorf("across the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 10), Large); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 0 || err == nil {
		t.Errorf("after Close: %d, %v", n, err)
	}
	f.put(t, "n", random(Large))
	for name, gone := range map[string]pipeline.Object{"missing": {Bucket: f.bucket, Name: "missing", Size: 10}, "overwritten": o} {
		if _, err := artifacts.NewReaderAt(t.Context(), store, gone).ReadAt(make([]byte, 1), 0); !errors.Is(err, artifacts.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	encoded := f.put(t, "encoded", body)
	f.spoil(t, encoded, []byte(body), "gzip")
	if _, err := artifacts.NewReaderAt(t.Context(), store, encoded).ReadAt(make([]byte, 1), 0); !errors.Is(err, artifacts.ErrEncoded) {
		t.Errorf("encoded: %v", err)
	}
}

func damageIsNoticedAtTheEnd(t *testing.T, f fixture) {
	body := random(Large)
	flipped := []byte(body)
	flipped[len(flipped)/2] ^= 1
	for name, spoiled := range map[string][]byte{"flipped": flipped, "longer": []byte(body + body), "shorter": []byte(body[:Large/2])} {
		o := f.put(t, name, body)
		f.spoil(t, o, spoiled, "")
		r, err := f.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, artifacts.ErrDamaged) || n > o.Size {
			t.Errorf("%s: read %d of %d bytes, %v; want ErrDamaged and not a byte more", name, n, o.Size, err)
		}
		_ = r.Close() // it may say so once more
	}
}

// A client may declare that the bytes are compressed. A reader that unpacked them would write a thousand times what was allowed.
func encodedObjectsAreRefused(t *testing.T, f fixture) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"gzip", "br"} {
		o := f.put(t, "encoded", packed.String())
		f.spoil(t, o, packed.Bytes(), encoding)
		if r, err := f.Open(t.Context(), o); !errors.Is(err, artifacts.ErrEncoded) {
			t.Errorf("open of an object with encoding %s: %v, %v; want ErrEncoded", encoding, r, err)
		}
	}
	// The same bytes without the claim are a file like any other, and read as they are.
	if o := f.put(t, "plain.gz", packed.String()); f.read(t, o) != packed.String() {
		t.Error("a compressed file was unpacked")
	}
}
