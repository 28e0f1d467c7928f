package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/client/api"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/infra/local/loopback"
)

// TestViewServesAResultAndNothingElse: the page, the list and the files that it names; no other file, and no stranger's name.
func TestViewServesAResultAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"splat.ply": "ply", "report.json": "{}", "secret.txt": "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := toView(console{out: &bytes.Buffer{}, err: &bytes.Buffer{}}, dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h, err := v.handler(loopback.Listening("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(host, path string) (int, string) {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	if code, body := get("127.0.0.1", "/"); code != 200 || !strings.Contains(body, "<div id=\"app\">") {
		t.Errorf("page: %d %q", code, body)
	}
	var doc struct{ Results []api.Result }
	_, list := get("127.0.0.1", "/view.json")
	if err := json.Unmarshal([]byte(list), &doc); err != nil || len(doc.Results) != 2 {
		t.Fatalf("%s: %v", list, err)
	}
	for _, r := range doc.Results {
		if code, body := get("127.0.0.1", strings.TrimPrefix(r.URL, ".")); code != 200 || int64(len(body)) != r.Size {
			t.Errorf("%s: %d %q", r.URL, code, body)
		}
	}
	for _, path := range []string{"/secret.txt", "/files/secret.txt", "/files/", "/files/%2e%2e/secret.txt"} {
		if code, body := get("127.0.0.1", path); code == 200 || strings.Contains(body, "secret\n") {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _ := get("evil.example", "/view.json"); code != 403 {
		t.Errorf("called by another name: %d", code)
	}
}

// TestViewConvertsWhatBrowsersDoNotRead, and says which folders hold nothing.
func TestViewConvertsWhatBrowsersDoNotRead(t *testing.T) {
	dir := t.TempDir()
	c := console{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	var usage usageError
	if _, err := toView(c, dir, t.TempDir()); !errors.As(err, &usage) || !strings.Contains(err.Error(), "no splat") {
		t.Errorf("an empty folder: %v", err)
	}
	var packed bytes.Buffer
	one := splat.New(1, 0, splat.Classic)
	one.Quats[0] = 1
	if err := one.WriteSPZ(&packed); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "room.spz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := toView(c, path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(v.list) != 1 || v.title != "room.spz" {
		t.Fatalf("%+v", v)
	}
	if cloud, _, err := splat.ReadFile(v.list[0].path); err != nil || cloud.Len() != 1 {
		t.Errorf("converted: %v", err)
	}
}
