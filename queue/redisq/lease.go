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
	worker    string
	task      queue.Task
	request   pipeline.Request
	exhausted int
	fence     int64
	gone      bool // its worker has ended, and another program ends the attempt
	failure   *pipeline.Failure

	mu        sync.Mutex
	attempt   int
	expiresAt time.Time
	over      bool // finished through this value
}

func (l *lease) Task() queue.Task               { return l.task }
func (l *lease) Request() pipeline.Request      { return l.request }
func (l *lease) Fence() int64                   { return l.fence }
func (l *lease) LastFailure() *pipeline.Failure { return l.failure }

func (l *lease) Attempt() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attempt
}

func (l *lease) ExpiresAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expiresAt
}

// do runs one of the scripts that only the holder of the lease may run.
func (l *lease) do(ctx context.Context, script string, now time.Time, args ...any) error {
	if l.ended() {
		return queue.ErrLeaseLost
	}
	return l.q.do(ctx, script, now, append([]any{l.task.RequestID, l.fence, string(l.task.Stage)}, args...)...)
}

// finish is do for what ends the lease.
func (l *lease) finish(ctx context.Context, script string, now time.Time, args ...any) error {
	err := l.do(ctx, script, now, args...)
	if err == nil {
		l.end()
	}
	return err
}

func (l *lease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
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
	if err := l.do(ctx, "heartbeat", now, until.UnixMilli(), progress, warning, queue.MaxWarnings); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiresAt = until
	return nil
}

func (l *lease) Saved(ctx context.Context) error {
	if err := l.do(ctx, "saved", l.q.now()); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempt = 1
	return nil
}

func (l *lease) Complete(ctx context.Context, manifest pipeline.Object) error {
	return l.finish(ctx, "complete", l.q.now(), l.completion(manifest)...)
}

func (l *lease) CompleteAndClaim(ctx context.Context, manifest pipeline.Object) (queue.Lease, error) {
	if l.ended() {
		return nil, queue.ErrLeaseLost
	}
	complete := append([]any{l.task.RequestID, l.fence}, l.completion(manifest)...)
	next, err := l.q.claim(ctx, l.q.now(), l.task.Stage, l.worker, 1, complete...)
	if err == nil {
		l.end()
	}
	if len(next) == 0 {
		return nil, err
	}
	return next[0], err
}

// completion is what scripts take to complete the task: whether it is the last stage, and the manifest.
func (l *lease) completion(manifest pipeline.Object) []any {
	_, more := l.task.Stage.Next()
	return append([]any{flag(!more)}, objectArgs(manifest)...)
}

func (l *lease) Fail(ctx context.Context, f *pipeline.Failure) (retry bool, err error) {
	if f == nil {
		return false, errors.New("fail: no failure given")
	}
	reported := *f
	if reported.Stage == "" {
		reported.Stage = l.task.Stage
	}
	text, err := line(reported)
	if err != nil {
		return false, err
	}
	now := l.q.now()
	var retryAt any = ""
	used, attempt := true, l.Attempt()
	if retry = l.q.cfg.Retry(f, attempt, l.exhausted); retry {
		var delay time.Duration
		delay, used = l.q.cfg.RetryAfter(f, attempt)
		retryAt = now.Add(delay).UnixMilli()
	}
	exhausted := flag(f.Kind == pipeline.ExhaustedResources)
	if err := l.finish(ctx, "fail", now, text, f.Code, retryAt, exhausted, flag(used), flag(l.gone)); err != nil {
		return false, err
	}
	return retry, nil
}

func (l *lease) GiveBack(ctx context.Context) error {
	return l.finish(ctx, "give_back", l.q.now())
}
