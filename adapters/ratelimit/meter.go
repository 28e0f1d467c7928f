package ratelimit

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/internal/tenant"
)

//go:embed charge.lua
var chargeLua string

// Slices are the parts of a window by which a Meter adds up: what was used counts for a window, and up to one slice longer.
const Slices = 96

var _ tenant.Meter = (*Meter)(nil)

// Meter is a tenant.Meter shared by everybody who uses the same Redis and the same prefix.
type Meter struct {
	rdb           redis.UniversalClient
	prefix        string
	window, slice time.Duration
	now           func() time.Time
	charge        *redis.Script
}

// NewMeter returns a Meter whose keys begin with prefix. The window is a whole number of milliseconds in each of its Slices.
func NewMeter(rdb redis.UniversalClient, prefix string, window time.Duration, now func() time.Time) *Meter {
	return &Meter{rdb, prefix, window, window / Slices, now, redis.NewScript(chargeLua)}
}

// key is where what somebody uses of a resource is added up.
func (m *Meter) key(of tenant.Resource, who string) string {
	return rlKey(m.prefix+"-"+string(of), who)
}

// Charge implements tenant.Meter, in one round trip.
func (m *Meter) Charge(ctx context.Context, c tenant.Charge) (tenant.Beyond, error) {
	firm := 0
	if c.Firm {
		firm = 1
	}
	beyond, err := m.charge.Run(ctx, m.rdb, []string{m.key(c.Of, "entry "+c.Entry), m.key(c.Of, c.Caller), m.key(c.Of, tenant.All)},
		m.now().UnixMilli(), m.window.Milliseconds(), m.slice.Milliseconds(), c.Total, c.Most, c.MostOfAll, firm).Int()
	if err != nil {
		return tenant.Within, fmt.Errorf("charge %s: %w", c.Of, err)
	}
	return tenant.Beyond(beyond), nil
}

// Used implements tenant.Meter.
func (m *Meter) Used(ctx context.Context, who string, of tenant.Resource, most int64) (used int64, wait time.Duration, err error) {
	all, err := m.rdb.HGetAll(ctx, m.key(of, who)).Result()
	if err != nil {
		return 0, 0, fmt.Errorf("read what was used: %w", err)
	}
	now := m.now()
	until := map[time.Duration]int64{} // how long each amount counts still
	for name, text := range all {
		slice, bad := strconv.ParseInt(name, 10, 64)
		amount, worse := strconv.ParseInt(text, 10, 64)
		if bad != nil || worse != nil {
			return 0, 0, fmt.Errorf("read what was used: %.40q: %.40q is no amount of a slice", name, text)
		}
		if left := time.UnixMilli((slice + 1) * m.slice.Milliseconds()).Add(m.window).Sub(now); left > 0 {
			until[left] += amount
			used += amount
		}
	}
	rest := used
	for _, left := range slices.Sorted(maps.Keys(until)) {
		if rest < most {
			break
		}
		rest, wait = rest-until[left], left
	}
	return used, wait, nil
}
