package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestConfigDiff: against deployments of all kinds.
func TestConfigDiff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "splatworks.yaml")
	if err := os.WriteFile(path, []byte("stages: {filter: {slots: 3}}\nprices: {vcpu_s: 0.00002}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func(patience time.Duration) { diffPatience = patience }(diffPatience)
	diffPatience = 20 * time.Second
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"same":     {said(`{"declared":{"stages":{"filter":{"slots":3}},"prices":{"vcpu_s":2e-5}}}`), "nothing would change"},
		"changed":  {said(`{"declared":{"stages":{"filter":{"slots":4}},"prices":{"vcpu_s":1e-5},"presets":{"high":{"max_images":9}}}}`), "0.00001"},
		"hostile":  {said(`{"declared":{"stages":{"filter":{"slots":"\u001b[31m4"}},"prices":{}}}`), "[31m4"},
		"laptop":   {said(`{"declared":{"stages":{"filter":{"slots":3}}}}`), "nothing would change"},
		"unaware":  {said(`{"declared":{}}`), "does not know what it was made from"},
		"older":    {http.NotFound, "deploy this version once"},
		"no JSON":  {said(`<html>`), "not that of an operators' API"},
		"refusing": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "SPLATWORKS_IDENTITY_TOKEN"},
		"hanging": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, "did not answer within 50ms"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "hanging" {
				diffPatience = 50 * time.Millisecond
			} else {
				diffPatience = 20 * time.Second
			}
			server := httptest.NewServer(c.answer)
			defer server.Close()
			var out bytes.Buffer
			err := configDiffCommand{configFile: configFile{path}, Operators: operatorsAPI{Operators: server.URL}}.Run(context.Background(), console{out: &out, err: &out})
			if text := out.String() + fmt.Sprint(err); !strings.Contains(text, c.want) || strings.Contains(text, "\x1b") {
				t.Errorf("%s", text)
			}
		})
	}
}

func said(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

// TestDocumentedConfigCommands runs what docs/operations.md shows, but for what needs a backend.
func TestDocumentedConfigCommands(t *testing.T) {
	example, err := os.ReadFile("../../splatworks.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	call := func(args ...string) (code int, text string) {
		var out bytes.Buffer
		code = run(context.Background(), console{out: &out, err: &out, args: args})
		return code, out.String()
	}
	if code, text := call("config", "check"); code != exitBadUsage || !strings.Contains(text, "splatworks.example.yaml in the project's folder is a beginning") {
		t.Errorf("without a file: %d %s", code, text)
	}
	if err := os.WriteFile("splatworks.yaml", example, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, text := call("config", "check"); code != exitOK || text != "splatworks.yaml is right\n" {
		t.Errorf("%d %s", code, text)
	}
	if code, text := call("config", "schema"); code != exitOK || !strings.Contains(text, `"retention_days"`) {
		t.Errorf("%d %s", code, text)
	}
	if err := os.WriteFile("splatworks.yaml", []byte("stages:\n  filter: {slotz: 4}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check"}, {"config", "diff"}, {"up", "--data", "d", "--config", "splatworks.yaml"}} {
		if code, text := call(args...); code != exitBadUsage || !strings.Contains(text, "splatworks.yaml:2: stages.filter.slotz: there is no such field") {
			t.Errorf("%v: %d %s", args, code, text)
		}
	}
}
