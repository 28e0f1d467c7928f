package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

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
	return operators.New(operators.Config{
		Queue: p.Queue, Reaper: p.Reaper(), Staffing: p.Staffing(), Slots: p.config.Limits(), Store: p.Store, Buckets: p.Buckets, Log: p.Log,
		Now: p.config.Now, Random: rand.Reader, Ended: p.Ended, AskKeys: p.config.keysAsked(), Declared: []byte(p.config.Declared),
	})
}
