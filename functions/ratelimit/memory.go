package ratelimit

import (
	"context"
	"sync"
	"time"
)

// Memory is a Limiter for one process.
type Memory struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	global  []time.Time // of admitted calls, oldest first, at most Global
	callers map[string][]time.Time
}

// NewMemory returns a Memory. It panics when limits make no sense.
func NewMemory(limits Limits, now func() time.Time) *Memory {
	if err := limits.check(); err != nil {
		panic(err)
	}
	return &Memory{limits: limits, now: now, callers: map[string][]time.Time{}}
}

// Admit implements Limiter.
func (m *Memory) Admit(_ context.Context, caller string) (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if n := len(m.global); n > 0 && m.global[n-1].After(now) {
		now = m.global[n-1] // a clock that steps back must not open the window early
	}
	m.forget(now)
	wait := max(m.wait(m.global, m.limits.Global, now), m.wait(m.callers[caller], m.limits.PerCaller, now))
	if wait > 0 {
		return wait, nil
	}
	m.global = append(m.global, now)
	m.callers[caller] = append(m.callers[caller], now)
	return 0, nil
}

func (m *Memory) wait(log []time.Time, limit int, now time.Time) time.Duration {
	if len(log) < limit {
		return 0
	}
	return max(0, log[len(log)-limit].Add(m.limits.Window).Sub(now))
}

// forget drops what lies a window back. Every caller's calls stand in the global log too, so there is little to look at.
func (m *Memory) forget(now time.Time) {
	m.global = after(m.global, now.Add(-m.limits.Window))
	for caller, log := range m.callers {
		if log = after(log, now.Add(-m.limits.Window)); len(log) == 0 {
			delete(m.callers, caller)
		} else {
			m.callers[caller] = log
		}
	}
}

// after is the part of log later than t.
func after(log []time.Time, t time.Time) []time.Time {
	i := 0
	for i < len(log) && !log[i].After(t) {
		i++
	}
	return log[i:]
}
