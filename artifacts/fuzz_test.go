package artifacts_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/artifacts/memory"
)

// FuzzManifest: whatever lies where a manifest should is read as one that is whole, or refused.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{`{"version":1,"request":{"request_id":"06gztda6gn2bxw0r414dfn5d58"},"stage":"filter","fence":"1","history":[{"stage":"filter"}]}`,
		`{"version":2}`, `{"version":1,"stage":"none"}`, `{"version":1,"stage":"filter","history":null}`, `null`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	store := memory.New()
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := store.Put(t.Context(), "inbox", "m", bytes.NewReader(body), artifacts.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := artifacts.ReadManifest(t.Context(), store, o)
		if (m == nil) == (err == nil) {
			t.Fatal(m, err)
		}
		if err == nil {
			m.Results()
			if _, err := artifacts.NewReport(m.Request, m.History); err == nil && len(m.Known()) != len(m.Inputs)+len(m.Outputs) {
				t.Fatal("artifacts got lost")
			}
		}
	})
}

// FuzzUnpackBundle: no tar writes outside of its folder.
func FuzzUnpackBundle(f *testing.F) {
	for _, name := range []string{"a", "a/b", "../a", "/a", "a/../../b", "."} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Name: name, Size: 1, Mode: 0o600})
		_, _ = w.Write([]byte("x"))
		_ = w.WriteHeader(&tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."})
		_ = w.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 64<<10 {
			t.Skip("large sparse files only cost time")
		}
		outer := t.TempDir()
		inner := filepath.Join(outer, "inner")
		if err := os.Mkdir(inner, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = artifacts.Unpack(bytes.NewReader(body), inner) // refused or not
		entries, err := os.ReadDir(outer)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v beside the folder, %v", entries, err)
		}
	})
}
