package operators_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/splatworks/splatworks/functions/operators"
	"github.com/splatworks/splatworks/pipeline"
)

type usage struct {
	From, To time.Time
	Rows     []operators.UsageRow
}

// TestUsage: what was asked for in a period counts, in rows by caller or by request, whatever became of it; what was purged does not.
func TestUsage(t *testing.T) {
	w := newWorld(t)
	w.time = time.Date(2026, 5, 30, 12, 0, 0, 0, time.UTC)
	before := w.ofCaller("before", "key:app")
	w.finish(before.ID)
	w.time = time.Date(2026, 6, 2, 12, 0, 0, 0, time.UTC)
	done, canceled := w.ofCaller("done", "key:app"), w.ofCaller("canceled", "key:app")
	w.ofCaller("other", "203.0.113.7")
	w.finish(done.ID)
	if err := w.queue.Cancel(t.Context(), canceled.ID); err != nil {
		t.Fatal(err)
	}
	w.time = time.Date(2026, 6, 20, 12, 0, 0, 0, time.UTC)
	month := get[usage](w, "GET", "/usage", "", http.StatusOK)
	if !month.From.Equal(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) || !month.To.Equal(w.time) || len(month.Rows) != 2 {
		t.Fatalf("%+v", month)
	}
	address, app := month.Rows[0], month.Rows[1]
	if address.Caller != "203.0.113.7" || address.Requests != 1 || address.Completed+address.Failed+address.Canceled != 0 || address.RequestID != "" {
		t.Errorf("%+v", address)
	}
	if app.Caller != "key:app" || app.Requests != 2 || app.Completed != 1 || app.Canceled != 1 {
		t.Errorf("%+v", app)
	}
	rows := get[usage](w, "GET", "/usage?by=request&from=2026-05-01&to=2026-06-30", "", http.StatusOK).Rows
	if len(rows) != 4 || rows[0].RequestID != before.ID || rows[0].Status != pipeline.Completed || rows[3].SessionID != "other" || rows[3].Status != pipeline.Queued || !rows[0].CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("%+v", rows)
	}
	one := get[usage](w, "GET", "/usage?by=request&from=2026-06-02&to=2026-06-03", "", http.StatusOK).Rows
	if len(one) != 3 {
		t.Errorf("of one day: %+v", one)
	}
	get[purgeAnswer](w, "POST", "/purge", `{"request_id":"`+done.ID+`"}`, http.StatusOK)
	if rows := get[usage](w, "GET", "/usage", "", http.StatusOK).Rows; rows[1].Requests != 1 {
		t.Errorf("after a purge: %+v", rows)
	}
	for query, code := range map[string]string{"?by=x": "invalid_by", "?from=yesterday": "invalid_period", "?to=2026-13-01": "invalid_period", "?from=2026-06-02&to=2026-06-02": "invalid_period",
		"?from=2026-07-01&to=2026-06-01": "invalid_period", "?from=2027-01-01": "invalid_period"} {
		w.refused("GET", "/usage"+query, "", http.StatusBadRequest, code)
	}
}
