package redisq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Newest implements queue.Events.
func (q *Queue) Newest(ctx context.Context) (string, error) {
	var found []redis.XMessage
	err := q.patiently(ctx, func(int) (err error) {
		found, err = q.redis.XRevRangeN(ctx, eventsKey, "+", "-", 1).Result()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("queue: newest event: %w", err)
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0].ID, nil
}

// turn is how long one command waits: a waiting one cannot be called off, so a reader whose context ends stays that long.
const turn = 250 * time.Millisecond

// After implements queue.Events. A waiting call holds a connection of the client's pool.
func (q *Queue) After(ctx context.Context, cursor string, n int, wait time.Duration) ([]queue.Transition, error) {
	if cursor == "" {
		cursor = "0"
	}
	for {
		block := time.Duration(-1) // do not wait; 0 would wait forever
		if wait > 0 {
			block = max(min(wait, turn), time.Millisecond)
		}
		found, err := q.read(ctx, cursor, n, block)
		if err == nil {
			err = ctx.Err()
		}
		if wait -= max(block, 0); err != nil || len(found) > 0 || wait <= 0 {
			return found, err
		}
	}
}

func (q *Queue) read(ctx context.Context, cursor string, n int, block time.Duration) ([]queue.Transition, error) {
	var streams []redis.XStream
	err := q.patiently(ctx, func(int) (err error) {
		streams, err = q.redis.XRead(ctx, &redis.XReadArgs{Streams: []string{eventsKey, cursor}, Count: int64(n), Block: block}).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: read events: %w", err)
	}
	var found []queue.Transition
	for _, s := range streams {
		for _, m := range s.Messages {
			t, err := transition(m)
			if err != nil {
				return found, fmt.Errorf("queue: event %s: %w", m.ID, err)
			}
			found = append(found, t)
		}
	}
	return found, nil
}

// transition reads an event that publish in lua/functions.lua wrote: six words, the last of which may have spaces.
func transition(m redis.XMessage) (queue.Transition, error) {
	event, _ := m.Values["event"].(string)
	words := strings.SplitN(event, " ", 6)
	if len(words) < 6 {
		return queue.Transition{}, fmt.Errorf("%q has no six words", event)
	}
	at, err := strconv.ParseInt(words[4], 10, 64)
	t := queue.Transition{ID: m.ID, RequestID: words[0], Stage: pipeline.Stage(words[1]), Status: pipeline.Status(words[2]),
		Kind: queue.Kind(words[3]), At: atMillis(at)}
	if err == nil && t.Kind == queue.Progress {
		t.Progress = new(pipeline.Progress)
		return t, json.Unmarshal([]byte(words[5]), t.Progress)
	}
	t.Code = words[5]
	return t, err
}
