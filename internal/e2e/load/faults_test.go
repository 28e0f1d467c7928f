package load

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// fault is what is wrong while the middle third of the requests is sent.
type fault struct {
	name  string
	quick bool // a small load under it is a part of every run of the tests
	begin func(*rig) (end func())
}

var faults = []fault{
	{name: "nothing", begin: func(*rig) func() { return func() {} }},
	{name: "events come twice, late and in any order", quick: true, begin: func(r *rig) func() {
		r.events.set(func(q *http.Request) treatment { r.struck.Add(1); return treatment{copies: 1, spread: time.Second} })
		return func() { r.events.set(nil) }
	}},
	{name: "one event in five is lost", begin: func(r *rig) func() {
		r.events.set(func(q *http.Request) treatment { return treatment{lose: ofStages(q) && r.chance(0.2)} })
		return func() { r.events.set(nil) }
	}},
	{name: "the storage answers 503, one call in seven", begin: storageFault(func(r *rig) verdict { return verdict{refuse: r.chance(1. / 7)} })},
	{name: "the storage takes up to 2 s, one call in four", begin: storageFault(func(r *rig) (v verdict) {
		if r.chance(0.25) {
			v.wait = rand.N(2 * time.Second)
		}
		return v
	})},
	{name: "connections to the storage break, before or after a call", begin: storageFault(func(r *rig) verdict {
		return verdict{cut: r.chance(0.05), lose: r.chance(0.05)}
	})},
	{name: "Redis takes up to 1 s, one call in ten", begin: redisFault(func(r *rig) (v verdict) {
		if r.chance(0.1) {
			v.wait = rand.N(time.Second)
		}
		return v
	})},
	{name: "connections to Redis break, before or after a call", quick: true, begin: redisFault(func(r *rig) verdict {
		return verdict{cut: r.chance(0.02), lose: r.chance(0.02)}
	})},
	{name: "Redis is killed and started again", begin: repeated(3*time.Second, func(r *rig) {
		r.redis.Kill()
		r.redis.Run()
	})},
	{name: "Redis fails over to a follower that lags", begin: failover},
	{name: "Redis loses everything", begin: repeated(5*time.Second, func(r *rig) {
		client := redis.NewClient(&redis.Options{Addr: r.redis.Addr})
		defer client.Close()
		if err := client.FlushAll(context.Background()).Err(); err != nil {
			r.t.Error(err)
		}
	})},
	{name: "workers are killed at every step", begin: killAtSteps},
	{name: "the launcher refuses, or loses launches", begin: func(r *rig) func() {
		r.refuse(func() error {
			switch {
			case r.chance(0.4):
				return errRefused
			case r.chance(0.3):
				return errLost
			}
			return nil
		})
		return func() { r.refuse(nil) }
	}},
	{name: "clocks of workers are half a lease slow", begin: func(r *rig) func() {
		r.skew(-r.setup.lease / 2)
		return func() { r.skew(0) }
	}},
	{name: "the workers' disk is full", begin: repeated(6*time.Second, fillDisk)},
	{name: "children are killed for want of memory", begin: killChildren},
}

// chance is true with a probability, and counts what strikes.
func (r *rig) chance(p float64) bool {
	if rand.Float64() >= p {
		return false
	}
	r.struck.Add(1)
	return true
}

func storageFault(of func(*rig) verdict) func(*rig) func() {
	return func(r *rig) func() {
		r.storage.set(func(*http.Request) verdict { return of(r) })
		return func() { r.storage.set(nil) }
	}
}

func redisFault(of func(*rig) verdict) func(*rig) func() {
	return func(r *rig) func() {
		r.wire.set(func(*call) verdict { return of(r) })
		return func() { r.wire.set(nil) }
	}
}

// repeated strikes at once, and again after each pause.
func repeated(every time.Duration, strike func(*rig)) func(*rig) func() {
	return func(r *rig) func() {
		stop := make(chan struct{})
		var ended sync.WaitGroup
		ended.Go(func() {
			for {
				r.struck.Add(1)
				strike(r)
				select {
				case <-stop:
					return
				case <-time.After(every):
				}
			}
		})
		return func() { close(stop); ended.Wait() }
	}
}

// failover makes a follower the first, whose last writes are then those of some moments ago: what the old first took in after that is
// lost.
func failover(r *rig) func() {
	host, port := "127.0.0.1", r.redis.Addr[len("127.0.0.1:"):]
	follower := redistest.StartTCP(r.t.(*testing.T), "--appendonly", "yes", "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	client := redis.NewClient(&redis.Options{Addr: follower.Addr})
	defer client.Close()
	for range 100 { // a follower that is not in sync would be the fault of losing everything
		if role, err := client.Do(context.Background(), "ROLE").Slice(); err == nil && len(role) > 3 && role[3] == "connected" {
			break
		}
		time.Sleep(50 * time.Millisecond) // polling a program that runs on its own
	}
	r.struck.Add(1)
	if err := client.SlaveOf(context.Background(), "NO", "ONE").Err(); err != nil {
		r.t.Error(err)
	}
	time.Sleep(500 * time.Millisecond) // what is written now is lost
	old := r.redis
	r.redis = follower
	r.wire.target.Store(follower)
	old.Kill()
	r.wire.cutAll()
	return func() {}
}

func (r *rig) refuse(refuses func() error) {
	r.launch.mu.Lock()
	defer r.launch.mu.Unlock()
	r.launch.refuses = refuses
}

// skew replaces every worker by ones whose clock is off.
func (r *rig) skew(by time.Duration) {
	r.launch.mu.Lock()
	r.launch.skew = by
	r.launch.mu.Unlock()
	for _, pid := range workers() {
		r.struck.Add(1)
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
}

// fillDisk takes all room on the workers' disk for a while.
func fillDisk(r *rig) {
	path := filepath.Join(r.work, "full")
	f, err := os.Create(path)
	if err != nil {
		return // it is full
	}
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	for block := make([]byte, 64); ; {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	f.Close()
	time.Sleep(2 * time.Second) // the fault is that it is full
	os.Remove(path)
}
