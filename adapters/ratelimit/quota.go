package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Quota admits as a limiter does, at most a number in any window, where each caller's number is its own and what was taken can be returned.
type Quota struct {
	limiter *Redis
	rdb     redis.Cmdable
}

// NewQuota returns a Quota shared by everybody who uses the same Redis and the same prefix.
func NewQuota(rdb redis.Cmdable, prefix string, window time.Duration, now func() time.Time) (*Quota, error) {
	limiter, err := NewRedis(rdb, prefix, Limit{Calls: 1, Window: window}, now)
	return &Quota{limiter, rdb}, err
}

// Take counts one of the most that caller may take in a window (0, nil), in one step, or says how long until there is one. most may differ
// from call to call: it holds for the window that ends now.
func (q *Quota) Take(ctx context.Context, caller string, most int) (retryAfter time.Duration, err error) {
	return q.limiter.admitWithin(ctx, caller, most)
}

// Return takes back the newest of what a caller took: it was not used. Returning what is no longer counted is no error.
func (q *Quota) Return(ctx context.Context, caller string) error {
	err := q.rdb.LPop(ctx, q.limiter.key(caller)).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("return to the quota: %w", err)
	}
	return nil
}
