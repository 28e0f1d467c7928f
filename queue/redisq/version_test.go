package redisq_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// TestStateOfAnOlderVersionIsRemovedAndRebuilt: its keys are gone after Open, others stay; the queue is not whole, which makes the
// reaper rebuild it, also when a newer program had worked before the older one.
func TestStateOfAnOlderVersionIsRemovedAndRebuilt(t *testing.T) {
	for name, old := range map[string][]string{
		"2": {"{q}version", "{q}r01j9zt5k8m", "{q}ready:train", "{q}events"},
		"3": {"{q3}counts", "{q3}request:01j9zt5k8m", "{q3}ready:train", "{q3}whole"},
	} {
		t.Run(name, func(t *testing.T) { olderVersion(t, old) })
	}
}

func olderVersion(t *testing.T, old []string) {
	client := connect(t, redistest.Start(t))
	clock := queuetest.NewClock()
	s := newShop(t, client, clock, queue.Config{Now: clock.Now})
	s.add(pipeline.Train)
	s.must(s.q.BeginRestore(t.Context(), "first"))
	s.must(s.q.SetWhole(t.Context(), "first"))

	// An older program comes back, takes a request and leaves.
	for _, key := range old {
		s.must(client.Set(t.Context(), key, 2, 0).Err())
	}
	s.must(client.Set(t.Context(), "someone:else", 1, 0).Err())
	taken := queuetest.Request(clock.Now(), 77)
	s.requests, s.uploads[taken.ID] = append(s.requests, taken), true

	q := open(t, client, queue.Config{Now: clock.Now})
	if n, err := client.Exists(t.Context(), old...).Result(); n != 0 || err != nil {
		t.Errorf("%d keys of the older version are left, %v", n, err)
	}
	if n, err := client.Exists(t.Context(), "someone:else").Result(); n != 1 || err != nil {
		t.Errorf("a key of somebody else is gone, %v", err)
	}
	if whole, err := q.Whole(t.Context()); whole || err != nil {
		t.Errorf("whole %v, %v", whole, err)
	}
	if did := s.rebuild(); did.Requests != 1 || did.Tasks != 1 {
		t.Errorf("rebuilt %+v, want the request that the older program took", did)
	}
	if _, err := q.Lookup(t.Context(), taken.ID); err != nil {
		t.Error(err)
	}
	s.must(q.Prepare(t.Context()))
	if whole, err := q.Whole(t.Context()); !whole || err != nil {
		t.Errorf("whole %v, %v, after the rebuild", whole, err)
	}
}

// TestManyKeysOfAnOlderVersion: more of them than one SCAN returns.
func TestManyKeysOfAnOlderVersion(t *testing.T) {
	client := connect(t, redistest.Start(t))
	pipe := client.Pipeline()
	pipe.Set(t.Context(), "{q}version", 1, 0)
	for i := range 3_000 {
		pipe.HSet(t.Context(), "{q}r"+queuetest.Request(time.UnixMilli(1), i).ID, "S", "Q")
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, client, queue.Config{})
	if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("%d keys are left, %v", n, err)
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
