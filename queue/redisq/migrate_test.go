package redisq_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

func TestMigration(t *testing.T) {
	client := connect(t, redistest.Start(t))
	q := open(t, client, queue.Config{}) // of the version that is
	if v, err := client.Get(t.Context(), "{q}version").Int(); v != redisq.Version || err != nil {
		t.Fatalf("version %d, %v", v, err)
	}
	var mu sync.Mutex
	var ran []int
	steps := map[int]func(context.Context, *redis.Client) error{}
	for _, from := range []int{redisq.Version, redisq.Version + 1} {
		steps[from] = func(context.Context, *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, from)
			return nil
		}
	}
	// Several programs at once: each step is done once, before the next.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := q.Migrate(t.Context(), redisq.Version+2, steps); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !slices.Equal(ran, []int{redisq.Version, redisq.Version + 1}) {
		t.Errorf("steps %v", ran)
	}
	_, err := redisq.Open(t.Context(), client, queue.Config{})
	if err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("state of a newer program: %v", err)
	}
	if err := q.Migrate(t.Context(), redisq.Version+3, steps); err == nil {
		t.Error("a missing step was not noticed")
	}
}

// TestSessionsOfVersionOneAreFiledByCaller: state as version 1 left it has the sessions of API keys under their names alone.
func TestSessionsOfVersionOneAreFiledByCaller(t *testing.T) {
	client := connect(t, redistest.Start(t))
	q := open(t, client, queue.Config{})
	own, shared := queuetest.Request(time.UnixMilli(1_790_000_000_000), 1), queuetest.Request(time.UnixMilli(1_790_000_000_000), 2)
	own.Caller = pipeline.KeyCaller + "app"
	for _, r := range []*pipeline.Request{&own, &shared} {
		old := *r
		old.Caller = strings.Replace(old.Caller, ":", "_", 1) // filed under its name alone
		if err := q.Submit(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		record := client.HGet(t.Context(), "{q}r"+r.ID, "r").Val()
		if err := client.HSet(t.Context(), "{q}r"+r.ID, "r", strings.Replace(record, "key_app", "key:app", 1)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.Set(t.Context(), "{q}version", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	q = open(t, client, queue.Config{})
	duplicate := func(change func(*pipeline.Request)) error {
		r := queuetest.Request(time.UnixMilli(1_790_000_000_000), 3)
		change(&r)
		return q.Submit(t.Context(), r)
	}
	for _, r := range []pipeline.Request{own, shared} {
		if err := duplicate(func(x *pipeline.Request) { x.SessionID, x.Caller = r.SessionID, r.Caller }); !errors.Is(err, &queue.DuplicateError{RequestID: r.ID}) {
			t.Errorf("session of %s: %v", r.Caller, err)
		}
	}
	if err := duplicate(func(x *pipeline.Request) { x.SessionID, x.Caller = own.SessionID, pipeline.KeyCaller+"other" }); err != nil {
		t.Errorf("another key's: %v", err)
	}
}

func TestOpenRefusesAClientThatRepeatsByItself(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "localhost:1"})
	defer client.Close()
	if _, err := redisq.Open(t.Context(), client, queue.Config{}); err == nil {
		t.Error("it was taken")
	}
	if _, err := redisq.Connect("http://x"); err == nil {
		t.Error("no URL of Redis, and it was taken")
	}
}
