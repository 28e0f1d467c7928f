package notify_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splatworks/splatworks/functions/notify"
	"github.com/splatworks/splatworks/pipeline"
)

// TestTriesAreCounted by what became of them, each in the log, too: two that failed and one that delivered, and one that is refused for good.
// A message that comes again after the end is no try.
func TestTriesAreCounted(t *testing.T) {
	r := newReceiver(t, 500, 404, 200, 410)
	s, _, log := service(t, r, "key")
	s.Deliveries = notify.NewDeliveries()
	gone := "01kj2x4m3n5p6q7r8s9t0v1w2y"
	for _, request := range []string{id, id, id, id, gone, gone} {
		if _, err := s.Register(t.Context(), request, r.URL); err != nil {
			t.Fatal(err)
		}
		_ = s.Receive(t.Context(), message(t, notify.Finished{RequestID: request, Status: pipeline.Completed})) // a failed try brings the message back
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Deliveries)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "splatworks_deliveries_total" {
		t.Fatalf("%v %v", families, err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		got[labels["way"]+" "+labels["outcome"]+" "+labels["try"]] = m.GetCounter().GetValue()
	}
	for what, want := range map[string]float64{"webhook failed first": 1, "webhook failed later": 1, "webhook delivered later": 1, "webhook refused first": 1, "webhook delivered first": 0} {
		if n, there := got[what]; !there || !(n == want) {
			t.Errorf("%s: %v, want %v (%v)", what, n, want, got)
		}
	}
	for outcome, want := range map[string]int{"failed": 2, "delivered": 1, "refused": 1} { // as terraform's log metric reads it
		if n := strings.Count(log.String(), `"msg":"webhook"`) + strings.Count(log.String(), `"message":"webhook"`); n != 4 || strings.Count(log.String(), `"outcome":"`+outcome+`"`) != want {
			t.Errorf("%d lines, %s:\n%s", n, outcome, log)
		}
	}
}
