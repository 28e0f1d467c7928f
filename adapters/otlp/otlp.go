// Package otlp sends metrics to an OpenTelemetry collector, over OTLP/HTTP. Where to, with which headers, how often and with which
// attributes say the variables that OpenTelemetry defines (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
// OTEL_METRIC_EXPORT_INTERVAL, OTEL_RESOURCE_ATTRIBUTES; https://opentelemetry.io/docs/specs/otel/protocol/exporter).
package otlp

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Exporter sends what a gatherer has, each minute unless the environment says otherwise, until it is closed.
type Exporter struct{ provider *metric.MeterProvider }

// Start starts an exporter for a service. What cannot be sent is logged and lost: the next export has the sums.
func Start(ctx context.Context, service string, metrics prometheus.Gatherer, log *slog.Logger) (*Exporter, error) {
	exporter, err := otlpmetrichttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics over OTLP: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("metrics over OTLP: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("metrics not exported", "error", err.Error()) }))
	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(metrics))))
	return &Exporter{metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(about))}, nil
}

// Flush sends now.
func (e *Exporter) Flush(ctx context.Context) error { return e.provider.ForceFlush(ctx) }

// Close sends what there is and ends the exporter.
func (e *Exporter) Close(ctx context.Context) error { return e.provider.Shutdown(ctx) }
