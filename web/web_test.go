package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func serve(t *testing.T, storage ...string) http.Handler {
	t.Helper()
	h, err := Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }), storage...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// TestBuiltFilesFollowFromTheirSources: dist/ was built from what is in this folder. `make web` builds it.
func TestBuiltFilesFollowFromTheirSources(t *testing.T) {
	inputs := []string{"index.html", "operate.html", "viewer.html", "package-lock.json", "tsconfig.json", "vite.config.ts"}
	for _, dir := range []string{"public", "src"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			inputs = append(inputs, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(inputs)
	sum := sha256.New()
	for _, name := range inputs {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		own := sha256.Sum256(body)
		_, _ = io.WriteString(sum, filepath.ToSlash(name)+"\n")
		_, _ = sum.Write(own[:])
	}
	built, err := dist.ReadFile("dist/inputs.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != strings.TrimSpace(string(built)) {
		t.Errorf("dist/ was built from other sources than these: make web")
	}
}

var loads = regexp.MustCompile(`(?:src|href)="\./([^"]+)"`)

// imports are what a script loads with itself, unlike what it imports later by import().
var imports = regexp.MustCompile("(?:from|import)[\"'`]\\./([^\"'`]+)[\"'`]")

// TestFirstLoadIsSmall: what a browser loads before anything is chosen, packed. The viewer is not among it.
func TestFirstLoadIsSmall(t *testing.T) {
	const most = 15_000
	h := serve(t)
	page := get(h, "GET", "/")
	paths := []string{"/"}
	for _, m := range loads.FindAllStringSubmatch(page.Body.String(), -1) {
		paths = append(paths, "/"+m[1])
	}
	if len(paths) < 4 {
		t.Fatalf("the page loads only %v", paths)
	}
	total := 0
	for i := 0; i < len(paths); i++ {
		p := paths[i]
		for _, m := range imports.FindAllStringSubmatch(get(h, "GET", p).Body.String(), -1) {
			if part := "/assets/" + m[1]; strings.HasSuffix(p, ".js") && !slices.Contains(paths, part) {
				paths = append(paths, part)
			}
		}
		rec := get(h, "GET", p, "Accept-Encoding", "gzip, br")
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %d %v", p, rec.Code, rec.Header())
		}
		total += rec.Body.Len()
	}
	t.Logf("%d bytes in %d files", total, len(paths))
	if !(total < most) {
		t.Errorf("the first load has %d bytes, want less than %d", total, most)
	}
}

func TestHeaders(t *testing.T) {
	h := serve(t, "https://storage.example")
	page := get(h, "GET", "/")
	csp := page.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self' https://storage.example ", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %q", csp, want)
		}
	}
	if framed := get(h, "GET", "/embed"); framed.Header().Get("Content-Security-Policy") != strings.Replace(csp, "frame-ancestors 'none'", "frame-ancestors *", 1) || framed.Body.String() != page.Body.String() {
		t.Errorf("the page for frames: %v", framed.Header())
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q allows what is unsafe", csp)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"} {
		if got := page.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(page.Body.String(), "<script>") || strings.Contains(page.Body.String(), "<style") || strings.Contains(page.Body.String(), "://") {
		t.Error("the page holds inline code, or loads from elsewhere")
	}
	script := loads.FindStringSubmatch(page.Body.String()[strings.Index(page.Body.String(), "<script"):])[1]
	asset := get(h, "HEAD", "/"+script)
	if asset.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || asset.Body.Len() > 0 || asset.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("asset: %v", asset.Header())
	}
	if again := get(h, "GET", "/", "If-None-Match", page.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("the page again: %d", again.Code)
	}
}

// TestOtherCallsPass: the API keeps its paths and its methods.
func TestOtherCallsPass(t *testing.T) {
	h := serve(t)
	for _, call := range [][2]string{{"GET", "/status"}, {"POST", "/"}, {"GET", "/index.html"}, {"GET", "/operate.html"}, {"GET", "/viewer.html"}, {"GET", "/inputs.sha256"}, {"GET", "/assets/"}, {"GET", "/../web.go"}, {"DELETE", "/icon.svg"}} {
		if rec := get(h, call[0], "http://localhost"+call[1]); rec.Code != http.StatusTeapot {
			t.Errorf("%s %s: %d", call[0], call[1], rec.Code)
		}
	}
}

// TestNothingComesFromElsewhere: no script or style that is shipped names a host to load from.
func TestNothingComesFromElsewhere(t *testing.T) {
	all, err := files()
	if err != nil {
		t.Fatal(err)
	}
	foreign := regexp.MustCompile(`(?:import\(|importScripts\(|fetch\(|url\(|@import )["'\x60]?https?://[^"'\x60)]+`)
	for name, f := range all {
		if found := foreign.Find(f.plain); found != nil {
			t.Errorf("%s: %.120q", name, found)
		}
	}
}
