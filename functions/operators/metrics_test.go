package operators_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// TestMetricsSayWhatTheQueueHolds reads the answer as Prometheus does.
func TestMetricsSayWhatTheQueueHolds(t *testing.T) {
	w := newWorld(t)
	w.enqueue(w.submit("a", 0).ID, pipeline.Filter)
	w.enqueue(w.submit("b", 0).ID, pipeline.Filter)
	w.submit("c", 0)
	if _, err := w.queue.Claim(t.Context(), pipeline.Filter, "worker", 1); err != nil {
		t.Fatal(err)
	}
	families := w.scrape()
	for _, want := range []struct {
		value float64
		name  string
		of    []string
	}{
		{1, "splatworks_requests", []string{"status=PROCESSING"}},
		{2, "splatworks_requests", []string{"status=QUEUED"}},
		{1, "splatworks_tasks", []string{"stage=filter", "state=ready"}},
		{1, "splatworks_tasks", []string{"stage=filter", "state=leased"}},
		{0, "splatworks_tasks", []string{"stage=train", "state=delayed"}},
		{float64(w.service.Slots[pipeline.Filter]), "splatworks_workers_limit", []string{"stage=filter"}},
	} {
		if got := find(t, families, want.name, want.of...).GetGauge().GetValue(); !(got == want.value) {
			t.Errorf("%s%v is %v, want %v", want.name, want.of, got, want.value)
		}
	}
	if !(families["go_goroutines"].GetMetric()[0].GetGauge().GetValue() > 0) {
		t.Error("no goroutines")
	}
}

// TestMetricsCountWhatHappened: a task waits, its event comes twice, its first worker falls silent, the second reports a failure, the third completes it. What
// was counted once is not counted again by the next scrape, and an instance that starts now has the same numbers.
func TestMetricsCountWhatHappened(t *testing.T) {
	w := newWorld(t)
	id := w.submit("a", 0).ID
	w.enqueue(id, pipeline.Filter)
	claim := func() queue.Lease {
		t.Helper()
		leases, err := w.queue.Claim(t.Context(), pipeline.Filter, "worker", 1)
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		return leases[0]
	}
	reap := func() {
		t.Helper()
		if _, err := w.queue.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if added, err := w.queue.Enqueue(t.Context(), queue.Task{RequestID: id, Stage: pipeline.Filter, Input: pipeline.Object{Bucket: w.buckets.Inbox[pipeline.Filter], Name: id + "/input"}}); err != nil || added {
		t.Fatal(added, err) // its event came twice
	}
	reap()
	w.time = w.time.Add(7 * time.Second)
	claim()
	for range 3 { // the first pass after a silence extends leases
		w.time = w.time.Add(50 * time.Second)
		reap()
	}
	w.scrape()
	lease := claim()
	if _, err := lease.Fail(t.Context(), &pipeline.Failure{Kind: pipeline.Transient, Code: pipeline.StorageAway, Stage: pipeline.Filter, Message: "m", Advice: "a"}); err != nil {
		t.Fatal(err)
	}
	w.time = w.time.Add(time.Hour)
	lease = claim()
	w.time = w.time.Add(20 * time.Second)
	if err := lease.Complete(t.Context(), pipeline.Object{Bucket: "inbox-preprocess", Name: id + "/filter.manifest.json", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if err := w.queue.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, instance := range []string{"this", "a new one"} {
		families := w.scrape()
		waits, works := find(t, families, "splatworks_queue_wait_seconds", "stage=filter").GetHistogram(), find(t, families, "splatworks_stage_seconds", "stage=filter").GetHistogram()
		if waits.GetSampleCount() != 3 || !(waits.GetSampleSum() >= 7) {
			t.Errorf("%s: %d waits of %v s", instance, waits.GetSampleCount(), waits.GetSampleSum())
		}
		if works.GetSampleCount() != 1 || !(works.GetSampleSum() == 20) {
			t.Errorf("%s: %d completed tasks of %v s", instance, works.GetSampleCount(), works.GetSampleSum())
		}
		for name, labels := range map[string][]string{
			"splatworks_lease_expiries_total": {"stage=filter"}, "splatworks_retries_total": {"code=" + pipeline.StorageAway, "stage=filter"},
			"splatworks_requests_ended_total": {"code=", "status=CANCELED"}, "splatworks_events_repeated_total": {"stage=filter"},
		} {
			if got := find(t, families, name, labels...).GetCounter().GetValue(); !(got == 1) {
				t.Errorf("%s: %s is %v", instance, name, got)
			}
		}
		checkDocumented(t, families)
		w.handler = w.service.Handler()
	}
}

// scrape reads the metrics as Prometheus does.
func (w *world) scrape() map[string]*dto.MetricFamily {
	w.t.Helper()
	answer := w.call("GET", "/metrics", "")
	if answer.Code != http.StatusOK {
		w.t.Fatal(answer.Code, answer.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return families
}

// deliveries is what the function that sends webhooks counts in the same program.
func (w *world) deliveries() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(notify.NewDeliveries())
	return registry
}

func find(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) *dto.Metric {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if slices.Equal(has, labels) {
			return m
		}
	}
	t.Fatalf("no %s of %v", name, labels)
	return nil
}

// checkDocumented compares what is served with the table in docs/operations.md.
func checkDocumented(t *testing.T, families map[string]*dto.MetricFamily) {
	t.Helper()
	var served []string
	for name := range families {
		if strings.HasPrefix(name, "splatworks_") {
			served = append(served, name)
		}
	}
	slices.Sort(served)
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(splatworks_[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served %v, in docs/operations.md %v", served, documented)
	}
}

// TestMetricsAreExportedWithATick, and a collector that fails or hangs fails no tick.
func TestMetricsAreExportedWithATick(t *testing.T) {
	w := newWorld(t)
	calls := 0
	w.service.Export = func(ctx context.Context) error {
		calls++
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a collector may take for ever")
		}
		families, err := w.service.Gather()
		if err != nil || !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "splatworks_tasks" }) {
			t.Errorf("%d families, %v", len(families), err)
		}
		return errors.New("no collector")
	}
	for range 2 {
		if rec := w.call("POST", "/reap", ""); rec.Code != 200 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
	if calls != 2 {
		t.Errorf("exported %d times", calls)
	}
}
