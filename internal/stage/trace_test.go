package stage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

// traced holds every line about a request to a trace; it returns how many there are.
func traced(t *testing.T, written []byte, requestID, trace, span string) (n int) {
	t.Helper()
	for text := range strings.Lines(string(written)) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["request_id"] != requestID {
			continue
		}
		n++
		gotTrace, _ := line["logging.googleapis.com/trace"].(string)
		gotSpan, _ := line["logging.googleapis.com/spanId"].(string)
		if gotTrace != trace || gotSpan != span || line["stage"] != "filter" {
			t.Errorf("%q and %q in %s", gotTrace, gotSpan, text)
		}
	}
	return n
}

// TestWorkerLogsUnderTheTraceOfItsRequest: each task's lines carry the trace of its own request's record, or none.
func TestWorkerLogsUnderTheTraceOfItsRequest(t *testing.T) {
	var out bytes.Buffer
	w := newWorld(t, func(context.Context, *stage.Job) error {
		return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: "bad", Message: "Bad."}
	})
	w.worker.Log = serve.NewLogger(&out, "my-project", slog.LevelInfo)
	var ids []string
	for range 3 {
		w.advance(time.Millisecond)
		ids = append(ids, w.submit())
	}
	known, unknown, strange := ids[0], ids[1], ids[2]
	for id, trace := range map[string]any{known: serve.Trace{ID: traceID, Span: spanID}, strange: map[string]string{"id": "<b>", "span": spanID}} {
		record := map[string]any{"request_id": id, "trace": trace}
		if _, err := artifacts.PutJSON(t.Context(), w.store, w.buckets.Artifacts, artifacts.RequestName(id), record, artifacts.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.work()
	if n := traced(t, out.Bytes(), known, "projects/my-project/traces/"+traceID, spanID); n < 2 { // claimed, failed
		t.Errorf("%d lines of the request", n)
	}
	for _, id := range []string{unknown, strange} {
		if n := traced(t, out.Bytes(), id, "", ""); n < 2 {
			t.Errorf("%d lines of a request without a trace", n)
		}
	}
	if strings.Contains(out.String(), "trace not read") {
		t.Errorf("a record that is missing is no trouble:\n%s", out.String())
	}
}

// TestReceiverLogsUnderTheTraceOfItsEvent: the call that delivers an event is the trace of the receiver's lines.
func TestReceiverLogsUnderTheTraceOfItsEvent(t *testing.T) {
	var out bytes.Buffer
	w := newWorld(t, nil)
	log := serve.NewLogger(&out, "", slog.LevelInfo)
	staffing := stage.Staffing{Slots: w.queue, Limit: map[pipeline.Stage]int{pipeline.Filter: 1}, StartBudget: 1,
		Launcher: launcher(func(pipeline.Stage) error { return nil })}
	r := stage.Receiver{Stage: pipeline.Filter, Inbox: "inbox-filter", Tasks: w.queue, Staffing: staffing, Log: log}
	events, err := serve.Events(r.Receive)
	if err != nil {
		t.Fatal(err)
	}
	id, o := w.upload()
	body, err := json.Marshal(map[string]string{"bucket": o.Bucket, "name": o.Name, "generation": "1", "size": "5"})
	if err != nil {
		t.Fatal(err)
	}
	call := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	for name, value := range map[string]string{"ce-id": "1", "ce-specversion": "1.0", "ce-source": "//storage", "ce-type": stage.Finalized,
		"Content-Type": "application/json", "traceparent": "00-" + traceID + "-" + spanID + "-01"} {
		call.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	serve.Hardening{Log: slog.New(slog.DiscardHandler)}.Wrap(events).ServeHTTP(answer, call)
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	if n := traced(t, out.Bytes(), id, traceID, spanID); n != 1 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
