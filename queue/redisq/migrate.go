package redisq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Version of the state that this program keeps in Redis, in {q}version. A change to lua/keys.lua that older records do not
// satisfy raises it and adds a migration.
const Version = 2

const (
	versionKey   = "{q}version"
	migratingKey = "{q}migrating"
)

// migration changes state of one version into that of the next. It must be safe to run twice and while older and newer
// programs work: first it makes what both understand, and it is not undone.
type migration func(ctx context.Context, client *redis.Client) error

// migrations by the version they start from.
func (q *Queue) migrations() map[int]migration {
	return map[int]migration{1: q.sessionsByCaller}
}

// sessionsByCaller files the sessions of callers with API keys under their caller. A session that an older program takes meanwhile
// is not known to newer ones.
func (q *Queue) sessionsByCaller(ctx context.Context, client *redis.Client) error {
	const prefix = "{q}r"
	records := client.ScanType(ctx, 0, prefix+"*", 1000, "hash").Iterator()
	for records.Next(ctx) {
		id := strings.TrimPrefix(records.Val(), prefix)
		if err := q.scripts["by_caller"].Run(ctx, client, tag, 0, q.now().UnixMilli(), id).Err(); err != nil {
			return fmt.Errorf("session of %s: %w", id, err)
		}
	}
	return records.Err()
}

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
		if err := q.step(ctx, found, steps[found]); err != nil {
			return fmt.Errorf("queue: migrate from version %d: %w", found, err)
		}
	}
}

// A migration is done by one program while the others wait, so that no step runs after a later one. A program that dies at
// it blocks the others for migrationTime at most.
const (
	migrationTime = 5 * time.Minute
	migrationPoll = 50 * time.Millisecond
)

// step runs one migration unless another program does or did, which is as good: the caller looks again.
func (q *Queue) step(ctx context.Context, found int, run migration) error {
	token := rand.Text()
	mine, err := q.redis.SetNX(ctx, migratingKey, token, migrationTime).Result()
	if err != nil {
		return err
	}
	if !mine {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(migrationPoll):
			return nil
		}
	}
	err = q.stepAlone(ctx, found, run)
	release := q.redis.Watch(context.WithoutCancel(ctx), func(tx *redis.Tx) error {
		if holder, err := tx.Get(ctx, migratingKey).Result(); err != nil || holder != token {
			return err
		}
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Del(ctx, migratingKey).Err() })
		return err
	}, migratingKey)
	if errors.Is(release, redis.TxFailedErr) || errors.Is(release, redis.Nil) {
		release = nil // it had run out
	}
	return errors.Join(err, release)
}

func (q *Queue) stepAlone(ctx context.Context, found int, run migration) error {
	now, err := q.redis.Get(ctx, versionKey).Int()
	if err != nil || now != found {
		return err
	}
	if err := run(ctx, q.redis); err != nil {
		return err
	}
	return q.redis.Set(ctx, versionKey, found+1, 0).Err()
}
