package redisq

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// SetPause sets the first pause between two tries.
func (q *Queue) SetPause(d time.Duration) { q.pause = d }

// SetPatience sets how long a call keeps trying.
func (q *Queue) SetPatience(d time.Duration) { q.patience = d }

// Migrate brings state to a version by the steps given.
func (q *Queue) Migrate(ctx context.Context, version int, steps map[int]func(context.Context, *redis.Client) error) error {
	m := map[int]migration{}
	for from, step := range steps {
		m[from] = step
	}
	return q.migrate(ctx, version, m)
}
