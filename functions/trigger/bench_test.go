package trigger_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/adapters/ratelimit"
	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/redisq"
)

const benchClients = 50

// BenchmarkAPI measures POST /trigger-reconstruction and GET /status under 50 concurrent clients, on real Redis, and in
// the same run a handler that does nothing but one round trip to Redis. The three take turns in short rounds, and what
// counts is the median over rounds of the ratio to the bare handler in the same round (x_p50, x_p99): a machine that is
// busy with something else for a while spoils a round and not the figure. A POST makes two round trips by nature, for the limit and for the queue; storage and Pub/Sub are in memory.
func BenchmarkAPI(b *testing.B) {
	rdb := startRedis(b)
	q, err := redisq.Open(context.Background(), rdb, queue.Config{})
	if err != nil {
		b.Fatal(err)
	}
	const unlimited = 1 << 30
	limit, err := ratelimit.NewRedis(rdb, "bench", ratelimit.Limit{Calls: unlimited, Window: time.Second}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, func(c *trigger.Config) {
		c.Queue, c.News, c.Limiter, c.Now, c.After = q, q, ratelimit.NewShield(limit, unlimited, unlimited, time.Now), time.Now, time.After
	})
	api := httptest.NewServer(w.handler)
	defer api.Close()
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if err := rdb.Ping(r.Context()).Err(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"status":"QUEUED"}`)
	}))
	defer bare.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchClients}}
	token := w.trigger("watched").CallbackToken

	var session atomic.Int64
	post := func(url string) func() *http.Request {
		return func() *http.Request {
			r, _ := http.NewRequest("POST", url, strings.NewReader(fmt.Sprintf(`{"session_id":"s%d"}`, session.Add(1))))
			r.Header.Set("Content-Type", "application/json")
			return r
		}
	}
	get := func(url string) func() *http.Request {
		return func() *http.Request {
			r, _ := http.NewRequest("GET", url, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			return r
		}
	}
	kinds := []struct {
		name   string
		make   func() *http.Request
		status int
		all    []latencies // a round each
	}{{name: "bare", make: post(bare.URL), status: 200}, {name: "status", make: get(api.URL + "/status"), status: 200},
		{name: "trigger", make: post(api.URL + "/trigger-reconstruction"), status: 202}}
	for b.Loop() {
		for round := range benchRounds {
			for i := range kinds {
				c := &kinds[(round+i)%len(kinds)] // nobody is always first
				c.all = append(c.all, measure(b, client, c.make, c.status))
			}
		}
	}
	for _, c := range kinds {
		b.ReportMetric(middle(c.all, func(i int) float64 { return c.all[i].p50.Seconds() * 1e3 }), c.name+"_p50_ms")
		b.ReportMetric(middle(c.all, func(i int) float64 { return c.all[i].p99.Seconds() * 1e3 }), c.name+"_p99_ms")
		if c.name != "bare" {
			b.ReportMetric(middle(c.all, func(i int) float64 { return float64(c.all[i].p50) / float64(kinds[0].all[i].p50) }), c.name+"_x_p50")
			b.ReportMetric(middle(c.all, func(i int) float64 { return float64(c.all[i].p99) / float64(kinds[0].all[i].p99) }), c.name+"_x_p99")
		}
	}
	b.ReportMetric(0, "ns/op") // of all rounds together: says nothing
}

const (
	benchRounds = 15
	benchCalls  = 500 // of a kind in a round
)

type latencies struct{ p50, p99 time.Duration }

// middle is the median over rounds.
func middle(rounds []latencies, of func(i int) float64) float64 {
	values := make([]float64, len(rounds))
	for i := range rounds {
		values[i] = of(i)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// measure makes benchCalls calls, 50 at a time.
func measure(b *testing.B, client *http.Client, next func() *http.Request, status int) latencies {
	all := make([]time.Duration, benchCalls)
	var i atomic.Int64
	var wg sync.WaitGroup
	for range benchClients {
		wg.Go(func() {
			for n := i.Add(1) - 1; n < benchCalls; n = i.Add(1) - 1 {
				start := time.Now()
				resp, err := client.Do(next())
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				all[n] = time.Since(start)
				if resp.StatusCode != status {
					b.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(all)
	return latencies{max(1, all[len(all)/2]), max(1, all[len(all)*99/100])}
}

// startRedis starts a redis-server of this test's own, on a unix socket.
func startRedis(t testing.TB) *redis.Client {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "trigger") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	server := exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	for t.Context().Err() == nil {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
	}
	rdb, err := redisq.Connect("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}
