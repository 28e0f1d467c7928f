package redisq

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Restore implements queue.Restorer.
func (q *Queue) Restore(ctx context.Context, records []queue.Record) (queue.Rebuilt, error) {
	var did queue.Rebuilt
	now := q.now()
	args := make([][]any, len(records))
	for i, r := range records {
		var err error
		if args[i], err = restoreArgs(r, now); err != nil {
			return did, fmt.Errorf("restore %s: %w", r.Request.ID, err)
		}
	}
	restored, err := q.callAll(ctx, "restore", now, args)
	if err != nil {
		return did, err
	}
	did.Records = len(records)
	var tasks [][]any
	for i, answer := range restored {
		pair, _ := answer.([]any)
		if len(pair) != 2 {
			return did, fmt.Errorf("restore %s: %w", records[i].Request.ID, unexpected("restore", answer))
		}
		status, _ := pair[0].(string)
		if pair[1] == int64(1) {
			did.Requests++
		}
		if t, ok := records[i].Next(); ok && !pipeline.Status(status).Terminal() {
			tasks = append(tasks, append(q.enqueueArgs(t), 0))
		}
	}
	enqueued, err := q.callAll(ctx, "enqueue", now, tasks)
	for _, answer := range enqueued {
		if answer == "added" { // else it was known, or its request has finished or was forgotten meanwhile
			did.Tasks++
		}
	}
	return did, err
}

// restoreArgs are the arguments of lua/restore.lua.
func restoreArgs(r queue.Record, now time.Time) ([]any, error) {
	args, err := identityArgs(r.Request)
	if err != nil {
		return nil, err
	}
	submitted, err := submission(r.Request)
	if err != nil {
		return nil, err
	}
	fields := []any{"updated", r.Request.CreatedAt.UnixMilli()}
	status, failure := pipeline.Queued, ""
	at := r.At
	if at.IsZero() {
		at = now
	}
	if r.Done != "" {
		status = pipeline.Processing
		if _, more := r.Done.Next(); !more {
			status = pipeline.Completed
		}
		fields = append(fields, "stage", string(r.Done), "done_stage", string(r.Done))
		fields = append(fields, objectFields("manifest", r.Manifest)...)
	}
	if o := r.Outcome; o != nil && status != pipeline.Completed {
		if !o.Status.Terminal() {
			return nil, fmt.Errorf("%q is not the status of a finished request", o.Status)
		}
		status, at = o.Status, o.At
		if o.Failure != nil {
			if failure, err = line(o.Failure); err != nil {
				return nil, err
			}
		}
	}
	var when any = ""
	if status != pipeline.Queued {
		when = at.UnixMilli()
		fields = append(fields, "updated", when)
	}
	if status.Terminal() {
		fields = append(fields, "finished", when)
	}
	stages := pipeline.Stages()
	args = append(args, string(stages[len(stages)-1]), string(status), when, failure, queue.Recent.Milliseconds(), submitted)
	return append(args, fields...), nil
}

// Whole implements queue.Restorer.
func (q *Queue) Whole(ctx context.Context) (bool, error) {
	var n int64
	err := q.patiently(ctx, func(int) (err error) {
		n, err = q.redis.Exists(ctx, wholeKey).Result()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("queue: whole: %w", err)
	}
	return n == 1, nil
}

// restoreTime is how long the beginning of a rebuild is kept whose program died.
const restoreTime = 24 * time.Hour

func rebuildKey(rebuild string) string { return tag + "rebuild:" + rebuild }

// BeginRestore implements queue.Restorer.
func (q *Queue) BeginRestore(ctx context.Context, rebuild string) error {
	err := q.patiently(ctx, func(int) error { return q.redis.Set(ctx, rebuildKey(rebuild), "1", restoreTime).Err() })
	if err != nil {
		return fmt.Errorf("queue: begin to restore: %w", err)
	}
	return nil
}

// SetWhole implements queue.Restorer: the note of the beginning becomes that of the end, if it is still there. Where the answer is lost, the
// repetition finds no beginning, and the caller looks at Whole again before it does anything.
func (q *Queue) SetWhole(ctx context.Context, rebuild string) error {
	err := q.patiently(ctx, func(int) error {
		_, err := q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Rename(ctx, rebuildKey(rebuild), wholeKey)
			p.Persist(ctx, wholeKey)
			return nil
		})
		return err
	})
	if redis.HasErrorPrefix(err, "no such key") {
		return queue.ErrLostAgain
	}
	if err != nil {
		return fmt.Errorf("queue: set whole: %w", err)
	}
	return nil
}
