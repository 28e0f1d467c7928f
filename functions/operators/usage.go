package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// mostUsage bounds the requests of one answer: each is some reads of the storage.
const mostUsage = 5000

// UsageRow is what a request, or all requests of a caller, used in a period. Times are UTC.
type UsageRow struct {
	Caller    string          `json:"caller"`
	RequestID string          `json:"request_id,omitempty"` // of a row for one request, as are the next three
	SessionID string          `json:"session_id,omitempty"`
	Status    pipeline.Status `json:"status,omitempty"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	Requests  int             `json:"requests"`
	Completed int             `json:"completed"`
	Failed    int             `json:"failed"`
	Canceled  int             `json:"canceled"`
	WorkS     float64         `json:"work_s"`             // of workers, all attempts
	CostUSD   float64         `json:"cost_usd,omitempty"` // by the workers' prices
}

func (u *UsageRow) add(o UsageRow) {
	u.Requests += o.Requests
	u.Completed += o.Completed
	u.Failed += o.Failed
	u.Canceled += o.Canceled
	u.WorkS += o.WorkS
	u.CostUSD += o.CostUSD
}

// usage serves GET /usage?from=2026-03-01&to=2026-04-01&by=caller: what the requests that were made from one day, and before another,
// have used. Requests that are purged are not in it.
func (s *Service) usage(r *http.Request) (int, any, error) {
	q := r.URL.Query()
	from, to, err := period(q.Get("from"), q.Get("to"), s.Now())
	if err != nil {
		return 0, nil, err
	}
	by := q.Get("by")
	if by != "" && by != "caller" && by != "request" {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_by", fmt.Sprintf("There are no rows by %.40q.", by), "Say caller or request.")
	}
	requests, err := s.usageOf(r.Context(), from, to)
	if err != nil {
		return 0, nil, err
	}
	if by != "request" {
		requests = byCaller(requests)
	}
	return http.StatusOK, map[string]any{"from": from, "to": to, "rows": requests}, nil
}

// period reads two days; without them it is the month of now, so far.
func period(first, last string, now time.Time) (from, to time.Time, err error) {
	now = now.UTC()
	from, to = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), now
	for text, day := range map[string]*time.Time{first: &from, last: &to} {
		if text == "" {
			continue
		}
		if *day, err = time.Parse(time.DateOnly, text); err != nil {
			return from, to, refuse(http.StatusBadRequest, "invalid_period", fmt.Sprintf("%.40q is no day.", text), "Write it as 2026-03-01; the last day is not counted.")
		}
	}
	if first != "" && first == last || to.Before(from) {
		return from, to, refuse(http.StatusBadRequest, "invalid_period", "The period has no day in it.", "to is the day after the last one.")
	}
	return from, to, nil
}

// usageOf has a row for every request of a period, the oldest first. Ids begin with the time of their request.
func (s *Service) usageOf(ctx context.Context, from, to time.Time) ([]UsageRow, error) {
	rows := []UsageRow{}
	reader := story.Reader{Store: s.Store, Buckets: s.Buckets, Now: s.Now}
	for o, err := range s.Store.List(ctx, s.Buckets.Artifacts, artifacts.RequestPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list requests: %w", err)
		}
		id, ok := artifacts.RecordOf(o.Name)
		if !ok {
			continue
		}
		if made := pipeline.RequestTime(id); made.Before(from) || !made.Before(to) {
			continue
		}
		if len(rows) == mostUsage {
			return nil, refuse(http.StatusBadRequest, "invalid_period", fmt.Sprintf("The period has more than %d requests.", mostUsage), "Ask for fewer days at a time.")
		}
		found, err := reader.Read(ctx, id)
		if errors.Is(err, story.ErrUnknown) {
			continue // purged meanwhile
		}
		if err != nil {
			return nil, err
		}
		state, err := s.Queue.Lookup(ctx, id)
		if err == nil {
			found.Status = state.Status // the storage hears of an end a moment later
		} else if !errors.Is(err, queue.ErrNotFound) {
			return nil, err
		}
		rows = append(rows, usageRow(found))
	}
	return rows, nil
}

func usageRow(f *story.Story) UsageRow {
	row := UsageRow{Caller: f.Caller, RequestID: f.RequestID, SessionID: f.SessionID, Status: f.Status, CreatedAt: f.CreatedAt, Requests: 1,
		WorkS: f.Sum.WorkS, CostUSD: f.Sum.CostUSD}
	switch f.Status {
	case pipeline.Completed:
		row.Completed = 1
	case pipeline.Failed:
		row.Failed = 1
	case pipeline.Canceled:
		row.Canceled = 1
	}
	return row
}

// byCaller adds up the rows of each caller, by name.
func byCaller(rows []UsageRow) []UsageRow {
	sums := map[string]*UsageRow{}
	for _, row := range rows {
		if sums[row.Caller] == nil {
			sums[row.Caller] = &UsageRow{Caller: row.Caller}
		}
		sums[row.Caller].add(row)
	}
	all := []UsageRow{}
	for _, sum := range sums {
		all = append(all, *sum)
	}
	slices.SortFunc(all, func(a, b UsageRow) int { return strings.Compare(a.Caller, b.Caller) })
	return all
}
