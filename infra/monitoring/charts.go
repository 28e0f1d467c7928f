// Package monitoring is what to watch where Prometheus scrapes the operators' API: one table of charts and alerts, from which a
// dashboard for Grafana and rules for Prometheus are written. Its test holds the table to terraform's dashboard and alerts, and to the
// metrics that there are.
package monitoring

// Chart is one thing to watch.
type Chart struct {
	Title  string
	Unit   string // of Grafana: s, short, percentunit
	Query  string // PromQL; its series have the labels that Legend names
	Legend string
	Cloud  string // title of terraform's chart of the same; empty: it has none
	Alert  *Alert // terraform's alert on the same; nil: it has none
}

// Alert opens while a query is above a threshold.
type Alert struct {
	Name      string // in terraform and in the runbook of docs/operations.md
	Query     string // PromQL without labels
	Threshold float64
	For       string // a duration of Prometheus
	Severity  string // as in terraform
}

// Charts are in the order of the dashboard, two to a row.
var Charts = []Chart{
	{Title: "Oldest waiting task", Unit: "s", Query: "max by (stage) (splatworks_oldest_ready_seconds)", Legend: "{{stage}}", Cloud: "Oldest waiting task [s]",
		Alert: &Alert{Name: "Oldest queued task", Query: "max(splatworks_oldest_ready_seconds)", Threshold: 1800, For: "5m", Severity: "WARNING"}},
	{Title: "Workers, by stage", Unit: "short", Query: "max by (stage) (splatworks_workers)", Legend: "{{stage}}", Cloud: "Executions running, by stage"},
	{Title: "Tasks that wait, by stage", Unit: "short", Query: `max by (stage) (splatworks_tasks{state="ready"})`, Legend: "{{stage}}"},
	{Title: "Requests, by status", Unit: "short", Query: "max by (status) (splatworks_requests)", Legend: "{{status}}"},
	{Title: "Attempts retried, by stage and code", Unit: "short", Query: "max by (stage, code) (increase(splatworks_retries_total[10m]))", Legend: "{{stage}} {{code}}",
		Cloud: "Executions ended, by stage and result"},
	{Title: "Leases that expired", Unit: "short", Query: "max by (stage) (increase(splatworks_lease_expiries_total[10m]))", Legend: "{{stage}}",
		Cloud: "Passes of the reaper with expired leases",
		Alert: &Alert{Name: "Leases expire", Query: "sum(max by (stage) (increase(splatworks_lease_expiries_total[10m])))", Threshold: 3, For: "0m", Severity: "WARNING"}},
	{Title: "Requests ended, by status", Unit: "short", Query: "sum by (status) (max by (status, code) (increase(splatworks_requests_ended_total[10m])))", Legend: "{{status}}"},
	{Title: "Share of requests that FAILED, of an hour", Unit: "percentunit", Query: failedShare, Legend: "FAILED",
		Alert: &Alert{Name: "Requests fail", Query: failedShare, Threshold: 0.3, For: "0m", Severity: "ERROR"}},
	{Title: "Events dropped since they came twice", Unit: "short", Query: "max by (stage) (increase(splatworks_events_repeated_total[10m]))", Legend: "{{stage}}",
		Cloud: "Events that came twice"},
	{Title: "Webhooks and mails, by outcome", Unit: "short", Query: "sum by (way, outcome) (increase(splatworks_deliveries_total[10m]))", Legend: "{{way}} {{outcome}}",
		Cloud: "Webhooks and mails, by outcome"},
	{Title: "Wait in the queue, median and 95th percentile", Unit: "s", Legend: "{{quantile}} {{stage}}", Query: quantiles("splatworks_queue_wait_seconds")},
	{Title: "Time of a stage, median and 95th percentile", Unit: "s", Legend: "{{quantile}} {{stage}}", Query: quantiles("splatworks_stage_seconds")},
}

// Instances of the operators' API count the same, so the largest is taken where there are several, never their sum.
const failedShare = `sum(max by (status, code) (increase(splatworks_requests_ended_total{status="FAILED"}[1h]))) / ` +
	`sum(max by (status, code) (increase(splatworks_requests_ended_total{status=~"FAILED|COMPLETED"}[1h])))`

func quantiles(histogram string) string {
	of := func(quantile string) string {
		return `label_replace(histogram_quantile(` + quantile + `, max by (stage, le) (rate(` + histogram + `_bucket[1h]))), "quantile", "` + quantile + `", "", "")`
	}
	return of("0.5") + " or " + of("0.95")
}

// Elsewhere are the charts and alerts of terraform that no metric of ours can draw, and where their numbers are.
var Elsewhere = map[string]string{
	"Requests by service and class":  "what is in front of the request API counts its answers",
	"Redis memory":                   "redis_exporter has it",
	"Undelivered events, oldest [s]": "of Pub/Sub",
	"CPU of workers, p99":            "the orchestrator has it",
	"Memory of workers, p99":         "the orchestrator has it",
	"Latency p99 by service [ms]":    "what is in front of the request API measures it",
	"Reaper silent":                  "the scheduler that calls POST /reap reports its failures",
	"Executions fail":                "the orchestrator has it",
	"Receivers answer 5xx":           "what is in front of the receivers counts their answers",
	"Events undelivered":             "of Pub/Sub",
}
