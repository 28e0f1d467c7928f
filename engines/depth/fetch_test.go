package depth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/depth/dav2"
	"github.com/splatworks/splatworks/engines/fault"
)

// published is a model on a server, with a descriptor that names it.
func published(t *testing.T, serve func(w http.ResponseWriter, r *http.Request, body []byte)) (depth.Descriptor, []byte) {
	t.Helper()
	var file bytes.Buffer
	if err := dav2.Graph(dav2.Tiny(), dav2.Draw(dav2.Tiny(), 1)).Write(&file); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, file.Bytes()) }))
	t.Cleanup(server.Close)
	d := descriptor
	sum := sha256.Sum256(file.Bytes())
	d.URL, d.SHA256, d.Bytes = server.URL+"/model.onnx", hex.EncodeToString(sum[:]), int64(file.Len())
	return d, file.Bytes()
}

func whole(w http.ResponseWriter, r *http.Request, body []byte) {
	http.ServeContent(w, r, "model.onnx", time.Time{}, bytes.NewReader(body))
}

func TestFetch(t *testing.T) {
	requests := 0
	d, body := published(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		requests++
		whole(w, r, body)
	})
	folder := filepath.Join(t.TempDir(), "models")
	var last int64
	got, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{Progress: func(done, total int64) {
		if done < last || total != d.Bytes {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil || last != d.Bytes || got.SHA256 != d.SHA256 {
		t.Fatalf("%+v, %d bytes, %v", got, last, err)
	}
	if file, err := os.ReadFile(depth.ModelPath(folder, d)); err != nil || !bytes.Equal(file, body) {
		t.Errorf("another file, or %v", err)
	}
	if found, err := depth.FindModel(folder, d.Name); err != nil || found.URL != d.URL {
		t.Errorf("the descriptor lies not beside it: %+v, %v", found, err)
	}
	if _, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{}); err != nil || requests != 1 {
		t.Errorf("fetched again: %d requests, %v", requests, err)
	}
	left, _ := filepath.Glob(filepath.Join(folder, "*.part"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A connection that breaks is taken up where it broke: no byte is sent twice.
func TestFetchGoesOn(t *testing.T) {
	sent := 0
	d, body := published(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		whole(&breaking{ResponseWriter: w, left: len(body)/4 + 1, sent: &sent}, r, body)
	})
	folder := t.TempDir()
	if _, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{}); err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(depth.ModelPath(folder, d)); err != nil || !bytes.Equal(file, body) || sent != len(body) {
		t.Errorf("%d bytes sent for %d, %v", sent, len(body), err)
	}
	// So is one that an earlier run left, even when it is longer than it should be.
	for _, n := range []int{1000, len(body), len(body) + 5} {
		sent = 0
		path := depth.ModelPath(folder, d)
		if err := errors.Join(os.Remove(path), os.WriteFile(path+".part", append(bytes.Clone(body), "xxxxx"...)[:n], 0o644)); err != nil {
			t.Fatal(err)
		}
		_, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{})
		want := len(body) - n
		if n > len(body) {
			want = len(body)
		}
		if err != nil || sent != want {
			t.Errorf("after %d bytes %d came, want %d; %v", n, sent, want, err)
		}
	}
}

// breaking is a response that ends too early.
type breaking struct {
	http.ResponseWriter
	left int
	sent *int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		n, _ := b.ResponseWriter.Write(p[:b.left])
		*b.sent += n
		b.left = 0
		if f, ok := b.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	n, err := b.ResponseWriter.Write(p)
	*b.sent += n
	b.left -= n
	return n, err
}

// Whatever a server does, there is one clear failure and no file that could be taken for the model.
func TestFetchRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		serve  func(w http.ResponseWriter, r *http.Request, body []byte)
		change func(d *depth.Descriptor)
		code   string
		says   string
	}{
		"other bytes": {serve: func(w http.ResponseWriter, r *http.Request, body []byte) {
			other := bytes.Clone(body)
			other[len(other)/2] ^= 1
			whole(w, r, other)
		}, code: depth.ModelDamaged, says: "is not tiny"},
		"a web page": {serve: func(w http.ResponseWriter, _ *http.Request, _ []byte) { io.WriteString(w, "<html>Sign in</html>") },
			change: func(d *depth.Descriptor) { d.SHA256, d.Bytes = "", 0 }, code: depth.ModelDamaged, says: "is not tiny"},
		"no end":          {serve: func(w http.ResponseWriter, _ *http.Request, body []byte) { w.Write(body); w.Write(body) }, code: depth.ModelDamaged, says: "longer than tiny"},
		"gone":            {serve: func(w http.ResponseWriter, r *http.Request, _ []byte) { http.NotFound(w, r) }, code: depth.ModelUnreachable, says: "404 Not Found"},
		"no range at all": {serve: func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(416) }, code: depth.ModelUnreachable, says: "416"},
		"no server":       {change: func(d *depth.Descriptor) { d.URL = "http://127.0.0.1:1/model.onnx" }, code: depth.ModelUnreachable, says: "refused"},
		"no address":      {change: func(d *depth.Descriptor) { d.URL = "" }, code: depth.ModelMissing, says: "no address"},
		"a licence":       {serve: whole, change: func(d *depth.Descriptor) { d.NonCommercial, d.License = true, "CC-BY-NC-4.0" }, code: depth.ModelLicense, says: "CC-BY-NC-4.0"},
	} {
		t.Run(name, func(t *testing.T) {
			serve := c.serve
			if serve == nil {
				serve = func(http.ResponseWriter, *http.Request, []byte) { t.Error("asked the wrong server") }
			}
			d, _ := published(t, serve)
			if c.change != nil {
				c.change(&d)
			}
			folder := t.TempDir()
			_, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{})
			var f *fault.Failure
			if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Error(), c.says) || f.Advice == "" {
				t.Errorf("says %v", err)
			}
			if _, err := os.Stat(depth.ModelPath(folder, d)); err == nil {
				t.Error("the file is there")
			}
		})
	}
}

func TestFetchIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d, _ := published(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		w.Write(body[:1000])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	folder := t.TempDir()
	if _, err := depth.Fetch(ctx, folder, d, depth.FetchOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(depth.ModelPath(folder, d)); err == nil {
		t.Error("half a model is there")
	}
}

// Without a SHA-256 that of what came is kept, so that later damage shows.
func TestFetchLearnsTheHash(t *testing.T) {
	d, _ := published(t, whole)
	want := d.SHA256
	d.SHA256, d.Bytes = "", 0
	folder := t.TempDir()
	if got, err := depth.Fetch(t.Context(), folder, d, depth.FetchOptions{}); err != nil || got.SHA256 != want {
		t.Errorf("%+v, %v", got, err)
	}
	found, err := depth.FindModel(folder, d.Name)
	if err != nil || found.SHA256 != want {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestCatalogue(t *testing.T) {
	models, err := depth.Models(t.TempDir())
	if err != nil || len(models) < 5 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	for _, d := range models {
		if err := d.Check(); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if d.URL == "" || d.License == "" || d.Homepage == "" || d.Description == "" || d.NonCommercial != strings.Contains(d.License, "-NC-") {
			t.Errorf("%+v", d)
		}
	}
	small, err := depth.FindModel(t.TempDir(), depth.DefaultModel)
	if err != nil || small.NonCommercial || small.License != "Apache-2.0" || small.SHA256 == "" || small.Bytes == 0 {
		t.Errorf("the default is %+v, %v", small, err)
	}
	if _, err := depth.FindModel(t.TempDir(), "../"+depth.DefaultModel); err == nil {
		t.Error("a path is a name")
	}
	folder := t.TempDir()
	for name, body := range map[string]string{"broken": "{", "other": `{"name": "x"}`, "evil": `{"name": "evil", "file": "../../etc/passwd", "output": "depth", "input_multiple": 14, "short_side": 518,
		"std": [1, 1, 1], "input_name": "a", "output_name": "b"}`} {
		if err := os.WriteFile(filepath.Join(folder, name+".json"), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := depth.FindModel(folder, name); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if again, err := depth.Models(folder); err == nil || len(again) != len(models) {
		t.Errorf("%d models, %v", len(again), err)
	}
}
