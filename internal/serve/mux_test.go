package serve

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMuxAnswersWhatNothingServes(t *testing.T) {
	m := NewMux()
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		m.Handle(method, "/status/{id}", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, method, " ", r.PathValue("id"))
		})
	}
	m.Handle(http.MethodPost, "/purge", func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		method, path string
		status       int
		allow, body  string
	}{
		{"GET", "/status/a", 200, "", "GET a"},
		{"HEAD", "/status/a", 200, "", "GET a"},
		{"PUT", "/status/a", 200, "", "PUT a"},
		{"DELETE", "/status/a", 405, "GET, PUT", "method_not_allowed"},
		{"GET", "/purge", 405, "POST", "method_not_allowed"},
		{"GET", "/status", 404, "", "no_such_path"},
		{"GET", "/status/a/b", 404, "", "no_such_path"},
		{"POST", "/", 404, "", "no_such_path"},
	} {
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, httptest.NewRequest(test.method, test.path, nil))
		if rec.Code != test.status || rec.Header().Get("Allow") != test.allow || !strings.Contains(rec.Body.String(), test.body) {
			t.Errorf("%s %s: %d, Allow %q, %s", test.method, test.path, rec.Code, rec.Header().Get("Allow"), rec.Body)
		}
	}
}
