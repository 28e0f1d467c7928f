package serve

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Hardening is what is between the network and a handler.
type Hardening struct {
	Log          *slog.Logger
	MaxBodyBytes int64            // of a request; 0: 1 MiB
	Now          func() time.Time // for the latency in the access log; nil: time.Now
}

// Wrap bounds the body (413), turns a panic into a logged 500, answers /healthz, and writes one access log line for each
// request: the path without its query string, which may hold callback tokens, with what Poll and About say of it. A request that another Wrap has let through is
// passed on as it is: a function is hardened for every host, and this one's may be, too.
func (o Hardening) Wrap(next http.Handler) http.Handler {
	limit := cmp.Or(o.MaxBodyBytes, 1<<20)
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n"))
			return
		}
		if hardened(r) {
			next.ServeHTTP(w, r)
			return
		}
		start, about := now(), new(access)
		r = withTrace(r.WithContext(context.WithValue(r.Context(), accessKey{}, about)))
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				o.Log.ErrorContext(r.Context(), fmt.Sprintf("panic: %v", v), "stack", string(debug.Stack()), "path", r.URL.Path)
				if rec.status == 0 {
					WriteProblem(rec, Problem{Status: http.StatusInternalServerError, Code: "internal", Retryable: true,
						Detail: "Something went wrong inside the service.", Advice: "Try again; if this repeats, report it with the time."})
				}
			}
			about.line(o.Log, r, rec, now().Sub(start))
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.ContentLength > limit {
			WriteProblem(rec, TooLarge(limit))
			return
		}
		if r.Body != nil {
			r.Body = http.MaxBytesReader(rec, r.Body, limit)
		}
		next.ServeHTTP(rec, r)
	})
}

func hardened(r *http.Request) bool { return r.Context().Value(accessKey{}) != nil }

// TooLarge is the answer to a body of more than limit bytes.
func TooLarge(limit int64) Problem {
	return Problem{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large",
		Detail: fmt.Sprintf("The body is larger than %d bytes.", limit), Advice: "Send less."}
}

// recorder remembers what was answered. Unwrap keeps http.ResponseController working through it.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 { // 1xx are not the answer yet
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.status = cmp.Or(r.status, http.StatusOK)
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

func (r *recorder) Flush() {
	r.status = cmp.Or(r.status, http.StatusOK)
	_ = http.NewResponseController(r.ResponseWriter).Flush() // a writer that cannot flush sends at the end
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// CORS lets the web pages at origins ("https://host") call next, and read the headers that the API speaks with. Without
// origins only pages of the same origin can. No cookies are involved: a page must hold a token or a key itself. It belongs
// outside of Hardening, so that pages can read its refusals too.
func CORS(origins []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if len(origins) > 0 && !hardened(r) {
			w.Header().Add("Vary", "Origin")
		}
		if origin == "" || !slices.Contains(origins, origin) || hardened(r) { // the CORS outside of that has answered
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Location, Retry-After, ETag, Idempotency-Replayed")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, X-Api-Key")
			h.Set("Access-Control-Max-Age", "3600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ClientAddress names the caller for rate limits: an IPv4 address, or the /64 of an IPv6 one, which is what one customer
// gets. proxies is how many trusted proxies stand in front, each of which appends the address it saw to X-Forwarded-For:
// 0 on a laptop, 1 on Cloud Run, 2 behind a load balancer. What a client wrote into that header itself is never used.
func ClientAddress(r *http.Request, proxies int) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if proxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if len(hops) >= proxies {
			host = strings.TrimSpace(hops[len(hops)-proxies])
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown"
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr.String()
	}
	prefix, _ := addr.Prefix(64) // cannot fail: an IPv6 address has 128 bits
	return prefix.String()
}
