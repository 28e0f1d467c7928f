package gcs

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchServer serves with fsync, as on a laptop.
func benchServer(b *testing.B) *httptest.Server {
	b.Helper()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Bucket(b.Context(), "bucket", nil); err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(s)
	b.Cleanup(server.Close)
	return server
}

func send(b *testing.B, method, url, body string, headers ...string) *http.Response {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode >= 400 {
		b.Fatal(resp.Status, err)
	}
	return resp
}

// BenchmarkUpload sends 64 MB in chunks of 16 MB; the baseline is the least that any store must do: sum and write the
// bytes, and flush the file.
func BenchmarkUpload(b *testing.B) {
	const chunks, size = 4, 16 << 20
	block := randomText(size, 1)
	b.Run("baseline", func(b *testing.B) {
		dir := b.TempDir()
		b.SetBytes(chunks * size)
		for i := range b.N {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				b.Fatal(err)
			}
			w := io.MultiWriter(f, newSums())
			for range chunks {
				if _, err := io.WriteString(w, block); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resumable", func(b *testing.B) {
		server := benchServer(b)
		b.SetBytes(chunks * size)
		for i := range b.N {
			u := send(b, "POST", fmt.Sprintf("%s/upload/storage/v1/b/bucket/o?uploadType=resumable&name=%d", server.URL, i), "").Header.Get("Location")
			for c := range chunks {
				send(b, "PUT", u, block, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", c*size, (c+1)*size-1, chunks*size))
			}
		}
	})
}

// BenchmarkSmallPut writes objects of 2 KB, the size of a manifest; the baseline writes and flushes a file.
func BenchmarkSmallPut(b *testing.B) {
	body := randomText(2048, 1)
	b.Run("baseline", func(b *testing.B) {
		dir := b.TempDir()
		for i := range b.N {
			if err := (disk{sync: true}).writeFile(dir, filepath.Join(dir, fmt.Sprint("n", i)), []byte(body)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("put", func(b *testing.B) {
		server := benchServer(b)
		for i := range b.N {
			send(b, "POST", fmt.Sprintf("%s/upload/storage/v1/b/bucket/o?uploadType=media&name=%d", server.URL, i), body)
		}
	})
}

// BenchmarkOpen starts on a folder with a thousand objects.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(dir, Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Bucket(b.Context(), "bucket", nil); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if _, err := s.write(draft{Bucket: "bucket", Name: fmt.Sprint(i)}, strings.NewReader("x"), contentLengthRange{}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Open(dir, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
