package ratelimit_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
	"github.com/splatworks/splatworks/internal/tenant"
)

// meters runs a check on the definition in memory and on the one in Redis, of which it makes two instances.
func meters(t *testing.T, check func(t *testing.T, c *clock, both [2]tenant.Meter)) {
	t.Run("memory", func(t *testing.T) {
		c := newClock()
		m := ratelimittest.NewMeter(24*time.Hour, c.now)
		check(t, c, [2]tenant.Meter{m, m})
	})
	t.Run("redis", func(t *testing.T) {
		c := newClock()
		prefix := strconv.FormatInt(prefixes.Add(1), 10)
		check(t, c, [2]tenant.Meter{ratelimit.NewMeter(client(t), prefix, 24*time.Hour, c.now), ratelimit.NewMeter(client(t), prefix, 24*time.Hour, c.now)})
	})
}

func charge(t *testing.T, m tenant.Meter, c tenant.Charge) tenant.Beyond {
	t.Helper()
	beyond, err := m.Charge(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return beyond
}

// TestMeterOfADay: what an entry has used counts once however often it is charged, for a day and at most a slice longer; firm charges that
// do not fit leave no trace; each caller and all together have their own limit.
func TestMeterOfADay(t *testing.T) {
	meters(t, func(t *testing.T, c *clock, both [2]tenant.Meter) {
		for i, step := range []struct {
			after time.Duration
			tenant.Charge
			want tenant.Beyond
		}{
			{0, tenant.Charge{Caller: "a", Entry: "1", Total: 60, Most: 100}, tenant.Within},
			{0, tenant.Charge{Caller: "a", Entry: "1", Total: 60, Most: 100}, tenant.Within}, // the answer was lost
			{0, tenant.Charge{Caller: "a", Entry: "1", Total: 50, Most: 100}, tenant.Within}, // it came late
			{time.Hour, tenant.Charge{Caller: "a", Entry: "2", Total: 41, Most: 100, Firm: true}, tenant.BeyondCaller},
			{0, tenant.Charge{Caller: "a", Entry: "2", Total: 40, Most: 100, Firm: true}, tenant.Within}, // to the last unit
			{0, tenant.Charge{Caller: "a", Entry: "3", Total: 0, Most: 100}, tenant.Within},
			{0, tenant.Charge{Caller: "b", Entry: "4", Total: 10, MostOfAll: 109, Firm: true}, tenant.BeyondAll},
			{0, tenant.Charge{Caller: "b", Entry: "4", Total: 9, Most: 8, MostOfAll: 108}, tenant.BeyondCaller}, // noted anyway
			{0, tenant.Charge{Caller: "a", Entry: "5", Total: 1, Most: 1 << 50, MostOfAll: 110}, tenant.Within},
			{0, tenant.Charge{Caller: "a", Entry: "5", Total: 1, Most: 100}, tenant.BeyondCaller},                        // a limit that was lowered
			{23*time.Hour + 15*time.Minute, tenant.Charge{Caller: "a", Entry: "6", Total: 59, Most: 100}, tenant.Within}, // the first hour counts no longer
			{0, tenant.Charge{Caller: "a", Entry: "6", Total: 60, Most: 100}, tenant.BeyondCaller},
		} {
			c.advance(step.after)
			step.Of = tenant.Work
			if got := charge(t, both[i%2], step.Charge); got != step.want {
				t.Errorf("step %d: %d, want %d", i, got, step.want)
			}
		}
		for _, m := range both {
			for who, want := range map[string]int64{"a": 101, "b": 9, tenant.All: 110} {
				if used, _, err := m.Used(t.Context(), who, tenant.Work, 1000); err != nil || used != want {
					t.Errorf("%s has used %d, want %d (%v)", who, used, want, err)
				}
			}
			if used, wait, err := m.Used(t.Context(), "a", tenant.Cost, 1); err != nil || used != 0 || wait != 0 {
				t.Errorf("another resource: %d %v %v", used, wait, err)
			}
		}
	})
}

// TestMeterSaysWhenThereIsRoom: after exactly the wait, and not a millisecond earlier, less than the limit is used.
func TestMeterSaysWhenThereIsRoom(t *testing.T) {
	meters(t, func(t *testing.T, c *clock, both [2]tenant.Meter) {
		for i, amount := range []int64{5, 5, 7} {
			charge(t, both[i%2], tenant.Charge{Caller: "a", Entry: strconv.Itoa(i), Of: tenant.Upload, Total: amount})
			c.advance(time.Hour)
		}
		used, wait, err := both[0].Used(t.Context(), "a", tenant.Upload, 8)
		if err != nil || used != 17 || wait <= 22*time.Hour || wait > 22*time.Hour+15*time.Minute {
			t.Fatalf("%d used, room in %v (%v)", used, wait, err)
		}
		c.advance(wait - time.Millisecond)
		if used, _, _ = both[1].Used(t.Context(), "a", tenant.Upload, 8); used < 8 {
			t.Errorf("%d used a millisecond before there is room", used)
		}
		c.advance(time.Millisecond)
		if used, wait, _ = both[1].Used(t.Context(), "a", tenant.Upload, 8); used != 7 || wait != 0 {
			t.Errorf("%d used, wait %v", used, wait)
		}
	})
}

// TestMeterAtOnce: of 200 firm charges to two instances at once, exactly as many are noted as fit.
func TestMeterAtOnce(t *testing.T) {
	meters(t, func(t *testing.T, _ *clock, both [2]tenant.Meter) {
		var noted atomic.Int64
		var calls sync.WaitGroup
		for i := range 200 {
			calls.Go(func() {
				beyond, err := both[i%2].Charge(t.Context(), tenant.Charge{Caller: "a", Entry: strconv.Itoa(i), Of: tenant.Cost, Total: 3, Most: 22, Firm: true})
				if err == nil && beyond == tenant.Within {
					noted.Add(1)
				}
			})
		}
		calls.Wait()
		if used, _, err := both[0].Used(t.Context(), "a", tenant.Cost, 1); err != nil || used != 21 || noted.Load() != 7 {
			t.Errorf("%d noted, %d used (%v)", noted.Load(), used, err)
		}
	})
}

// TestMeterIsTheDefinition: Redis answers as memory does, whatever is charged when.
func TestMeterIsTheDefinition(t *testing.T) {
	rdb := client(t)
	rapid.Check(t, func(r *rapid.T) {
		c := newClock()
		shared, defined := ratelimit.NewMeter(rdb, strconv.FormatInt(prefixes.Add(1), 10), 24*time.Hour, c.now), ratelimittest.NewMeter(24*time.Hour, c.now)
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			c.advance(time.Duration(rapid.IntRange(0, 10*3600_000).Draw(r, "ms")) * time.Millisecond)
			ask := tenant.Charge{Caller: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "caller"), Entry: rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(r, "entry"),
				Of: tenant.Work, Total: int64(rapid.IntRange(0, 40).Draw(r, "total")), Most: int64(rapid.IntRange(0, 60).Draw(r, "most")),
				MostOfAll: int64(rapid.IntRange(0, 90).Draw(r, "of all")), Firm: rapid.Bool().Draw(r, "firm")}
			ask.Entry = ask.Caller + ask.Entry
			got, err := shared.Charge(t.Context(), ask)
			want, _ := defined.Charge(t.Context(), ask)
			if err != nil || got != want {
				r.Fatalf("%+v: %d, want %d (%v)", ask, got, want, err)
			}
			for _, who := range []string{"a", "b", tenant.All} {
				used, wait, err := shared.Used(t.Context(), who, tenant.Work, 30)
				used2, wait2, _ := defined.Used(t.Context(), who, tenant.Work, 30)
				if err != nil || used != used2 || wait != wait2 {
					r.Fatalf("%s: %d in %v, want %d in %v (%v)", who, used, wait, used2, wait2, err)
				}
			}
		}
	})
}
