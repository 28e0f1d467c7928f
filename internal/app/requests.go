package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/services/requests"
)

// rebuildTimeout bounds a call of the operators' API: a rebuild reads every record.
const rebuildTimeout = 15 * time.Minute

// RunRequests hosts the operators' API and the reaper's tick.
func RunRequests(ctx context.Context, log *slog.Logger) error {
	return withParts(ctx, log, func(c Config, parts *Parts) error {
		api, err := parts.Requests()
		if err != nil {
			return err
		}
		return serve.Server{Listen: ":" + c.Port, Handler: serve.Hardening{Log: log}.Wrap(api.Handler()), Log: log, WriteTimeout: rebuildTimeout}.Run(ctx)
	})
}

// Requests is the operators' API.
func (p *Parts) Requests() (*requests.Service, error) {
	return requests.New(requests.Config{
		Queue: p.Queue, Reaper: p.Reaper(), Staffing: p.Staffing(), Store: p.Store, Buckets: p.Buckets, Log: p.Log,
		Now: time.Now, Random: rand.Reader, Ended: p.Ended,
	})
}
