package notify

import "github.com/prometheus/client_golang/prometheus"

// Outcomes of one try to deliver a webhook or a mail.
const (
	delivered = "delivered"
	refused   = "refused" // for good: no other try follows
	failed    = "failed"  // another try follows
)

// Deliveries counts tries, for the metrics of the program that hosts the function. A nil one counts nothing.
type Deliveries struct{ tries *prometheus.CounterVec }

// NewDeliveries has counted nothing.
func NewDeliveries() *Deliveries {
	d := &Deliveries{prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "splatworks", Name: "deliveries_total",
		Help: "Tries to deliver webhooks and mails, by outcome: delivered, refused for good, or failed and to be repeated. try is first or later."}, []string{"way", "outcome", "try"})}
	for _, outcome := range []string{delivered, refused, failed} { // present from the start, so that a rate sees the first one
		d.tries.WithLabelValues(webhooks.name, outcome, "first")
	}
	return d
}

// Describe and Collect make it a prometheus.Collector.
func (d *Deliveries) Describe(c chan<- *prometheus.Desc) { d.tries.Describe(c) }

// Collect is the other half.
func (d *Deliveries) Collect(c chan<- prometheus.Metric) { d.tries.Collect(c) }

func (d *Deliveries) note(w way, outcome string, later bool) {
	if d == nil {
		return
	}
	try := "first"
	if later {
		try = "later"
	}
	d.tries.WithLabelValues(w.name, outcome, try).Inc()
}
