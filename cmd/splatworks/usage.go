package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"
)

type usageCommand struct {
	From      string       `placeholder:"2026-03-01" help:"First day of the requests' submission, UTC; default: the first of this month."`
	To        string       `placeholder:"2026-04-01" help:"The day after the last one; default: until now."`
	By        string       `enum:"caller,request" default:"caller" help:"Print one line for each caller, or for each request."`
	CSV       bool         `name:"csv" xor:"form" help:"Print CSV with a line of names, as spreadsheets and BigQuery read it."`
	JSON      bool         `xor:"form" help:"Print JSON for scripts."`
	Operators operatorsAPI `embed:""`
}

func (usageCommand) Help() string {
	return `Requests that were erased or purged are not counted, so export before.

    splatworks usage --from 2026-03-01 --to 2026-04-01
    splatworks usage --by request --csv`
}

// usageRow is what one caller or one request used.
type usageRow struct {
	Caller    string    `json:"caller"`
	RequestID string    `json:"request_id,omitempty"`
	SessionID string    `json:"session_id,omitempty"`
	Status    string    `json:"status,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	Requests  int       `json:"requests"`
	Completed int       `json:"completed"`
	Failed    int       `json:"failed"`
	Canceled  int       `json:"canceled"`
	WorkS     float64   `json:"work_s"`
	CostUSD   float64   `json:"cost_usd,omitempty"`
}

func (cmd usageCommand) Run(ctx context.Context, c console) error {
	query := url.Values{"by": {cmd.By}}
	if cmd.From != "" {
		query.Set("from", cmd.From)
	}
	if cmd.To != "" {
		query.Set("to", cmd.To)
	}
	var used struct {
		From time.Time  `json:"from"`
		To   time.Time  `json:"to"`
		Rows []usageRow `json:"rows"`
	}
	if err := cmd.Operators.call(ctx, http.MethodGet, "/usage?"+query.Encode(), nil, &used); err != nil {
		return err
	}
	switch {
	case cmd.JSON:
		return printJSON(c, used)
	case cmd.CSV:
		return cmd.writeCSV(c, used.Rows)
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "caller\trequests\tcompleted\tfailed\tcanceled\thours of work\tUSD\t")
	for _, r := range used.Rows {
		name := r.Caller
		if r.RequestID != "" {
			name += " " + r.RequestID
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%.2f\t%.3f\t\n", printable(name), r.Requests, r.Completed, r.Failed, r.Canceled, r.WorkS/3600, r.CostUSD)
	}
	return t.Flush()
}

func (cmd usageCommand) writeCSV(c console, rows []usageRow) error {
	w := csv.NewWriter(c.out)
	one := cmd.By == "request"
	if one {
		_ = w.Write([]string{"caller", "request_id", "session_id", "status", "created_at", "work_s", "cost_usd"}) // Error says what went wrong
	} else {
		_ = w.Write([]string{"caller", "requests", "completed", "failed", "canceled", "work_s", "cost_usd"})
	}
	for _, r := range rows {
		work, cost := strconv.FormatFloat(r.WorkS, 'f', 3, 64), strconv.FormatFloat(r.CostUSD, 'f', 6, 64)
		if one {
			_ = w.Write([]string{r.Caller, r.RequestID, r.SessionID, r.Status, r.CreatedAt.Format(time.RFC3339), work, cost})
		} else {
			_ = w.Write([]string{r.Caller, strconv.Itoa(r.Requests), strconv.Itoa(r.Completed), strconv.Itoa(r.Failed), strconv.Itoa(r.Canceled), work, cost})
		}
	}
	w.Flush()
	return w.Error()
}
