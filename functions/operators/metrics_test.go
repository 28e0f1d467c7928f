package operators_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/splatworks/splatworks/pipeline"
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
	answer := w.call("GET", "/metrics", "")
	if answer.Code != http.StatusOK {
		t.Fatal(answer.Code, answer.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string, labels ...string) float64 {
		t.Helper()
		i := slices.IndexFunc(families[name].GetMetric(), func(m *dto.Metric) bool {
			var has []string
			for _, l := range m.GetLabel() {
				has = append(has, l.GetName()+"="+l.GetValue())
			}
			return slices.Equal(has, labels)
		})
		if i < 0 {
			t.Fatalf("no %s of %v", name, labels)
		}
		return families[name].GetMetric()[i].GetGauge().GetValue()
	}
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
		if got := value(want.name, want.of...); !(got == want.value) {
			t.Errorf("%s%v is %v, want %v", want.name, want.of, got, want.value)
		}
	}
	if !(families["go_goroutines"].GetMetric()[0].GetGauge().GetValue() > 0) {
		t.Error("no goroutines")
	}

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
