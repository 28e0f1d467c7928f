package memq

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// lease is one claim. What it needs to know of its request it copied when it was made.
type lease struct {
	q         *Queue
	worker    string
	task      queue.Task
	request   pipeline.Request
	attempt   int // guarded by q.mu
	exhausted int
	fence     int64
	failure   *pipeline.Failure
	expiresAt time.Time // guarded by q.mu
	over      bool      // guarded by q.mu: finished through this value
}

func (l *lease) Task() queue.Task               { return l.task }
func (l *lease) Request() pipeline.Request      { return l.request }
func (l *lease) Fence() int64                   { return l.fence }
func (l *lease) LastFailure() *pipeline.Failure { return l.failure }

func (l *lease) Attempt() int {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return l.attempt
}

func (l *lease) ExpiresAt() time.Time {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return l.expiresAt
}

// held returns the request if this lease still holds its task. Time alone takes no lease, the reaper does.
func (l *lease) held() (*request, error) {
	r := l.q.requests[l.task.RequestID]
	switch {
	case l.over || r == nil || r.fence != l.fence:
		return nil, queue.ErrLeaseLost
	case r.Status == pipeline.Canceled:
		return nil, queue.ErrCanceled
	case r.task != leased:
		return nil, queue.ErrLeaseLost
	}
	return r, nil
}

func (l *lease) Heartbeat(_ context.Context, p pipeline.Progress) error {
	now := l.q.lock()
	defer l.q.mu.Unlock()
	r, err := l.held()
	if err != nil {
		return err
	}
	r.expiresAt = now.Add(l.q.cfg.LeaseFor)
	l.expiresAt = r.expiresAt
	r.extended = false
	r.UpdatedAt = now
	if w := p.Warning; w != nil && !slices.Contains(r.Warnings, *w) && len(r.Warnings) < queue.MaxWarnings {
		r.Warnings = append(r.Warnings, *w)
	}
	if !sameProgress(p, r.Progress) {
		r.Progress = p
		l.q.publish(r, queue.Progress, now)
	}
	return nil
}

func (l *lease) Saved(context.Context) error {
	now := l.q.lock()
	defer l.q.mu.Unlock()
	r, err := l.held()
	if err != nil {
		return err
	}
	r.Attempt, l.attempt, r.UpdatedAt = 1, 1, now
	return nil
}

func (l *lease) Complete(_ context.Context, manifest pipeline.Object) error {
	now := l.q.lock()
	defer l.q.mu.Unlock()
	return l.complete(manifest, now)
}

func (l *lease) CompleteAndClaim(_ context.Context, manifest pipeline.Object) (queue.Lease, error) {
	now := l.q.lock()
	defer l.q.mu.Unlock()
	if err := l.complete(manifest, now); err != nil {
		return nil, err
	}
	next := l.q.claim(l.task.Stage, l.worker, 1, now)
	if len(next) == 0 {
		return nil, nil
	}
	return next[0], nil
}

func (l *lease) complete(manifest pipeline.Object, now time.Time) error {
	if r := l.q.requests[l.task.RequestID]; r != nil && !l.over && r.done == l.task.Stage && r.doneFence == l.fence {
		l.over = true // the manifest's event came first
		return nil
	}
	r, err := l.held()
	if err != nil {
		return err
	}
	l.over = true
	l.q.complete(r, manifest, l.fence, now)
	if _, more := r.Stage.Next(); !more {
		l.q.end(r, pipeline.Completed, nil, now, l.q.cfg.AnnounceGrace)
	}
	l.q.publish(r, queue.Completed, now)
	return nil
}

func (l *lease) Fail(_ context.Context, f *pipeline.Failure) (retry bool, err error) {
	if f == nil {
		return false, errors.New("fail: no failure given")
	}
	now := l.q.lock()
	defer l.q.mu.Unlock()
	r, err := l.held()
	if err != nil {
		return false, err
	}
	l.over = true
	failure := *f
	failure.Err = nil // for logs, not for the queue
	if failure.Stage == "" {
		failure.Stage = l.task.Stage
	}
	if !l.q.cfg.Retry(f, l.attempt, l.exhausted) {
		l.q.end(r, pipeline.Failed, &failure, now, l.q.cfg.AnnounceGrace)
		l.q.publish(r, queue.Failed, now)
		return false, nil
	}
	if f.Kind == pipeline.ExhaustedResources {
		r.exhausted++
	}
	r.Failure, r.UpdatedAt = &failure, now
	delay, counts := l.q.cfg.RetryAfter(f, l.attempt)
	if !counts {
		r.Attempt--
	}
	l.q.delay(r, now.Add(delay))
	l.q.publish(r, queue.Retry, now)
	return true, nil
}

func (l *lease) GiveBack(context.Context) error {
	now := l.q.lock()
	defer l.q.mu.Unlock()
	r, err := l.held()
	if err != nil {
		return err
	}
	l.over = true
	r.Attempt--
	r.UpdatedAt = now
	l.q.makeReady(r)
	l.q.publish(r, queue.GivenBack, now)
	return nil
}
