package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/cmd/splatworks/laptop"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
)

const tracedID = "06ebef9p01necy1z9yyyj6veq0"

// deployed answers as a deployment behind IAM does.
func deployed(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Authorization") != "Bearer good":
		http.Error(w, "no", http.StatusForbidden)
	case r.URL.Path == "/trace/"+tracedID:
		serve.WriteJSON(w, http.StatusOK, story.Story{RequestID: tracedID, Status: pipeline.Queued, Now: "It waits for its upload."})
	case r.URL.Path == "/usage":
		row := map[string]any{"caller": "key:app", "requests": 3, "completed": 2, "failed": 1, "canceled": 0, "work_s": 7200, "cost_usd": 0.25}
		if r.FormValue("by") == "request" {
			row["request_id"], row["session_id"], row["status"], row["created_at"] = tracedID, "a, \"b\"", "FAILED", r.FormValue("from")+"T00:00:00Z"
		}
		serve.WriteJSON(w, http.StatusOK, map[string]any{"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "rows": []any{row}})
	case r.URL.Path == "/purge":
		body, _ := io.ReadAll(r.Body)
		serve.WriteJSON(w, http.StatusOK, map[string]any{"requests": 2, "objects": 30, "bytes": len(body), "active": strings.Count(string(body), "key:busy"), "waiting": strings.Count(string(body), "key:late"), "dry_run": strings.Contains(string(body), `"dry_run":true`)})
	default:
		serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_request", Detail: "No such request.", Advice: "Check the id."})
	}
}

func TestTraceAsksTheOperatorsAPI(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(deployed))
	defer server.Close()
	data, err := os.MkdirTemp("", "trace-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(data)
	listener, err := net.Listen("unix", filepath.Join(data, laptop.OperatorsSocket))
	if err != nil {
		t.Fatal(err)
	}
	local := httptest.NewUnstartedServer(http.HandlerFunc(deployed))
	local.Listener.Close()
	local.Listener = listener
	local.Start()
	defer local.Close()

	for _, where := range []string{server.URL, server.URL + "/", data, filepath.Join(data, laptop.OperatorsSocket)} {
		var out bytes.Buffer
		cmd := traceCommand{Request: tracedID, Operators: operatorsAPI{where, "good"}}
		if err := cmd.Run(context.Background(), console{out: &out, err: &out}); err != nil || !strings.Contains(out.String(), "It waits for its upload.") {
			t.Errorf("%s: %v\n%s", where, err, out.String())
		}
		out.Reset()
		cmd.JSON = true
		if err := cmd.Run(context.Background(), console{out: &out, err: &out}); err != nil || !strings.Contains(out.String(), `"now": "It waits for its upload."`) {
			t.Errorf("%s: %v\n%s", where, err, out.String())
		}
	}
	for _, c := range []struct {
		cmd  traceCommand
		says string
	}{
		{traceCommand{Request: "00000000000000000000000000", Operators: operatorsAPI{server.URL, "good"}}, "No such request. Check the id. (unknown_request)"},
		{traceCommand{Request: tracedID, Operators: operatorsAPI{Operators: server.URL}}, "SPLATWORKS_IDENTITY_TOKEN"},
		{traceCommand{Request: tracedID, Operators: operatorsAPI{Operators: filepath.Join(data, "nothing")}}, "--operators"},
		{traceCommand{Request: "no-id"}, "neither the id of a request nor a folder"},
		{traceCommand{Request: t.TempDir()}, "holds no run"},
	} {
		if err := c.cmd.Run(context.Background(), console{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, not %q", c.cmd, err, c.says)
		}
	}
}

// TestErase: what was deleted is said, and what is left is an error.
func TestErase(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(deployed))
	defer server.Close()
	t.Setenv("SPLATWORKS_OPERATORS", server.URL)
	t.Setenv("SPLATWORKS_IDENTITY_TOKEN", "good")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--request", tracedID}, exitOK, "erased 2 requests: 30 objects"},
		{[]string{"--caller", "key:app", "--dry-run"}, exitOK, "would erase 2 requests"},
		{[]string{"--caller", "key:app", "--json"}, exitOK, `"objects": 30`},
		{[]string{"--caller", "key:busy"}, exitFailed, "add --cancel"},
		{[]string{"--caller", "key:late"}, exitFailed, "two minutes"},
		{nil, exitBadUsage, "--request or --caller"},
		{[]string{"--caller", "x", "--request", tracedID}, exitBadUsage, "can't be used together"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), console{out: &out, err: &out, args: append([]string{"erase"}, c.args...)}); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: %d\n%s", c.args, code, out.String())
		}
	}
}

// TestUsage is a table, CSV or JSON, by caller or by request.
func TestUsage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(deployed))
	defer server.Close()
	t.Setenv("SPLATWORKS_OPERATORS", server.URL)
	t.Setenv("SPLATWORKS_IDENTITY_TOKEN", "good")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitOK, "key:app         3          2       1         0           2.00  0.250"},
		{[]string{"--csv"}, exitOK, "caller,requests,completed,failed,canceled,work_s,cost_usd\nkey:app,3,2,1,0,7200.000,0.250000\n"},
		{[]string{"--csv", "--by=request", "--from=2026-03-02"}, exitOK, "key:app," + tracedID + ",\"a, \"\"b\"\"\",FAILED,2026-03-02T00:00:00Z,7200.000,0.250000\n"},
		{[]string{"--json"}, exitOK, `"completed": 2`},
		{[]string{"--json", "--csv"}, exitBadUsage, "can't be used together"},
		{[]string{"--by=x"}, exitBadUsage, "must be one of"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), console{out: &out, err: &out, args: append([]string{"usage"}, c.args...)}); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: %d\n%s", c.args, code, out.String())
		}
	}
}

// TestTraceOfARun reads what a run that ended has left.
func TestTraceOfARun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, traceFile), []byte(`{"request_id":"`+tracedID+`","status":"FAILED","now":"It failed in filter with too_dark."}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (traceCommand{Request: dir}).Run(t.Context(), console{out: &out}); err != nil || !strings.Contains(out.String(), "too_dark") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := os.WriteFile(filepath.Join(dir, traceFile), []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	var usage usageError
	if err := (traceCommand{Request: dir}).Run(t.Context(), console{out: &out}); err == nil || errors.As(err, &usage) {
		t.Error(err)
	}
}
