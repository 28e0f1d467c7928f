package ratelimit_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
)

type quota interface {
	Take(ctx context.Context, caller string, most int) (time.Duration, error)
	Return(ctx context.Context, caller string) error
}

// quotas runs a check on the definition in memory and on the one in Redis, of which it makes two instances.
func quotas(t *testing.T, check func(t *testing.T, c *clock, take func(instance int, caller string, most int) time.Duration, giveBack func(caller string))) {
	for name, open := range map[string]func(t *testing.T, now func() time.Time) [2]quota{
		"memory": func(_ *testing.T, now func() time.Time) [2]quota {
			q := ratelimittest.NewQuota(24*time.Hour, now)
			return [2]quota{q, q}
		},
		"redis": func(t *testing.T, now func() time.Time) (both [2]quota) {
			prefix := strconv.FormatInt(prefixes.Add(1), 10)
			for i := range both {
				q, err := ratelimit.NewQuota(client(t), prefix, 24*time.Hour, now)
				if err != nil {
					t.Fatal(err)
				}
				both[i] = q
			}
			return both
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			both := open(t, c.now)
			check(t, c, func(instance int, caller string, most int) time.Duration {
				wait, err := both[instance].Take(t.Context(), caller, most)
				if err != nil {
					t.Error(err)
				}
				return wait
			}, func(caller string) {
				if err := both[0].Return(t.Context(), caller); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestQuotaOfADay: the last one is admitted and the next is not, to the microsecond, whatever the number is changed to meanwhile; what was
// returned can be taken again.
func TestQuotaOfADay(t *testing.T) {
	quotas(t, func(t *testing.T, c *clock, take func(int, string, int) time.Duration, giveBack func(string)) {
		giveBack("a") // nothing
		for i, step := range []struct {
			after time.Duration
			most  int
			wait  time.Duration
		}{{0, 2, 0}, {time.Hour, 2, 0}, {time.Hour, 2, 22 * time.Hour}, {0, 3, 0}, {0, 3, 22 * time.Hour}, {0, 1, 24 * time.Hour},
			{22*time.Hour - time.Microsecond, 3, time.Microsecond}, {time.Microsecond, 3, 0}, {0, 3, time.Hour}} {
			c.advance(step.after)
			if wait := take(i%2, "a", step.most); wait != step.wait {
				t.Errorf("step %d: wait %v, want %v", i, wait, step.wait)
			}
		}
		giveBack("a")
		if first, second := take(0, "a", 3), take(1, "a", 3); first != 0 || second != time.Hour {
			t.Errorf("after a return: %v, %v", first, second)
		}
		if wait := take(0, "b", 1); wait != 0 {
			t.Errorf("another caller waits %v", wait)
		}
	})
}

// TestQuotaAtOnce: of 200 calls to two instances at once exactly as many are admitted as there may be.
func TestQuotaAtOnce(t *testing.T) {
	quotas(t, func(t *testing.T, _ *clock, take func(int, string, int) time.Duration, _ func(string)) {
		var admitted atomic.Int64
		var calls sync.WaitGroup
		for i := range 200 {
			calls.Go(func() {
				if take(i%2, "a", 7) == 0 {
					admitted.Add(1)
				}
			})
		}
		calls.Wait()
		if n := admitted.Load(); n != 7 {
			t.Errorf("%d admitted", n)
		}
	})
}
