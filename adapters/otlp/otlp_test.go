package otlp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/splatworks/splatworks/adapters/otlp"
)

// TestExport: a collector receives gauges, counters and histograms under their names, with labels, header and resource.
func TestExport(t *testing.T) {
	received := make(chan *collector.ExportMetricsServiceRequest, 4)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, zipped := gzip.NewReader(bytes.NewReader(body))
			if zipped == nil {
				body, err = io.ReadAll(z)
			}
		}
		var got collector.ExportMetricsServiceRequest
		if err = errors.Join(err, proto.Unmarshal(body, &got)); err != nil || r.URL.Path != "/v1/metrics" || r.Header.Get("X-Token") != "t" {
			t.Errorf("%s %v: %v", r.URL.Path, r.Header, err)
		}
		received <- &got
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Token=t")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")

	registry := prometheus.NewRegistry()
	tasks := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "splatworks_tasks", Help: "h"}, []string{"stage"})
	retries := prometheus.NewCounter(prometheus.CounterOpts{Name: "splatworks_retries_total", Help: "h"})
	waits := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "splatworks_queue_wait_seconds", Help: "h", Buckets: []float64{1, 10}})
	registry.MustRegister(tasks, retries, waits)
	tasks.WithLabelValues("train").Set(7)
	retries.Add(3)
	waits.Observe(5)
	e, err := otlp.Start(t.Context(), "operators", registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := (<-received).ResourceMetrics[0]
	attributes := map[string]string{}
	for _, a := range got.Resource.Attributes {
		attributes[a.Key] = a.Value.GetStringValue()
	}
	if attributes["service.name"] != "operators" || attributes["deployment.environment"] != "test" {
		t.Errorf("resource %v", attributes)
	}
	seen := 0
	for _, scope := range got.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch m.Name {
			case "splatworks_tasks":
				if p := m.GetGauge().DataPoints[0]; p.GetAsDouble() != 7 || p.Attributes[0].Key != "stage" || p.Attributes[0].Value.GetStringValue() != "train" {
					t.Errorf("%v", m)
				}
				seen++
			case "splatworks_retries_total":
				if s := m.GetSum(); !s.IsMonotonic || s.DataPoints[0].GetAsDouble() != 3 {
					t.Errorf("%v", m)
				}
				seen++
			case "splatworks_queue_wait_seconds":
				if p := m.GetHistogram().DataPoints[0]; p.Count != 1 || p.BucketCounts[1] != 1 {
					t.Errorf("%v", m)
				}
				seen++
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d of 3 metrics in %v", seen, got)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCollectorThatHangs costs no more than the caller's patience.
func TestCollectorThatHangs(t *testing.T) {
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer server.Close()
	defer close(over)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	e, err := otlp.Start(t.Context(), "operators", prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context) error{e.Flush, e.Close} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		cancel()
	}
}
