package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/client"
)

// TestEstimate: a folder and a zip of photos are counted and not sent, flags take their place, and the answer is a table or JSON.
func TestEstimate(t *testing.T) {
	var asked client.EstimateAsked
	answer := client.Estimate{Images: client.Interval{Likely: 4}, Seconds: client.Interval{Low: 60, Likely: 90, High: 200}, CostUSD: &client.Interval{Low: 0.01, Likely: 0.02, High: 0.05}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = client.EstimateAsked{}
		if r.URL.Path != "/estimate" || json.Unmarshal(body, &asked) != nil || r.Header.Get("X-Api-Key") != "secret" || len(body) > 1000 {
			w.WriteHeader(http.StatusTeapot)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	t.Setenv("SPLATWORKS_SERVER", server.URL)
	t.Setenv("SPLATWORKS_API_KEY", "secret")
	dir := t.TempDir()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 200, 150))); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for _, name := range []string{"a.png", "in/b.png", "c.png", "d.png", "__MACOSX/a.png", "in/.hidden"} {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(picture.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	folder, archive := filepath.Join(dir, "photos"), filepath.Join(dir, "photos.zip")
	for name, content := range map[string][]byte{archive: packed.Bytes(), folder + "/1.png": picture.Bytes(), folder + "/2.png": picture.Bytes(), folder + "/3.png": picture.Bytes(), folder + "/notes.txt": []byte("no photo")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	call := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), console{out: &out, err: &errs, args: append([]string{"estimate"}, args...)}); code != want {
			t.Fatalf("%v: exit %d\n%s", args, code, errs.String())
		}
		return out.String() + errs.String()
	}
	for _, c := range []struct {
		arg    []string
		images int
		videoS float64
	}{{[]string{folder}, 3, 0}, {[]string{archive}, 4, 0}, {[]string{"--images=7"}, 7, 0}, {[]string{"--video=90s", "--preset=high"}, 0, 90}} {
		if out := call(exitOK, c.arg...); asked.Images != c.images || asked.VideoS != c.videoS || !strings.Contains(out, "(60 to 200)") || !strings.Contains(out, "0.020 USD") || !strings.Contains(out, "rules of thumb") {
			t.Errorf("%v asked %+v and printed\n%s", c.arg, asked, out)
		}
	}
	if asked.Options.Preset != "high" {
		t.Errorf("%+v", asked.Options)
	}
	var printed client.Estimate
	if err := json.Unmarshal([]byte(call(exitOK, "--images=7", "--json")), &printed); err != nil || printed.Seconds != answer.Seconds {
		t.Errorf("%+v %v", printed, err)
	}
	for _, args := range [][]string{{}, {folder, "--images=3"}, {filepath.Join(dir, "none")}} {
		call(exitBadUsage, args...)
	}
}
