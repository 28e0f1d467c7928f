package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/services/requests"
)

// RunRequests hosts the operators' API and the reaper's tick.
func RunRequests(ctx context.Context, log *slog.Logger) error {
	return withParts(ctx, log, uses{queue: true, store: true, publisher: true, launcher: true}, func(c Config, parts *Parts) error {
		api, err := parts.Requests()
		if err != nil {
			return err
		}
		server := OperatorsServer(api, log, ":"+c.Port)
		server.Handler = parts.awaited.Gate(server.Handler)
		return parts.serve(ctx, server)
	})
}

// OperatorsServer hosts the operators' API.
func OperatorsServer(api *requests.Service, log *slog.Logger, listen string) serve.Server {
	return serve.Server{Listen: listen, Handler: serve.Hardening{Log: log}.Wrap(api.Handler()), Log: log, WriteTimeout: requests.LongestCall + time.Minute}
}

// Requests is the operators' API.
func (p *Parts) Requests() (*requests.Service, error) {
	return requests.New(requests.Config{
		Queue: p.Queue, Reaper: p.Reaper(), Staffing: p.Staffing(), Slots: p.config.Limits(), Store: p.Store, Buckets: p.Buckets, Log: p.Log,
		Now: time.Now, Random: rand.Reader, Ended: p.Ended,
	})
}
