package trigger_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/serve/servetest"
)

// TestDocumentationRuns runs every command of docs/api.md, unchanged, against this API and the storage emulator. The
// stages are played meanwhile.
func TestDocumentationRuns(t *testing.T) {
	for _, program := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 7 {
		t.Fatalf("only %d blocks of commands in the page", len(blocks))
	}
	for _, b := range blocks {
		script.WriteString(b[1])
	}

	// The stages begin once somebody has seen the request waiting.
	var looked sync.Once
	w, server := newCloudWorld(t, func(w *world, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(rw, r)
			if r.URL.Path == "/status" && r.URL.RawQuery == "" {
				looked.Do(func() { go w.finish(w.published[0].RequestID) })
			}
		})
	})
	text := strings.Replace(script.String(), "API=https://api.example.com", "API="+server.URL, 1)
	if _, err := w.artifacts.Put(t.Context(), "my-captures", "archive/7.mp4", strings.NewReader("a video"), artifacts.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "https://example.com/hooks/splats", "https://client.example/hook", 1) // the address this test's check knows
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "capture.mp4"), bytes.Repeat([]byte("frame"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.jpg", "2.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("photo "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	got := strings.Fields(string(out))
	for _, want := range []string{"200", "COMPLETED", "splat.ply", "CANCELED", "unknown_request:"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
	if body, err := os.ReadFile(filepath.Join(dir, "splat.ply")); err != nil || string(body) != "content of splat" {
		t.Errorf("downloaded %q %v", body, err)
	}
	if o, err := w.artifacts.Stat(t.Context(), "inbox-filter", w.published[0].RequestID+"/input"); err != nil || o.Size != 500_000 || o.ContentType != "video/mp4" {
		t.Errorf("uploaded %+v %v", o, err)
	}
	several, source := w.published[1].RequestID, w.published[2].RequestID
	for id, want := range map[string][]string{several: {several + "/uploads/1.jpg", several + "/uploads/2.jpg"}, source: {"archive/7.mp4"}} {
		o, err := w.artifacts.Stat(t.Context(), "inbox-filter", artifacts.CaptureName(id))
		if err != nil {
			t.Fatal(err)
		}
		c, err := artifacts.ReadCapture(t.Context(), w.artifacts, o)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range c.Objects {
			names = append(names, o.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("captured %v, want %v", names, want)
		}
	}
	if len(w.published) != 4 {
		t.Errorf("published %v", w.published)
	}
}

// TestDocumentedCodesAreTheCodes compares the table of errors in docs/api.md with openapi.json.
func TestDocumentedCodesAreTheCodes(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Errors")
	table, _, _ = strings.Cut(table, "## For operators")
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]*) \|`).FindAllStringSubmatch(table, -1) {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
			documented[row[1]+" "+code[1]] = true
		}
	}
	known := map[string]bool{"404 no_such_path": true, "405 method_not_allowed": true} // of no operation
	for _, methods := range openapi(t)["paths"].(object) {
		for _, operation := range methods.(object) {
			for status, answer := range servetest.At(operation, "responses").(object) {
				codes, _ := servetest.At(answer, "content", "application/problem+json", "schema", "properties", "code", "enum").([]any)
				for _, code := range codes {
					known[status+" "+code.(string)] = true
				}
			}
		}
	}
	for code := range known {
		if !documented[code] {
			t.Errorf("%s is not documented", code)
		}
	}
	for code := range documented {
		if !known[code] {
			t.Errorf("%s is documented, but never answered", code)
		}
	}
}
