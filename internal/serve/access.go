package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// access is what the handlers of a call say about it for its line in the access log.
type access struct {
	mu    sync.Mutex
	poll  bool
	about []slog.Attr
}

type accessKey struct{}

// About notes what a call is about, for its line in the access log.
func About(ctx context.Context, about ...slog.Attr) {
	if a, ok := ctx.Value(accessKey{}).(*access); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.about = about
	}
}

// Poll is next for calls that ask again and again whether there is news: those that succeed are logged at the level debug.
func Poll(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a, ok := r.Context().Value(accessKey{}).(*access); ok {
			a.mu.Lock()
			a.poll = true
			a.mu.Unlock()
		}
		next(w, r)
	}
}

// level of the access log's line.
func (a *access) level(status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelError
	case a.poll && status < 400:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// line writes the access log's line of a call.
func (a *access) line(log *slog.Logger, r *http.Request, rec *recorder, latency time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	status := cmp.Or(rec.status, http.StatusOK)
	attrs := []slog.Attr{slog.Group("httpRequest",
		"requestMethod", r.Method, "requestUrl", r.URL.Path, "status", status, "responseSize", rec.bytes,
		"latency", fmt.Sprintf("%.6fs", latency.Seconds()), "remoteIp", r.RemoteAddr, "userAgent", r.UserAgent())}
	log.LogAttrs(r.Context(), a.level(status), "request", append(attrs, a.about...)...)
}
