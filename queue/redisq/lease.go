package redisq

import (
	"context"
	"errors"
	"fmt"
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

// call runs one of the scripts that only the holder of the lease may run.
func (l *lease) call(ctx context.Context, script string, now time.Time, args ...any) error {
	if l.ended() {
		return queue.ErrLeaseLost
	}
	v, err := l.q.call(ctx, script, now, l.args(args...)...)
	if err != nil {
		return err
	}
	return answered(script, v)
}

// args are those of every script that a lease runs, and more.
func (l *lease) args(more ...any) []any {
	return append([]any{l.task.RequestID, l.fence, stageLetters[l.task.Stage]}, more...)
}

func answered(script string, answer any) error {
	switch answer {
	case int64(1):
		return nil
	case int64(-1):
		return queue.ErrLeaseLost
	case int64(-2):
		return queue.ErrCanceled
	}
	if err, ok := answer.(error); ok {
		return err
	}
	return unexpected(script, answer)
}

// finish is call for what ends the lease.
func (l *lease) finish(ctx context.Context, script string, now time.Time, args ...any) error {
	err := l.call(ctx, script, now, args...)
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
	if err := l.call(ctx, "heartbeat", now, until.UnixMilli(), progress, warning, queue.MaxWarnings); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiresAt = until
	return nil
}

func (l *lease) Saved(ctx context.Context) error {
	if err := l.call(ctx, "saved", l.q.now()); err != nil {
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

func (l *lease) completion(manifest pipeline.Object) []any {
	last := 1
	if _, more := l.task.Stage.Next(); more {
		last = 0
	}
	m := objectFields(l.task.RequestID, manifest)
	return []any{last, m[0], m[1]}
}

// CompleteAll is Complete for leases that were claimed together, in few round trips: manifests[i] is that of leases[i], and
// so is the error, or nil. They must be this queue's.
func (q *Queue) CompleteAll(ctx context.Context, leases []queue.Lease, manifests []pipeline.Object) ([]error, error) {
	errs := make([]error, len(leases))
	var args [][]any
	var which []int
	for i, given := range leases {
		l, ok := given.(*lease)
		if !ok || l.q != q {
			return nil, fmt.Errorf("complete: lease of %s is not this queue's", given.Task().RequestID)
		}
		if l.ended() {
			errs[i] = queue.ErrLeaseLost
			continue
		}
		args, which = append(args, l.args(l.completion(manifests[i])...)), append(which, i)
	}
	answers, err := q.calls(ctx, "complete", q.now(), len(args), 1, func(i int) []any { return args[i] })
	if err != nil {
		return nil, err
	}
	for k, i := range which {
		if errs[i] = answered("complete", answers[k]); errs[i] == nil {
			leases[i].(*lease).end()
		}
	}
	return errs, nil
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
	exhausted, unused := 0, 0
	attempt := l.Attempt()
	if retry = l.q.cfg.Retry(f, attempt, l.exhausted); retry {
		delay, counts := l.q.cfg.RetryAfter(f, attempt)
		at = now.Add(delay).UnixMilli()
		if !counts {
			unused = 1
		}
		if f.Kind == pipeline.ExhaustedResources {
			exhausted = 1
		}
	}
	if err := l.finish(ctx, "fail", now, text, f.Code, at, exhausted, unused); err != nil {
		return false, err
	}
	return retry, nil
}

func (l *lease) GiveBack(ctx context.Context) error {
	return l.finish(ctx, "giveback", l.q.now())
}
