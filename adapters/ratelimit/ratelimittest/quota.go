package ratelimittest

import (
	"context"
	"sync"
	"time"
)

// Quota is a ratelimit.Quota for one process.
type Quota struct {
	window time.Duration
	now    func() time.Time

	mu    sync.Mutex
	taken map[string][]time.Time // oldest first
}

// NewQuota returns a Quota of which nothing is taken.
func NewQuota(window time.Duration, now func() time.Time) *Quota {
	return &Quota{window: window, now: now, taken: map[string][]time.Time{}}
}

// Take is ratelimit.Quota's.
func (q *Quota) Take(_ context.Context, caller string, most int) (time.Duration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	taken := q.taken[caller]
	if n := len(taken); n > 0 && taken[n-1].After(now) {
		now = taken[n-1] // a clock that steps back must not open the window early
	}
	taken = after(taken, now.Add(-q.window))
	if n := len(taken); n >= most {
		return taken[n-most].Add(q.window).Sub(now), nil
	}
	q.taken[caller] = append(taken, now)
	return 0, nil
}

// Return is ratelimit.Quota's.
func (q *Quota) Return(_ context.Context, caller string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if taken := q.taken[caller]; len(taken) > 0 {
		q.taken[caller] = taken[:len(taken)-1]
	}
	return nil
}
