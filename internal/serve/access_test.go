package serve

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPollsAreLoggedForDebuggingAlone: as long as they succeed. Every line has the trace of its call and what the call is about.
func TestPollsAreLoggedForDebuggingAlone(t *testing.T) {
	about := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			About(r.Context(), slog.String("request_id", "r"), slog.String("stage", "train"))
			w.WriteHeader(status)
		}
	}
	for _, c := range []struct {
		handler http.HandlerFunc
		want    string
	}{
		{about(200), "INFO"}, {Poll(about(200)), "DEBUG"}, {Poll(about(304)), "DEBUG"}, {Poll(about(404)), "INFO"}, {Poll(about(503)), "ERROR"},
		{Poll(func(http.ResponseWriter, *http.Request) { panic("no") }), "ERROR"},
	} {
		var out bytes.Buffer
		call := httptest.NewRequest("GET", "/status?callback_token=x", nil)
		call.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		Hardening{Log: NewLogger(&out, "", slog.LevelDebug)}.Wrap(Hardening{Log: discard()}.Wrap(c.handler)).ServeHTTP(httptest.NewRecorder(), call)
		lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
		var line map[string]any
		if err := json.Unmarshal(lines[len(lines)-1], &line); err != nil {
			t.Fatal(err)
		}
		if line["severity"] != c.want || line["message"] != "request" || line["logging.googleapis.com/trace"] != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("want %s: %v", c.want, line)
		}
		if len(lines) == 1 && (line["request_id"] != "r" || line["stage"] != "train") {
			t.Errorf("%v", line)
		}
	}
}
