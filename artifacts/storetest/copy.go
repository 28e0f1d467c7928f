package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
)

// copyKeepsBytes: a copy is an object of its own, which stays when its source is overwritten and deleted.
func copyKeepsBytes(t *testing.T, f fixture) {
	body := random(Large)
	from := f.put(t, "from", body)
	to, err := f.Copy(t.Context(), from, f.bucket, "to/here")
	want := from
	want.Name, want.Generation = "to/here", to.Generation
	if err != nil || to != want || to.Generation <= 0 {
		t.Fatalf("copied %v as %v, %v", from, to, err)
	}
	newest, err := f.Copy(t.Context(), pipeline.Object{Bucket: f.bucket, Name: "to/here"}, f.bucket, "newest")
	if err != nil || newest.Size != from.Size || newest.CRC32C != from.CRC32C {
		t.Fatalf("copied the newest of %v as %v, %v", to, newest, err)
	}
	if err := f.Delete(t.Context(), f.put(t, "from", "other")); err != nil {
		t.Fatal(err)
	}
	if stat, err := f.Stat(t.Context(), f.bucket, "to/here"); err != nil || stat != to {
		t.Errorf("stat %v, %v; want %v", stat, err, to)
	}
	if f.read(t, to) != body || f.read(t, newest) != body {
		t.Error("a copy has other bytes")
	}
	if names := f.names(t, ""); !slices.Equal(names, []string{"newest", "to/here"}) {
		t.Errorf("%q", names)
	}
}

// copyIsRepeated: a second copy finds the first one, and never replaces another object.
func copyIsRepeated(t *testing.T, f fixture) {
	from, other := f.put(t, "from", "bytes"), f.put(t, "other", "BYTES")
	first, err := f.Copy(t.Context(), from, f.bucket, "to")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.Copy(t.Context(), from, f.bucket, "to"); err != nil || again != first {
		t.Errorf("%v, %v; want %v", again, err, first)
	}
	if o, err := f.Copy(t.Context(), other, f.bucket, "to"); !errors.Is(err, artifacts.ErrExists) {
		t.Errorf("%v, %v; want ErrExists", o, err)
	}
	if body := f.read(t, first); body != "bytes" {
		t.Errorf("%q", body)
	}
}

func copyOfAGenerationThatIsGone(t *testing.T, f fixture) {
	old := f.put(t, "from", "old")
	f.put(t, "from", "new")
	for _, from := range []pipeline.Object{old, {Bucket: f.bucket, Name: "unknown"}} {
		if o, err := f.Copy(t.Context(), from, f.bucket, "to"); !errors.Is(err, artifacts.ErrNotFound) {
			t.Errorf("copy %v: %v, %v; want ErrNotFound", from, o, err)
		}
	}
	f.absent(t, "to")
}
