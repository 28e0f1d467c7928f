// Package sharedsecret agrees on one random secret among all instances of a service: the first to ask draws it and keeps
// it in Redis, the others find it. It suits secrets whose loss only costs convenience, since Redis may lose them.
package sharedsecret

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"github.com/redis/go-redis/v9"
)

const secretBytes = 32

// Redis returns a function that yields the secret kept under key, drawing it when there is none. Safe for concurrent use;
// Redis is asked until it answered once.
func Redis(rdb redis.Cmdable, key string, random io.Reader) func(context.Context) ([]byte, error) {
	var mu sync.Mutex
	var known []byte
	return func(ctx context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil {
			return known, nil
		}
		drawn := make([]byte, secretBytes)
		if _, err := io.ReadFull(random, drawn); err != nil {
			return nil, fmt.Errorf("draw secret: %w", err)
		}
		if err := rdb.SetNX(ctx, key, hex.EncodeToString(drawn), 0).Err(); err != nil {
			return nil, fmt.Errorf("offer secret: %w", err)
		}
		text, err := rdb.Get(ctx, key).Result()
		if err != nil {
			return nil, fmt.Errorf("read secret: %w", err)
		}
		secret, err := hex.DecodeString(text)
		if err != nil || len(secret) != secretBytes {
			return nil, fmt.Errorf("secret %s is not %d bytes in hex", key, secretBytes)
		}
		known = secret
		return known, nil
	}
}
