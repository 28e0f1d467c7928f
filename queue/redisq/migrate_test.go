package redisq_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue"
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
