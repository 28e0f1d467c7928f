package redisq

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Version of the state that this program keeps in Redis, in {q}version. A change to lua/keys.lua that older records do not
// satisfy raises it and adds a migration.
const Version = 1

const versionKey = "{q}version"

// migration changes state of one version into that of the next. It must be safe to run twice and while older and newer
// programs work: first it makes what both understand, and it is not undone.
type migration func(ctx context.Context, client *redis.Client) error

// migrations by the version they start from.
var migrations = map[int]migration{}

// migrate brings state up to version. State of a newer program is refused: it would be misread.
func (q *Queue) migrate(ctx context.Context, version int, steps map[int]migration) error {
	for {
		var text string
		err := q.patiently(ctx, func(int) (err error) {
			// An empty database is of the newest version.
			if err := q.redis.SetNX(ctx, versionKey, version, 0).Err(); err != nil {
				return err
			}
			text, err = q.redis.Get(ctx, versionKey).Result()
			return err
		})
		if err != nil {
			return fmt.Errorf("queue: version of the state: %w", err)
		}
		found, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return fmt.Errorf("queue: version of the state: %w", err)
		case found == version:
			return nil
		case found > version:
			return fmt.Errorf("queue: the state has version %d and this program knows up to %d: use the newer program", found, version)
		case steps[found] == nil:
			return fmt.Errorf("queue: no migration from version %d", found)
		}
		if err := steps[found](ctx, q.redis); err != nil {
			return fmt.Errorf("queue: migrate from version %d: %w", found, err)
		}
		// Another program may have been faster, which is as good.
		err = q.redis.Watch(ctx, func(tx *redis.Tx) error {
			if now, err := tx.Get(ctx, versionKey).Int(); err != nil || now != found {
				return err
			}
			_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, versionKey, found+1, 0).Err() })
			return err
		}, versionKey)
		if err != nil && !errors.Is(err, redis.TxFailedErr) {
			return fmt.Errorf("queue: note version %d: %w", found+1, err)
		}
	}
}
