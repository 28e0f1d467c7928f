// Package ratelimit admits at most a number of calls in any window of time: a sliding log, exact, shared by all instances
// through Redis. Token buckets and fixed windows would let nearly twice as many through around a boundary. A Shield in front
// keeps a flood in one instance away from Redis.
//
// A refused call does not count. What is limited, for whom, and what to answer, is for the package's user to decide: all callers
// together are one caller of another limiter.
package ratelimit

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"
)

// Limit holds for any half-open interval of length Window.
type Limit struct {
	Calls  int // of one caller
	Window time.Duration
}

// Check says what is wrong with a limit.
func (l Limit) Check() error {
	if l.Calls < 1 || l.Window < time.Millisecond {
		return errors.New("ratelimit: a limit must be at least 1 and its window at least 1 ms")
	}
	return nil
}

// Limiter admits a call of caller now (0, nil), or says how long until one could be admitted. An error means that nobody
// knows: who protects something dear refuses then.
type Limiter interface {
	Admit(ctx context.Context, caller string) (retryAfter time.Duration, err error)
}

// Shield refuses, without asking next, more than burst calls at once and perSecond on average.
type Shield struct {
	next  Limiter
	local *rate.Limiter
	now   func() time.Time
}

// NewShield returns a Shield in front of next. Its rate should be far above next's: it bounds load, not use.
func NewShield(next Limiter, perSecond float64, burst int, now func() time.Time) *Shield {
	return &Shield{next, rate.NewLimiter(rate.Limit(perSecond), burst), now}
}

// Admit implements Limiter.
func (s *Shield) Admit(ctx context.Context, caller string) (time.Duration, error) {
	if !s.local.AllowN(s.now(), 1) {
		return time.Second, nil
	}
	return s.next.Admit(ctx, caller)
}

var (
	_ Limiter = (*Shield)(nil)
	_ Limiter = (*Redis)(nil)
)
