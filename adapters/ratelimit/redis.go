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
	sum := sha256.Sum256([]byte(caller)) // bounds the key and keeps addresses and API keys out of it
	keys := []string{r.prefix + "{rl}:c:" + hex.EncodeToString(sum[:16])}
	wait, err := r.admit.Run(ctx, r.rdb, keys, r.now().UnixMicro(), r.limit.Window.Microseconds(), r.limit.Calls).Int64()
	if err != nil {
		return 0, fmt.Errorf("ask the rate limit: %w", err)
	}
	return time.Duration(wait) * time.Microsecond, nil
}
