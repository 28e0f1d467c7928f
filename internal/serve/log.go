package serve

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
)

// NewLogger writes one JSON object a line in the form Cloud Logging reads (severity, message, time, trace), and no
// secret: callback tokens, API keys, Authorization headers, signatures of signed URLs and upload sessions are blanked wherever they
// are in the line. Durations are text with their unit, as "1.5s". project, when not empty, turns trace ids into links.
func NewLogger(w io.Writer, project string, level slog.Leveler) *slog.Logger {
	h := slog.NewJSONHandler(redactingWriter{w}, &slog.HandlerOptions{Level: level, ReplaceAttr: cloudFields})
	return slog.New(traceHandler{h, project})
}

// cloudFields renames slog's own fields (docs: Cloud Logging, structured logging, special fields).
func cloudFields(groups []string, a slog.Attr) slog.Attr {
	if slices.Contains(secretKeys, strings.ToLower(a.Key)) {
		return slog.String(a.Key, redacted)
	}
	if a.Value.Kind() == slog.KindDuration { // JSON would have a bare number of nanoseconds
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		a.Key = "severity"
		if level, ok := a.Value.Any().(slog.Level); ok && level == slog.LevelWarn {
			a.Value = slog.StringValue("WARNING")
		}
	}
	return a
}

const redacted = "REDACTED"

var secretKeys = []string{"callback_token", "authorization", "token", "secret"}

// secrets finds what must not be logged inside any text: a URL, a header dump, JSON inside a string. The first group is
// kept, what follows it is blanked.
var secrets = regexp.MustCompile(`(?i)(callback_token\\?"?\s*[=:]\s*\\?"?|\bbearer\s+|x-goog-signature=|upload_id=|whsec_)[^&"\\\s]+`)

// apiKeys finds API keys as internal/tenant makes them, where a caller put one into an address or a body.
var apiKeys = regexp.MustCompile(`(?i)(splatworks_)[0-9a-z]{40,}`)

// marks are what secrets matches begin with: a line without any needs no search, and hardly any has one.
var marks = [][]byte{[]byte("callback_token"), []byte("bearer"), []byte("x-goog-signature="), []byte("upload_id="), []byte("whsec_")}

// redact blanks the secrets in a line.
func redact(line []byte) []byte {
	lower := bytes.ToLower(line)
	if bytes.Contains(lower, []byte("splatworks_")) {
		line = apiKeys.ReplaceAll(line, []byte("${1}"+redacted))
	}
	for _, m := range marks {
		if bytes.Contains(lower, m) {
			return secrets.ReplaceAll(line, []byte("${1}"+redacted))
		}
	}
	return line
}

type redactingWriter struct{ io.Writer }

func (w redactingWriter) Write(line []byte) (int, error) {
	if _, err := w.Writer.Write(redact(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

type traceHandler struct {
	slog.Handler
	project string
}

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if t := TraceOf(ctx); t.ID != "" {
		r = r.Clone()
		id := t.ID
		if h.project != "" {
			id = "projects/" + h.project + "/traces/" + id
		}
		r.AddAttrs(slog.String("logging.googleapis.com/trace", id))
		if t.Span != "" {
			r.AddAttrs(slog.String("logging.googleapis.com/spanId", t.Span))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs), h.project}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name), h.project}
}
