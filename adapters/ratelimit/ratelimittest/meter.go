package ratelimittest

import (
	"context"
	"sync"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/internal/tenant"
)

var _ tenant.Meter = (*Meter)(nil)

// Meter is a ratelimit.Meter for one process: the readable definition.
type Meter struct {
	window time.Duration
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]int64 // by resource and name
	uses    []use            // in the order of their times
}

// use is what was used at once, by a caller and so by all.
type use struct {
	caller string
	of     tenant.Resource
	amount int64
	until  time.Time // when it counts no longer
}

// NewMeter returns a Meter of which nothing is used.
func NewMeter(window time.Duration, now func() time.Time) *Meter {
	return &Meter{window: window, now: now, entries: map[string]int64{}}
}

// Charge implements tenant.Meter.
func (m *Meter) Charge(_ context.Context, c tenant.Charge) (beyond tenant.Beyond, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	entry := string(c.Of) + " " + c.Entry
	more := max(0, c.Total-m.entries[entry])
	if c.MostOfAll > 0 && m.sum(tenant.All, c.Of)+more > c.MostOfAll {
		beyond = tenant.BeyondAll
	}
	if c.Most > 0 && m.sum(c.Caller, c.Of)+more > c.Most {
		beyond = tenant.BeyondCaller
	}
	if beyond == tenant.Within || !c.Firm {
		slice := m.window / ratelimit.Slices
		end := m.now().Truncate(slice).Add(slice)
		m.entries[entry] += more
		m.uses = append(m.uses, use{c.Caller, c.Of, more, end.Add(m.window)})
	}
	return beyond, nil
}

// sum is what somebody has used that still counts.
func (m *Meter) sum(who string, of tenant.Resource) (sum int64) {
	for _, u := range m.uses {
		if u.of == of && (who == tenant.All || u.caller == who) && u.until.After(m.now()) {
			sum += u.amount
		}
	}
	return sum
}

// Used implements tenant.Meter.
func (m *Meter) Used(_ context.Context, who string, of tenant.Resource, most int64) (used int64, wait time.Duration, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used = m.sum(who, of)
	rest := used
	for _, u := range m.uses {
		if rest < most {
			break
		}
		if left := u.until.Sub(m.now()); left > 0 && u.of == of && (who == tenant.All || u.caller == who) {
			rest, wait = rest-u.amount, left
		}
	}
	return used, wait, nil
}
