package ratelimit

import (
	"context"
	"sync"
	"time"
)

// Memory is a Limiter for one process.
type Memory struct {
	limit Limit
	now   func() time.Time

	mu      sync.Mutex
	newest  time.Time              // of all admitted calls
	callers map[string][]time.Time // of admitted calls, oldest first, at most limit.Calls
}

// NewMemory returns a Memory. It panics when the limit makes no sense.
func NewMemory(limit Limit, now func() time.Time) *Memory {
	if err := limit.check(); err != nil {
		panic(err)
	}
	return &Memory{limit: limit, now: now, callers: map[string][]time.Time{}}
}

// Admit implements Limiter.
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
