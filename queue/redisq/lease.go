package redisq

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// lease is one claim. What never changes about it was copied when it was made.
type lease struct {
	q         *Queue
	task      queue.Task
	request   pipeline.Request
	attempt   int
	exhausted int
	fence     int64
	failure   *pipeline.Failure

	mu        sync.Mutex
	expiresAt time.Time
	over      bool // finished through this value
}

func (l *lease) Task() queue.Task               { return l.task }
func (l *lease) Request() pipeline.Request      { return l.request }
func (l *lease) Attempt() int                   { return l.attempt }
func (l *lease) Fence() int64                   { return l.fence }
func (l *lease) LastFailure() *pipeline.Failure { return l.failure }

func (l *lease) ExpiresAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expiresAt
}

// call runs one of the scripts that only the holder of the lease may run.
func (l *lease) call(ctx context.Context, script string, now time.Time, args ...any) error {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over {
		return queue.ErrLeaseLost
	}
	n, err := l.q.number(ctx, script, now, append([]any{l.task.RequestID, l.fence, stageLetters[l.task.Stage]}, args...)...)
	switch {
	case err != nil:
		return err
	case n == -1:
		return queue.ErrLeaseLost
	case n == -2:
		return queue.ErrCanceled
	}
	return nil
}

// finish is call for what ends the lease.
func (l *lease) finish(ctx context.Context, script string, now time.Time, args ...any) error {
	err := l.call(ctx, script, now, args...)
	if err == nil {
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
	}
	return err
}

func (l *lease) Heartbeat(ctx context.Context, p pipeline.Progress) error {
	progress, err := line(p)
	if err != nil {
		return err
	}
	warning := ""
	if p.Warning != nil {
		if warning, err = line(p.Warning); err != nil {
			return err
		}
	}
	now := l.q.now()
	until := now.Add(l.q.cfg.LeaseFor)
	if err := l.call(ctx, "heartbeat", now, until.UnixMilli(), progress, warning, queue.MaxWarnings); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiresAt = until
	return nil
}

func (l *lease) Complete(ctx context.Context, manifest pipeline.Object) error {
	last := 1
	if _, more := l.task.Stage.Next(); more {
		last = 0
	}
	m := objectFields(l.task.RequestID, manifest)
	return l.finish(ctx, "complete", l.q.now(), last, m[0], m[1])
}

func (l *lease) Fail(ctx context.Context, f *pipeline.Failure) (retry bool, err error) {
	if f == nil {
		return false, errors.New("fail: no failure given")
	}
	told := *f
	if told.Stage == "" {
		told.Stage = l.task.Stage
	}
	text, err := line(told)
	if err != nil {
		return false, err
	}
	now := l.q.now()
	var at any = ""
	exhausted := 0
	if retry = l.q.cfg.Retry(f, l.attempt, l.exhausted); retry {
		at = now.Add(l.q.cfg.Backoff(l.attempt)).UnixMilli()
		if f.Kind == pipeline.ExhaustedResources {
			exhausted = 1
		}
	}
	if err := l.finish(ctx, "fail", now, text, f.Code, at, exhausted); err != nil {
		return false, err
	}
	return retry, nil
}

func (l *lease) GiveBack(ctx context.Context) error {
	return l.finish(ctx, "giveback", l.q.now())
}
