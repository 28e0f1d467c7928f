package redisq

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	// Whoever emptied Redis took the version, too.
	if err := q.migrate(ctx, Version, q.migrations()); err != nil {
		return did, err
	}
	answers, err := q.calls(ctx, "restore", now, len(args), 1, func(i int) []any { return args[i] })
	if err != nil {
		return did, err
	}
	did.Records = len(records)
	var tasks []queue.Task
	for i, v := range answers {
		status, ok := v.(string)
		if !ok {
			return did, fmt.Errorf("restore %s: %w", records[i].Request.ID, unexpected("restore", v))
		}
		status, known := strings.CutPrefix(status, "+")
		if !known {
			did.Requests++
		}
		if t, ok := records[i].Next(); ok && !letterStatuses[status].Terminal() {
			tasks = append(tasks, t)
		}
	}
	results, err := q.EnqueueAll(ctx, tasks)
	for i, r := range results {
		switch {
		case r.Err == nil && r.Added:
			did.Tasks++
		case r.Err != nil && r.Err != queue.ErrTerminal && r.Err != queue.ErrNotFound: // ended or forgotten meanwhile
			return did, fmt.Errorf("restore %s: %w", tasks[i].RequestID, r.Err)
		}
	}
	return did, err
}

func restoreArgs(r queue.Record, now time.Time) ([]any, error) {
	submit, err := submitArgs(r.Request)
	if err != nil {
		return nil, err
	}
	status, failure := pipeline.Queued, ""
	at := r.At
	if at.IsZero() {
		at = now
	}
	var fields []any
	if r.Done != "" {
		status = pipeline.Processing
		if _, more := r.Done.Next(); !more {
			status = pipeline.Completed
		}
		fields = append(fields, "g", stageLetters[r.Done], "D", stageLetters[r.Done])
		m := objectFields(r.Request.ID, r.Manifest)
		fields = append(fields, "m", m[0], "mg", m[1])
	}
	if o := r.Outcome; o != nil && status != pipeline.Completed {
		if !o.Status.Terminal() {
			return nil, fmt.Errorf("outcome %q is none", o.Status)
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
		fields = append(fields, "u", when)
	}
	if status.Terminal() {
		fields = append(fields, "y", when)
	}
	args := append(submit[:4:4], statusLetters[status], when, failure)
	return append(append(args, fields...), submit[4:]...), nil
}

// wholeKey is WHOLE in lua/keys.lua.
const wholeKey = "{q}whole"

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

// SetWhole implements queue.Restorer.
func (q *Queue) SetWhole(ctx context.Context) error {
	err := q.patiently(ctx, func(int) error { return q.redis.Set(ctx, wholeKey, "1", 0).Err() })
	if err != nil {
		return fmt.Errorf("queue: set whole: %w", err)
	}
	return nil
}
