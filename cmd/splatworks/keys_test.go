package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/internal/serve"
)

// keeper answers about keys as a deployment does, which asks for none when asked is false.
func keeper(asked bool) http.HandlerFunc {
	row := func(id, state string) map[string]any {
		return map[string]any{"id": id, "name": "app", "state": state, "scopes": []string{"submit", "read"}, "created_at": "2026-03-01T00:00:00Z", "expires_at": "2027-03-01T00:00:00Z"}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /keys":
			serve.WriteJSON(w, http.StatusOK, map[string]any{"asked": asked, "keys": []any{row("0123456789abcdef", "active"), row("fedcba9876543210", "revoked")}})
		case "POST /keys":
			var ask struct {
				ExpiresInS float64 `json:"expires_in_s"`
			}
			body, _ := io.ReadAll(r.Body)
			if json.Unmarshal(body, &ask) != nil || ask.ExpiresInS != 86400 {
				serve.WriteProblem(w, serve.Problem{Status: http.StatusBadRequest, Code: "invalid_body", Detail: string(body)})
				return
			}
			serve.WriteJSON(w, http.StatusCreated, map[string]any{"asked": asked, "secret": "splatworks_s3cret", "key": row("0123456789abcdef", "active")})
		case "DELETE /keys/0123456789abcdef":
			serve.WriteJSON(w, http.StatusOK, row("0123456789abcdef", "revoked"))
		default:
			serve.WriteProblem(w, serve.Problem{Status: http.StatusNotFound, Code: "unknown_key", Detail: "No stored key has this id.", Advice: "See the list."})
		}
	}
}

// TestKeys: the secret alone is on standard output, and an operator hears when no key is asked for.
func TestKeys(t *testing.T) {
	for _, asked := range []bool{true, false} {
		server := httptest.NewServer(keeper(asked))
		defer server.Close()
		t.Setenv("SPLATWORKS_OPERATORS", server.URL)
		for _, c := range []struct {
			args      []string
			code      int
			out, says string // says is on either
		}{
			{[]string{"add", "app", "--days=1"}, exitOK, "splatworks_s3cret\n", "expires: 2027-03-01"},
			{[]string{"add", "app", "--days=1", "--json"}, exitOK, "", `"secret": "splatworks_s3cret"`},
			{[]string{"add", "app", "--days=-1"}, exitBadUsage, "", "0 or more"},
			{[]string{"add", "app", "--days=NaN"}, exitBadUsage, "", "0 or more"},
			{[]string{"add", "app", "--scopes=all"}, exitBadUsage, "", "must be one of"},
			{[]string{"list"}, exitOK, "", "0123456789abcdef  app   active  submit,read  2026-03-01  2027-03-01  never\n"},
			{[]string{"list", "--all"}, exitOK, "", "fedcba9876543210"},
			{[]string{"list", "--json"}, exitOK, "", `"id": "0123456789abcdef"`},
			{[]string{"revoke", "0123456789abcdef"}, exitOK, "revoked 0123456789abcdef of app\n", ""},
			{[]string{"revoke", "0"}, exitFailed, "", "unknown_key"},
			{[]string{"revoke", "splatworks_s3cret"}, exitBadUsage, "", "by its id"},
		} {
			var out, err bytes.Buffer
			code := run(t.Context(), console{out: &out, err: &err, args: append([]string{"keys"}, c.args...)})
			all := out.String() + err.String()
			if code != c.code || c.out != "" && out.String() != c.out || !strings.Contains(all, c.says) {
				t.Errorf("%v: %d\n%s\n%s", c.args, code, out.String(), err.String())
			}
			if c.args[0] == "list" && len(c.args) == 1 && strings.Contains(all, "fedcba9876543210") {
				t.Error("a revoked key is listed without --all")
			}
			if warned := strings.Contains(err.String(), "asks for no keys"); code == exitOK && c.args[0] != "revoke" && warned == asked {
				t.Errorf("%v, asked %v: %s", c.args, asked, err.String())
			}
		}
	}
}
