package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/splatworks/splatworks/adapters/otlp"
	"github.com/splatworks/splatworks/functions/operators"
	"github.com/splatworks/splatworks/internal/serve"
)

// RunOperators hosts the operators' API and the reaper's tick.
func RunOperators(ctx context.Context, log *slog.Logger) error {
	return withParts(ctx, log, uses{queue: true, store: true, publisher: true, launcher: true}, func(c Config, parts *Parts) error {
		api, err := parts.Operators()
		if err != nil {
			return err
		}
		stop, err := parts.ExportMetrics(ctx, api)
		if err != nil {
			return err
		}
		defer stop()
		server := OperatorsServer(api, log, ":"+c.Port)
		server.Handler = parts.awaited.Gate(server.Handler)
		return parts.serve(ctx, server)
	})
}

// OperatorsServer hosts the operators' API.
func OperatorsServer(api *operators.Service, log *slog.Logger, listen string) serve.Server {
	return serve.Server{Listen: listen, Handler: serve.Hardening{Log: log}.Wrap(api.Handler()), Log: log, WriteTimeout: operators.LongestCall + time.Minute}
}

// Operators is the operators' API.
func (p *Parts) Operators() (*operators.Service, error) {
	var also prometheus.Gatherer
	if p.Deliveries != nil {
		deliveries := prometheus.NewRegistry()
		deliveries.MustRegister(p.Deliveries)
		also = deliveries
	}
	return operators.New(operators.Config{
		Also:  also,
		Queue: p.Queue, Reaper: p.Reaper(), Staffing: p.Staffing(), Slots: p.config.Limits(), Store: p.Store, Buckets: p.Buckets, Log: p.Log,
		Now: p.config.Now, Random: rand.Reader, Ended: p.Ended, AskKeys: p.config.keysAsked(), Declared: []byte(p.config.Declared),
	})
}

// ExportMetrics sends the metrics of the operators' API to a collector, where there is one, until stop is called.
func (p *Parts) ExportMetrics(ctx context.Context, api *operators.Service) (stop func(), err error) {
	if p.config.OTLP == "" {
		return func() {}, nil
	}
	exporter, err := otlp.Start(ctx, "splatworks-operators", api, p.Log)
	if err != nil {
		return nil, err
	}
	api.Export = exporter.Flush
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := exporter.Close(ctx); err != nil {
			p.Log.Warn("metrics not exported", "error", err.Error())
		}
	}, nil
}
