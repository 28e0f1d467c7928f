package redisq_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

func connect(t testing.TB, s *redistest.Server) *redis.Client {
	t.Helper()
	client, err := redisq.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func open(t testing.TB, client *redis.Client, cfg queue.Config) *redisq.Queue {
	t.Helper()
	q, err := redisq.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func flush(t testing.TB, client *redis.Client) {
	t.Helper()
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestContract(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := connect(t, server)
	queuetest.Suite{
		Open: func(t testing.TB, cfg queue.Config) queuetest.Queue {
			flush(t, client)
			return open(t, client, cfg)
		},
		Crash: func(t testing.TB, _ queuetest.Queue, cfg queue.Config) queuetest.Queue {
			server.Kill()
			server.Run()
			return open(t, client, cfg)
		},
	}.Run(t)
}

// TestModel compares ten thousand random schedules with memq: well under a minute of processor time, and four times as
// much under the race detector, which therefore sees fewer.
func TestModel(t *testing.T) {
	schedules := 10_000
	switch {
	case testing.Short():
		schedules = 300
	case raceDetector:
		schedules = 2_500
	}
	client := connect(t, redistest.Start(t))
	queuetest.Suite{Open: func(t testing.TB, cfg queue.Config) queuetest.Queue {
		flush(t, client)
		return open(t, client, cfg)
	}}.RunModel(t, schedules)
}
