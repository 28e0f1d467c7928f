// Package web is the page for people: it creates a capture, watches it and shows what came out. The page is built from src/ by
// Vite (make web) and its built files are embedded, so that building Go needs no Node. It talks to the request API on its own
// origin and holds no state on the server.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed dist
var dist embed.FS

// file is one built file. Names of those in assets/ hold a hash of their content.
type file struct {
	contentType, tag string
	plain            []byte
	packed           func() []byte // by gzip, once; nil where that is no shorter
}

// files by their paths below the root of the page.
var files = sync.OnceValues(func() (map[string]file, error) {
	all := map[string]file{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		all[strings.TrimPrefix(name, "dist")] = file{contentType: typeOf(name), tag: `"` + hex.EncodeToString(sum[:12]) + `"`, plain: body,
			packed: sync.OnceValue(func() []byte {
				if packed := pack(body); len(packed) < len(body) {
					return packed
				}
				return nil
			})}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the built page: %w", err)
	}
	index, ok := all["/index.html"]
	if !ok {
		return nil, fmt.Errorf("the built page has no index.html: make web")
	}
	all["/"], all[embedded] = index, index
	delete(all, "/index.html")
	delete(all, "/inputs.sha256")
	return all, nil
})

// typeOf depends on no table of the machine.
func typeOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one of gzip's
	_, _ = z.Write(body)                                  // to memory
	_ = z.Close()
	return b.Bytes()
}

// Wrap serves the page's own files, GET and HEAD, and leaves every other call to next. storage are the origins besides the page's
// own that links of the request API lead to ("https://storage.googleapis.com"): the page may reach no others.
func Wrap(next http.Handler, storage ...string) (http.Handler, error) {
	all, err := files()
	if err != nil {
		return nil, err
	}
	policy, framed := policy(storage, "'none'"), policy(storage, "*")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := all[r.URL.Path]
		if !ok || r.URL.Path == operators || r.URL.Path == standalone || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if r.URL.Path == embedded {
			f.serve(w, r, framed)
			return
		}
		f.serve(w, r, policy)
	}), nil
}

const (
	// operators is the page for operators among the built files. It is served to nobody but them.
	operators = "/operate.html"
	// standalone is the page around which Standalone writes a file. It is served to nobody.
	standalone = "/viewer.html"
)

// Operators serves the operators' page at the root, its files, and leaves every other call to next. It may reach its own origin alone, and
// none of it may be framed.
func Operators(next http.Handler) (http.Handler, error) {
	all, err := files()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := all[r.URL.Path]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead || !ok && r.URL.Path != "/":
			next.ServeHTTP(w, r)
			return
		case r.URL.Path == "/":
			f = all[operators]
		case r.URL.Path == operators || r.URL.Path == standalone || r.URL.Path == embedded:
			next.ServeHTTP(w, r)
			return
		}
		f.serve(w, r, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'")
	}), nil
}

// embedded is where pages of others may frame the page; everywhere else it would be a way to have people click what they do not see.
const embedded = "/embed"

// policy lets the page run its own scripts and styles and nothing else, inline ones included. The viewer sorts in workers that it
// makes from blobs, and reads pictures out of archives by blobs.
func policy(storage []string, framedBy string) string {
	own := strings.Join(append([]string{"'self'"}, storage...), " ")
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "worker-src 'self' blob:",
		"connect-src " + own + " blob: data:", "img-src " + own + " blob: data:", "media-src " + own + " blob:",
		"form-action 'self'", "base-uri 'none'", "frame-ancestors " + framedBy,
	}, "; ")
}

func (f file) serve(w http.ResponseWriter, r *http.Request, policy string) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(r.URL.Path, "/assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := f.plain, f.tag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		if packed := f.packed(); packed != nil {
			body, tag = packed, strings.TrimSuffix(f.tag, `"`)+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client has gone
	}
}
