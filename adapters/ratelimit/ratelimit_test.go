package ratelimit_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/adapters/ratelimit/ratelimittest"
)

// clock is moved by hand.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// factory makes n limiters that share one state, as instances of a service do.
type factory func(t testing.TB, limit ratelimit.Limit, now func() time.Time, n int) []ratelimit.Limiter

var implementations = map[string]factory{
	"memory": func(_ testing.TB, limit ratelimit.Limit, now func() time.Time, n int) []ratelimit.Limiter {
		m := ratelimittest.NewMemory(limit, now)
		all := make([]ratelimit.Limiter, n)
		for i := range all {
			all[i] = m
		}
		return all
	},
	"redis": func(t testing.TB, limit ratelimit.Limit, now func() time.Time, n int) []ratelimit.Limiter {
		prefix := strconv.FormatInt(prefixes.Add(1), 10)
		all := make([]ratelimit.Limiter, n)
		for i := range all {
			l, err := ratelimit.NewRedis(client(t), prefix, limit, now)
			if err != nil {
				t.Fatal(err)
			}
			all[i] = l
		}
		return all
	},
}

var prefixes atomic.Int64

func contract(t *testing.T, check func(t *testing.T, make factory)) {
	for name, f := range implementations {
		t.Run(name, func(t *testing.T) { check(t, f) })
	}
}

func admit(t testing.TB, l ratelimit.Limiter, caller string) time.Duration {
	t.Helper()
	wait, err := l.Admit(context.Background(), caller)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestTenInAMinuteThenWait(t *testing.T) {
	contract(t, func(t *testing.T, make factory) {
		c := newClock()
		l := make(t, ratelimittest.Default, c.now, 1)[0]
		for i := range 10 {
			if wait := admit(t, l, "a"); wait != 0 {
				t.Fatalf("call %d: wait %v", i+1, wait)
			}
			c.advance(time.Second)
		}
		// The first call was 10 s ago.
		if wait := admit(t, l, "a"); wait != 50*time.Second {
			t.Fatalf("the 11th waits %v, want 50s", wait)
		}
		c.advance(50*time.Second - time.Microsecond)
		if wait := admit(t, l, "a"); wait != time.Microsecond {
			t.Fatalf("just before: wait %v", wait)
		}
		c.advance(time.Microsecond)
		if wait := admit(t, l, "a"); wait != 0 {
			t.Fatalf("at the time that was answered: wait %v", wait)
		}
		if wait := admit(t, l, "a"); wait != time.Second {
			t.Fatalf("the next waits %v, want 1s", wait)
		}
	})
}

func TestCallersHaveTheirOwnLimit(t *testing.T) {
	contract(t, func(t *testing.T, make factory) {
		c := newClock()
		l := make(t, ratelimit.Limit{Calls: 3, Window: time.Minute}, c.now, 1)[0]
		for i, call := range []struct {
			caller string
			admit  bool
		}{{"a", true}, {"a", true}, {"a", true}, {"a", false}, {"b", true}, {"b", true}, {"b", true}, {"b", false}, {"c", true}} {
			if got := admit(t, l, call.caller) == 0; got != call.admit {
				t.Fatalf("call %d of %s: admitted %v", i, call.caller, got)
			}
		}
	})
}

// TestInstancesShareTheLimit is the fault of a limiter that reads, decides and then writes: two at once both pass.
func TestInstancesShareTheLimit(t *testing.T) {
	contract(t, func(t *testing.T, make factory) {
		c := newClock()
		instances := make(t, ratelimittest.Default, c.now, 2)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				wait, err := instances[i%2].Admit(context.Background(), "one caller")
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					admitted.Add(1)
				} else if wait != time.Minute {
					t.Errorf("wait %v, want 1m0s", wait)
				}
			})
		}
		wg.Wait()
		if n := admitted.Load(); n != 10 {
			t.Fatalf("%d of 200 admitted, want 10", n)
		}
	})
}

