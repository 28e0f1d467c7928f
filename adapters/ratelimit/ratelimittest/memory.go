// Package ratelimittest is the rate limit in memory: the readable definition that the shared one is compared with, and what tests of
// its users take.
package ratelimittest

import (
	"context"
	"sync"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
)

// Default is the contract of the public endpoint: ten a minute of one caller.
var Default = ratelimit.Limit{Calls: 10, Window: time.Minute}

var _ ratelimit.Limiter = (*Memory)(nil)

// Memory is a ratelimit.Limiter for one process.
type Memory struct {
	limit ratelimit.Limit
	now   func() time.Time

	mu      sync.Mutex
	newest  time.Time              // of all admitted calls
	callers map[string][]time.Time // of admitted calls, oldest first, at most limit.Calls
}

// NewMemory returns a Memory. It panics when the limit makes no sense.
func NewMemory(limit ratelimit.Limit, now func() time.Time) *Memory {
	if err := limit.Check(); err != nil {
		panic(err)
	}
	return &Memory{limit: limit, now: now, callers: map[string][]time.Time{}}
}

// Admit implements ratelimit.Limiter.
func (m *Memory) Admit(_ context.Context, caller string) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.newest.After(now) {
		now = m.newest // a clock that steps back must not open the window early
	}
	m.forget(now)
	calls := m.callers[caller]
	if n := len(calls); n >= m.limit.Calls {
		return calls[n-m.limit.Calls].Add(m.limit.Window).Sub(now), nil
	}
	m.newest = now
	m.callers[caller] = append(calls, now)
	return 0, nil
}

// forget drops what lies a window back.
func (m *Memory) forget(now time.Time) {
	for caller, calls := range m.callers {
		if calls = after(calls, now.Add(-m.limit.Window)); len(calls) == 0 {
			delete(m.callers, caller)
		} else {
			m.callers[caller] = calls
		}
	}
}

// after is the part of calls later than t.
func after(calls []time.Time, t time.Time) []time.Time {
	i := 0
	for i < len(calls) && !calls[i].After(t) {
		i++
	}
	return calls[i:]
}
