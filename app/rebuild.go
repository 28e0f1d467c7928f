package app

import (
	"context"
	"log/slog"

	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/redisq"
)

// Rebuild brings the queue that the environment names up to what its buckets hold.
func Rebuild(ctx context.Context, log *slog.Logger) (rebuilt queue.Rebuilt, err error) {
	err = withParts(ctx, log, uses{queue: true, store: true}, func(_ Config, parts *Parts) error {
		if err := parts.wait(ctx, redisq.Patience); err != nil {
			return err
		}
		rebuilt, err = parts.Rebuild(ctx)
		return err
	})
	return rebuilt, err
}

// Rebuild brings the queue up to what the buckets hold.
func (p *Parts) Rebuild(ctx context.Context) (queue.Rebuilt, error) {
	return queue.Rebuild(ctx, p.Queue, stage.Archive{Store: p.Store, Buckets: p.Buckets}.Records(ctx))
}