// TestNoWindowHoldsMore lets a caller come at any times, as greedily as it likes, and counts every window.
func TestNoWindowHoldsMore(t *testing.T) {
	contract(t, func(t *testing.T, make factory) {
		rapid.Check(t, func(rt *rapid.T) {
			limit := ratelimit.Limit{Calls: rapid.IntRange(1, 6).Draw(rt, "calls of a window"), Window: time.Minute}
			c := newClock()
			l := make(t, limit, c.now, 1)[0]
			admitted := map[string][]time.Time{}
			for range rapid.IntRange(1, 60).Draw(rt, "calls") {
				caller := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "caller")
				wait := admit(t, l, caller)
				if wait == 0 {
					admitted[caller] = append(admitted[caller], c.now())
				}
				if rapid.Bool().Draw(rt, "obedient") {
					c.advance(wait)
					if wait > 0 && admit(t, l, caller) != 0 {
						rt.Fatalf("refused after the wait of %v that was answered", wait)
					} else if wait > 0 {
						admitted[caller] = append(admitted[caller], c.now())
					}
				}
				c.advance(time.Duration(rapid.IntRange(0, 20_000).Draw(rt, "ms")) * time.Millisecond)
			}
			for who, times := range admitted {
				for i := limit.Calls; i < len(times); i++ {
					if gap := times[i].Sub(times[i-limit.Calls]); !(gap >= limit.Window) {
						rt.Fatalf("%s: %d calls within %v", who, limit.Calls+1, gap)
					}
				}
			}
		})
	})
}

func TestClockThatStepsBackOpensNothing(t *testing.T) {
	contract(t, func(t *testing.T, make factory) {
		c := newClock()
		l := make(t, ratelimit.Limit{Calls: 2, Window: time.Minute}, c.now, 1)[0]
		admit(t, l, "a")
		c.advance(-30 * time.Second)
		if wait := admit(t, l, "a"); wait != 0 {
			t.Fatalf("second call waits %v", wait)
		}
		if wait := admit(t, l, "a"); wait != time.Minute {
			t.Fatalf("third call waits %v, want 1m0s", wait)
		}
	})
}

type counting struct {
	calls int
	err   error
}

func (c *counting) Admit(context.Context, string) (time.Duration, error) {
	c.calls++
	return 0, c.err
}

func TestShieldKeepsAFloodAway(t *testing.T) {
	c := newClock()
	inner := &counting{}
	s := ratelimit.NewShield(inner, 50, 100, c.now)
	refused := 0
	for range 1000 {
		if admit(t, s, "a") > 0 {
			refused++
		}
	}
	if inner.calls != 100 || refused != 900 {
		t.Fatalf("%d calls reached the limiter, %d were refused", inner.calls, refused)
	}
	c.advance(time.Second)
	for range 1000 {
		admit(t, s, "a")
	}
	if inner.calls != 150 {
		t.Fatalf("%d calls after a second, want 150", inner.calls)
	}
}

func TestFaultIsNotAdmission(t *testing.T) {
	c := newClock()
	down := redis.NewClient(&redis.Options{Dialer: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("refused")
	}, MaxRetries: -1})
	defer down.Close()
	l, err := ratelimit.NewRedis(down, "x", ratelimittest.Default, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ratelimit.NewShield(l, 50, 100, c.now).Admit(context.Background(), "a"); err == nil {
		t.Fatal("no error although nobody answers")
	}
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	for _, limit := range []ratelimit.Limit{{}, {Calls: 0, Window: time.Second}, {Calls: 1}} {
		if _, err := ratelimit.NewRedis(nil, "", limit, time.Now); err == nil {
			t.Errorf("%+v accepted", limit)
		}
	}
}

// client speaks to a Redis of this test process's own.
func client(t testing.TB) *redis.Client {
	t.Helper()
	if sharedErr != nil {
		t.Skip(sharedErr)
	}
	return shared
}

var (
	shared    *redis.Client
	sharedErr error
)

func TestMain(m *testing.M) {
	stop := startRedis()
	code := m.Run()
	stop()
	os.Exit(code)
}

// startRedis starts a redis-server on a unix socket. Without one installed the Redis half of the suite is skipped.
func startRedis() (stop func()) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		sharedErr = errors.New("redis-server is not installed")
		return func() {}
	}
	dir, err := os.MkdirTemp("", "ratelimit")
	if err != nil {
		sharedErr = err
		return func() {}
	}
	socket := filepath.Join(dir, "redis.sock")
	server := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := server.Start(); err != nil {
		sharedErr = err
		return func() {}
	}
	shared = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: 50, MinRetryBackoff: 10 * time.Millisecond})
	sharedErr = shared.Ping(context.Background()).Err()
	return func() {
		_ = shared.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	}
}

func BenchmarkAdmit(b *testing.B) {
	ctx := context.Background()
	b.Run("ping", func(b *testing.B) { // the floor: one round trip
		for b.Loop() {
			if err := client(b).Ping(ctx).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("redis", func(b *testing.B) {
		l := implementations["redis"](b, ratelimittest.Default, time.Now, 1)[0]
		for b.Loop() {
			if _, err := l.Admit(ctx, "a"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
