package serve

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzLogging: whatever is logged around a token, the line stays JSON and the token stays out of it.
func FuzzLogging(f *testing.F) {
	const token = "3PmcNFQ5-c0HPjcneN5LIXjIZEXirM0G9YAmUGPVk3I"
	for _, seed := range []string{"/status?", `{"a":"b", "`, "Get \"https://h/", "\x00\xff", "x&"} {
		f.Add(seed, "&y=1", "k")
	}
	f.Fuzz(func(t *testing.T, before, after, key string) {
		var out bytes.Buffer
		log := NewLogger(&out, "", slog.LevelInfo)
		text := before + "callback_token=" + token + "&" + after
		log.Info(text, key, text, "authorization", before+token+after)
		log.Info("m", "e", json.RawMessage(`{"callback_token":"`+token+`"}`))
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("no JSON: %q", line)
			}
		}
		if strings.Contains(out.String(), token) {
			t.Fatalf("logged: %s", out.String())
		}
	})
}

// FuzzClientAddress: what clients send never names them when no proxy is trusted, and never breaks anything.
func FuzzClientAddress(f *testing.F) {
	f.Add("192.0.2.1:1", "1.2.3.4, ::1", 1)
	f.Add("", ",,,", 3)
	f.Fuzz(func(t *testing.T, remote, forwarded string, proxies int) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		r.Header = http.Header{"X-Forwarded-For": {forwarded}}
		if ClientAddress(r, proxies) == "" {
			t.Fatal("no name")
		}
		if alone := (&http.Request{RemoteAddr: remote}); ClientAddress(r, 0) != ClientAddress(alone, 0) {
			t.Fatal("the header counts without a proxy")
		}
	})
}
