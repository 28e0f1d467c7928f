package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/client"
)

// What comes packed becomes a folder; the scene comes only when it is wanted.
func TestResultsBecomeFilesAndFolders(t *testing.T) {
	packed := t.TempDir()
	if err := os.WriteFile(filepath.Join(packed, "inside"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	var tar bytes.Buffer
	if err := artifacts.Pack(&tar, packed); err != nil {
		t.Fatal(err)
	}
	files := http.NewServeMux()
	files.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("splat")) })
	files.HandleFunc("/packed", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(tar.Bytes()) })
	server := httptest.NewServer(files)
	defer server.Close()
	done := &client.Status{}
	if fetchResults(t.Context(), &client.Client{}, done, t.TempDir(), false) == nil {
		t.Error("no results, and no error")
	}
	for kind, path := range map[artifacts.Kind]string{artifacts.Splat: "/plain", artifacts.SparseModel: "/packed", artifacts.Scene: "/packed"} {
		size := int64(len("splat"))
		if path == "/packed" {
			size = int64(tar.Len())
		}
		done.Results = append(done.Results, client.Result{Kind: string(kind), FileName: kind.FileName(), Size: size, URL: server.URL + path})
	}
	for wanted, want := range map[bool][]string{false: {"sparse/inside", "splat.ply"}, true: {"scene/inside", "sparse/inside", "splat.ply"}} {
		dir := t.TempDir()
		if err := fetchResults(t.Context(), &client.Client{}, done, dir, wanted); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, pattern := range []string{"*", "*/*"} {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
					relative, _ := filepath.Rel(dir, name)
					got = append(got, relative)
				}
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("scene %v: %v, want %v", wanted, got, want)
		}
	}
}
