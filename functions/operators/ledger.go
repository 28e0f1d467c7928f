package operators

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// ledger counts what the queue's transitions say. It reads them from the oldest that is kept, so instances that started at different
// times have counted nearly the same: those that started later miss what is no longer kept.
type ledger struct {
	queue interface { // queue.Events
		After(ctx context.Context, cursor string, n int, wait time.Duration) ([]queue.Transition, error)
	}
	registry *prometheus.Registry
	waits    *prometheus.HistogramVec
	works    *prometheus.HistogramVec
	expired  *prometheus.CounterVec
	retries  *prometheus.CounterVec
	ended    *prometheus.CounterVec

	mu      sync.Mutex
	cursor  string
	waiting map[string]time.Time // request -> since when its task is ready
	working map[string]time.Time // request -> when its task was claimed
}

// seconds are the buckets of both histograms: from a tenth of a second to half a day.
var seconds = prometheus.ExponentialBuckets(0.1, 2.5, 15)

func newLedger(events interface {
	After(ctx context.Context, cursor string, n int, wait time.Duration) ([]queue.Transition, error)
}) *ledger {
	l := &ledger{queue: events, registry: prometheus.NewRegistry(), waiting: map[string]time.Time{}, working: map[string]time.Time{}}
	histogram := func(name, help string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "splatworks", Name: name, Help: help, Buckets: seconds}, []string{"stage"})
		l.registry.MustRegister(h)
		return h
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "splatworks", Name: name, Help: help}, labels)
		l.registry.MustRegister(c)
		return c
	}
	l.waits = histogram("queue_wait_seconds", "How long tasks were ready before a worker claimed them.")
	l.works = histogram("stage_seconds", "How long workers took for tasks that they completed, from claim to completion.")
	l.expired = counter("lease_expiries_total", "Leases that ran out because their worker fell silent.", "stage")
	l.retries = counter("retries_total", "Attempts that failed and were followed by another, by the code of the failure.", "stage", "code")
	l.ended = counter("requests_ended_total", "Requests that ended, by status and, where they FAILED, by the code of the failure.", "status", "code")
	for _, s := range pipeline.Stages() { // present from the start, so that a rate sees the first one
		l.waits.WithLabelValues(string(s))
		l.works.WithLabelValues(string(s))
		l.expired.WithLabelValues(string(s))
	}
	return l
}

// batch is how many transitions one call reads; the queue keeps some hundred thousand.
const batch = 2000

// update reads what happened since the last time.
func (l *ledger) update(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		transitions, err := l.queue.After(ctx, l.cursor, batch, 0)
		if err != nil {
			return err
		}
		for _, t := range transitions {
			l.note(t)
			l.cursor = t.ID
		}
		if len(transitions) < batch {
			return nil
		}
	}
}

func (l *ledger) note(t queue.Transition) {
	id, stage := t.RequestID, string(t.Stage)
	switch t.Kind {
	case queue.Enqueued, queue.Ready, queue.GivenBack:
		l.waiting[id] = t.At
	case queue.Expired:
		l.expired.WithLabelValues(stage).Inc()
		l.waiting[id] = t.At
	case queue.Claimed:
		took(l.waits, l.waiting, id, stage, t.At)
		l.working[id] = t.At
	case queue.Completed:
		took(l.works, l.working, id, stage, t.At)
	case queue.Retry:
		l.retries.WithLabelValues(stage, t.Code).Inc()
	}
	if t.Status.Terminal() {
		delete(l.waiting, id)
		delete(l.working, id)
		if t.Kind != queue.Restored { // it had ended before
			l.ended.WithLabelValues(string(t.Status), t.Code).Inc()
		}
	}
}

// took notes how long a wait or an attempt was. One whose beginning is no longer kept is left out.
func took(h *prometheus.HistogramVec, began map[string]time.Time, id, stage string, at time.Time) {
	since, known := began[id]
	delete(began, id)
	if known {
		h.WithLabelValues(stage).Observe(max(0, at.Sub(since).Seconds()))
	}
}
