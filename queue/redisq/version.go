package redisq

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// The hash tag of every key carries the version of the state, which lua/keys.lua describes. A change that older state does not
// satisfy takes the next number here and in the scripts: then the queue is empty, so it is not whole, and the reaper rebuilds it from
// the buckets.
const (
	tag       = "{q4}"
	eventsKey = tag + "events"
	countsKey = tag + "counts"
	// repeatsKey counts events that came twice, by stage.
	repeatsKey = tag + "repeats"
	wholeKey   = tag + "whole"
)

// older are the states of older versions: the hash tag of their keys, and one that exists as long as anything was ever submitted.
var older = []struct{ tag, mark string }{
	{"{q}", "{q}version"}, // versions 1 and 2
	{"{q3}", "{q3}counts"},
}

// Prepare removes the state of an older program, whose workers lose their leases by that. This queue is then not whole, though it may
// have been: requests may have come and gone meanwhile.
func (q *Queue) Prepare(ctx context.Context) error {
	for _, o := range older {
		err := q.patiently(ctx, func(int) error {
			n, err := q.redis.Exists(ctx, o.mark).Result()
			if err != nil || n == 0 {
				return err
			}
			if err := q.redis.Del(ctx, wholeKey).Err(); err != nil {
				return err
			}
			if err := unlinkAll(ctx, q.redis, o.tag+"*", o.mark); err != nil {
				return err
			}
			return q.redis.Unlink(ctx, o.mark).Err() // the last, so that a program that dies here leaves the rest to the next
		})
		if err != nil {
			return fmt.Errorf("queue: remove the state of an older version: %w", err)
		}
	}
	return nil
}

// unlinkAll removes every key that matches the pattern but one.
func unlinkAll(ctx context.Context, client *redis.Client, pattern, but string) error {
	cursor := uint64(0)
	for {
		keys, next, err := client.Scan(ctx, cursor, pattern, 1000).Result()
		if err != nil {
			return err
		}
		var found []string
		for _, key := range keys {
			if key != but {
				found = append(found, key)
			}
		}
		if len(found) > 0 {
			if err := client.Unlink(ctx, found...).Err(); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
