package operators_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/artifacts"
)

// FuzzCalls: no body or query of any call is a fault of the service.
func FuzzCalls(f *testing.F) {
	f.Add(`{"request_id":"x","stage":"filter","input":{"bucket":"b","name":"n","generation":"1"}}`, "stage=train&limit=3&cursor=x")
	f.Add(`{"older_than_s":1e300,"dry_run":true}`, "%zz")
	f.Add(`{"status":"CANCELED"}`, "limit=99999999999999999999")
	f.Add(`{"stage":"filter","options":{"seed":1},"deadline_s":-1}`, "")
	f.Fuzz(func(t *testing.T, body, query string) {
		w := newWorld(t)
		a := w.submit("a", 0)
		w.put("artifacts", artifacts.WebhookTargetName(a.ID), "{}")
		for _, call := range []string{"GET /queue", "GET /metrics", "GET /next", "POST /enqueue", "GET /status/" + a.ID, "PUT /status/" + a.ID, "GET /requests", "POST /retry/" + a.ID,
			"POST /redeliver/" + a.ID, "POST /purge", "POST /rebuild", "POST /reap"} {
			method, path, _ := strings.Cut(call, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.URL.RawQuery = query
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code >= 500 {
				t.Fatalf("%s: %d %s", call, rec.Code, rec.Body)
			}
		}
	})
}
