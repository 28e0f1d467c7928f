package serve

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Trace says which call a log line belongs to: the ids of a trace and of a span in it, in the digits of W3C Trace Context.
type Trace struct {
	ID   string `json:"id"`             // 32 hexadecimal digits; empty: no trace
	Span string `json:"span,omitempty"` // 16 of them, or empty
}

type traceKey struct{}

// In is ctx for what is done on behalf of t: lines of NewLogger that are written with it carry t. What is no trace leaves ctx as it is.
func (t Trace) In(ctx context.Context) context.Context {
	if !hex32.MatchString(t.ID) {
		return ctx
	}
	if !hex16.MatchString(t.Span) || t.Span == noSpan {
		t.Span = ""
	}
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf is the trace of the call that ctx belongs to; zero when it has none.
func TraceOf(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

// withTrace keeps the trace of an incoming request for everything logged on its behalf.
func withTrace(r *http.Request) *http.Request {
	return r.WithContext(traceFrom(r.Header).In(r.Context()))
}

var (
	hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hex16 = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

const noSpan = "0000000000000000"

// traceFrom is W3C traceparent's ("00-TRACE-SPAN-FLAGS"), else Google's own header's ("TRACE/SPAN;o=1", the span in decimal).
func traceFrom(h http.Header) Trace {
	if parts := strings.Split(h.Get("traceparent"), "-"); len(parts) >= 4 && hex32.MatchString(parts[1]) {
		return Trace{parts[1], parts[2]}
	}
	id, rest, _ := strings.Cut(h.Get("X-Cloud-Trace-Context"), "/")
	span, _, _ := strings.Cut(rest, ";")
	t := Trace{ID: id}
	if n, err := strconv.ParseUint(span, 10, 64); err == nil {
		t.Span = fmt.Sprintf("%016x", n)
	}
	return t
}
