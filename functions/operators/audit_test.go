package operators_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
)

// rows are the audit rows in a log, by action.
func rows(t *testing.T, log string) map[string][]map[string]any {
	t.Helper()
	found := map[string][]map[string]any{}
	for line := range strings.Lines(log) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if action, ok := row["audit"].(string); ok {
			found[action] = append(found[action], row)
		}
	}
	return found
}

// TestAudit: each change by an operator has one row, which says who did it and to what, and has no secret and no address.
func TestAudit(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t)
	w.service.Log = serve.NewLogger(&log, "", nil)
	w.handler = w.service.Handler()
	mine, other, byAddress := w.ofCaller("mine", "key:app"), w.ofCaller("other", "key:app"), w.ofCaller("address", "192.0.2.7")
	added := get[addedKey](w, "POST", "/keys", `{"name":"app"}`, 201)
	for range 2 {
		get[keyRow](w, "DELETE", "/keys/"+added.Key.ID, "", 200) // the second time changes nothing
		get[map[string]any](w, "PUT", "/status/"+mine.ID, `{"status":"CANCELED"}`, 200)
		get[map[string]any](w, "PUT", "/status/"+byAddress.ID, `{"status":"CANCELED"}`, 200)
	}
	retried := get[map[string]string](w, "POST", "/retry/"+mine.ID, `{"stage":"filter"}`, 202)
	w.refused("POST", "/retry/"+mine.ID, `{"stage":"cook"}`, 400, "invalid_stage")
	get[map[string]any](w, "POST", "/redeliver/"+byAddress.ID, "", 202)
	get[purgeAnswer](w, "POST", "/purge", `{"caller":"key:app","cancel":true,"keys":true,"dry_run":true}`, 200)
	w.time = w.time.Add(3 * time.Minute)
	get[purgeAnswer](w, "POST", "/purge", `{"caller":"192.0.2.7"}`, 200)
	get[purgeAnswer](w, "POST", "/purge", `{"caller":"key:app","cancel":true,"keys":true}`, 200)
	w.time = w.time.Add(3 * time.Minute)
	get[purgeAnswer](w, "POST", "/purge", `{"caller":"key:app","cancel":true,"keys":true}`, 200)

	got := rows(t, log.String())
	for action, n := range map[string]int{"key_added": 1, "key_revoked": 1, "request_canceled": 4, "request_retried": 1, "webhook_redelivered": 1, "request_purged": 4,
		"requests_purged": 3, "caller_deleted": 1} {
		if len(got[action]) != n {
			t.Errorf("%d rows of %s, want %d: %v", len(got[action]), action, n, got[action])
		}
		for _, row := range got[action] {
			if row["by"] != "operator" {
				t.Errorf("%v", row)
			}
		}
	}
	if row := got["key_added"][0]; row["key"] != added.Key.ID || row["caller"] != "key:app" {
		t.Errorf("%v", row)
	}
	if row := got["request_retried"][0]; row["of"] != mine.ID || row["request_id"] != retried["request_id"] || row["stage"] != string(pipeline.Filter) {
		t.Errorf("%v", row)
	}
	for _, secret := range []string{added.Secret, "192.0.2.7", "ada@", "app.example", other.TokenHash} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log", secret)
		}
	}
}

// TestWhoOperates: an account counts where IAM verified its token, and that is the token which IAM looked at.
func TestWhoOperates(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t)
	w.service.Log = serve.NewLogger(&log, "", nil)
	w.handler = w.service.Handler()
	token := func(subject, signature string) string {
		return "Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"ada@example.org","sub":"`+subject+`"}`)) + "." + signature
	}
	const verified = "SIGNATURE_REMOVED_BY_GOOGLE"
	for i, c := range []struct{ authorization, serverless, want string }{
		{"", "", "operator"},
		{token("117", verified), "", "operator:117"},
		{token("117", verified), token("118", verified), "operator:118"},
		{token("117", verified), "Bearer x", "operator"},
		{token("117", "c2lnbmVk"), "", "operator"},
		{token(`1\n{`, verified), "", "operator"},
		{"Bearer e30.%%%." + verified, "", "operator"},
		{"Bearer e30.W10." + verified, "", "operator"},
		{verified, "", "operator"},
	} {
		log.Reset()
		r := httptest.NewRequest("POST", "/keys", strings.NewReader(`{"name":"app"}`))
		r.Header.Set("Authorization", c.authorization)
		if c.serverless != "" {
			r.Header.Set("X-Serverless-Authorization", c.serverless)
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if found := rows(t, log.String())["key_added"]; rec.Code != 201 || len(found) != 1 || found[0]["by"] != c.want || strings.Contains(log.String(), "ada@") {
			t.Errorf("%d: %d %v, want %s", i, rec.Code, found, c.want)
		}
	}
}
