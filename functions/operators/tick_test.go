package operators

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// TestTickLeavesTheAlertsLine holds the line to the names that terraform/monitoring.tf filters and extracts.
func TestTickLeavesTheAlertsLine(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	q := memq.New(queue.Config{Now: func() time.Time { return now }})
	id, err := pipeline.NewRequestID(now, bytes.NewReader(make([]byte, 10)))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Submit(t.Context(), pipeline.Request{ID: id, SessionID: "s", TokenHash: "h", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: pipeline.Object{Bucket: "b", Name: id + "/input", Generation: 1}}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(90 * time.Second)

	var written bytes.Buffer
	s := &Service{Config: Config{Queue: q, Log: slog.New(slog.NewJSONHandler(&written, nil)), Now: func() time.Time { return now }}}
	ended := map[pipeline.Status]int{pipeline.Completed: 2, pipeline.Failed: 1}
	if err := s.logTick(t.Context(), queue.Reaped{ExpiredLeases: 3, Ended: ended}); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Msg           string         `json:"msg"`
		ExpiredLeases *int           `json:"expired_leases"`
		OldestReadyS  *float64       `json:"oldest_ready_s"`
		Ended         map[string]int `json:"ended"`
	}
	if err := json.Unmarshal(written.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Msg != "tick" || line.ExpiredLeases == nil || *line.ExpiredLeases != 3 || line.OldestReadyS == nil || *line.OldestReadyS != 90 {
		t.Errorf("wrote %s", written.Bytes())
	}
	if want := map[string]int{"COMPLETED": 2, "FAILED": 1}; !maps.Equal(line.Ended, want) {
		t.Errorf("ended %v, want %v", line.Ended, want)
	}
	written.Reset()
	if err := s.logTick(t.Context(), queue.Reaped{}); err != nil || !strings.Contains(written.String(), `"ended":{}`) {
		t.Errorf("no end is no object: %v, %s", err, written.Bytes())
	}
}
