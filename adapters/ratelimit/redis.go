package ratelimit

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed admit.lua
var admitLua string

// Redis is a Limiter shared by everybody who uses the same Redis and the same prefix.
type Redis struct {
	rdb    redis.Scripter
	limit  Limit
	now    func() time.Time
	admit  *redis.Script
	prefix string
}

// NewRedis returns a Redis limiter whose keys begin with prefix.
func NewRedis(rdb redis.Scripter, prefix string, limit Limit, now func() time.Time) (*Redis, error) {
	if err := limit.Check(); err != nil {
		return nil, err
	}
	return &Redis{rdb, limit, now, redis.NewScript(admitLua), prefix}, nil
}

// Admit implements Limiter, in one round trip.
func (r *Redis) Admit(ctx context.Context, caller string) (time.Duration, error) {
	return r.admitWithin(ctx, caller, r.limit.Calls)
}

// key is where the calls of a caller are counted.
func (r *Redis) key(caller string) string { return rlKey(r.prefix, caller) }

// rlKey is the key of somebody. The hash bounds it and keeps addresses and API keys out of it.
func rlKey(prefix, who string) string {
	sum := sha256.Sum256([]byte(who))
	return prefix + "{rl}:c:" + hex.EncodeToString(sum[:16])
}

func (r *Redis) admitWithin(ctx context.Context, caller string, calls int) (time.Duration, error) {
	wait, err := r.admit.Run(ctx, r.rdb, []string{r.key(caller)}, r.now().UnixMicro(), r.limit.Window.Microseconds(), calls).Int64()
	if err != nil {
		return 0, fmt.Errorf("ask the rate limit: %w", err)
	}
	return time.Duration(wait) * time.Microsecond, nil
}
