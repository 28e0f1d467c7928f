package operators

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// metricsFormat is Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats.
const metricsFormat = "text/plain; version=0.0.4; charset=utf-8"

// newProgram counts what this program uses.
func newProgram() *prometheus.Registry {
	program := prometheus.NewRegistry()
	program.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return program
}

// gathered is what the queue holds, what happened in it, and what this program uses.
func (s *Service) gathered(ctx context.Context) (prometheus.Gatherer, error) {
	stages, err := s.Queue.Counts(ctx)
	if err != nil {
		return nil, err
	}
	statuses, err := s.Queue.StatusCounts(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.happened.update(ctx); err != nil {
		return nil, err
	}
	repeats, err := s.Queue.Repeats(ctx)
	if err != nil {
		return nil, err
	}
	all := prometheus.Gatherers{gauges(stages, statuses, s.Slots, s.Now()), repeated(repeats), s.happened.registry, s.program}
	if s.Also != nil {
		all = append(all, s.Also)
	}
	return all, nil
}

// Gather makes the service a prometheus.Gatherer of what GET /metrics serves.
func (s *Service) Gather() ([]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	now, err := s.gathered(ctx)
	if err != nil {
		return nil, err
	}
	return now.Gather()
}

// metrics serves GET /metrics, for Prometheus to scrape.
func (s *Service) metrics() http.HandlerFunc {
	return serve.Poll(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		now, err := s.gathered(ctx)
		if err != nil {
			s.problem(w, r, err)
			return
		}
		body, err := written(now)
		if err != nil {
			s.problem(w, r, err)
			return
		}
		w.Header().Set("Content-Type", metricsFormat)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // the caller has gone: nobody to tell
	})
}

// gauges are the metrics of the queue at a time. Names and labels are in docs/operations.md.
func gauges(stages map[pipeline.Stage]queue.StageCounts, statuses map[pipeline.Status]int, slots map[pipeline.Stage]int, now time.Time) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "splatworks", Name: name, Help: help}, labels)
		registry.MustRegister(g)
		return g
	}
	requests := gauge("requests", "Requests that the queue knows.", "status")
	tasks := gauge("tasks", "Tasks of a stage: ready, leased by a worker, or delayed until a retry.", "stage", "state")
	oldest := gauge("oldest_ready_seconds", "How long the longest waiting ready task of a stage has waited.", "stage")
	workers := gauge("workers", "Slots of a stage that workers have taken.", "stage")
	limits := gauge("workers_limit", "How many workers a stage may have at once.", "stage")
	for _, status := range everyStatus {
		requests.WithLabelValues(string(status)).Set(float64(statuses[status]))
	}
	for _, stage := range pipeline.Stages() {
		c, name := stages[stage], string(stage)
		tasks.WithLabelValues(name, "ready").Set(float64(c.Ready))
		tasks.WithLabelValues(name, "leased").Set(float64(c.Leased))
		tasks.WithLabelValues(name, "delayed").Set(float64(c.Delayed))
		waited := 0.0
		if !c.OldestReady.IsZero() {
			waited = now.Sub(c.OldestReady).Seconds()
		}
		oldest.WithLabelValues(name).Set(waited)
		workers.WithLabelValues(name).Set(float64(c.Slots))
		limits.WithLabelValues(name).Set(float64(slots[stage]))
	}
	return registry
}

// repeated are the events that the queue dropped. It counts them itself, for all instances.
func repeated(repeats map[pipeline.Stage]int) prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "splatworks", Name: "events_repeated_total",
		Help: "Events that were dropped because their task was known: delivered again, or twice."}, []string{"stage"})
	registry.MustRegister(dropped)
	for _, stage := range pipeline.Stages() {
		dropped.WithLabelValues(string(stage)).Add(float64(repeats[stage]))
	}
	return registry
}

// written is what a gatherer has, as text.
func written(from prometheus.Gatherer) ([]byte, error) {
	families, err := from.Gather()
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&body, family); err != nil {
			return nil, err
		}
	}
	return body.Bytes(), nil
}
