package redisq_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// TestFailover: two servers, of which one follows the other, change places while eight workers work. The one that follows is
// made the first before the clients hear of it, so that what they write meanwhile is lost; then the old first follows and
// refuses writes; then their connections break and lead to the new one. After a rebuild every request is completed, every
// manifest written once, and no worker has seen an error.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("changes servers for some 10 seconds")
	}
	ports := freePorts(t, 2)
	servers := make([]*redistest.Server, 2)
	clients := make([]*redis.Client, 2)
	for i := range servers {
		servers[i] = redistest.Start(t, "--port", ports[i], "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
		clients[i] = connect(t, servers[i])
	}
	first, follower := 0, 1
	follow := func() {
		if err := clients[follower].SlaveOf(t.Context(), "127.0.0.1", ports[first]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	inSync := func() bool {
		info, err := clients[follower].Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	}
	follow()
	way := newWire(t, servers[first], 0)
	client, err := redisq.Connect(way.url())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := newCrash(t, client)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for range crashWorkers {
		workers.Go(func() {
			if err := crashWorker(ctx, way.url(), c.dir); !errors.Is(err, context.Canceled) {
				t.Errorf("a worker gave up: %v", err)
			}
		})
	}
	failovers := 0
	started := time.Now()
	for tick := 1; !c.done(); tick++ {
		if time.Since(started) > crashLimit {
			c.unfinished(clients[first])
			t.Fatalf("not done after %v, %d failovers", time.Since(started), failovers)
		}
		time.Sleep(100 * time.Millisecond)
		c.reap()
		if tick%10 != 0 || !inSync() {
			continue
		}
		if err := clients[follower].SlaveOf(t.Context(), "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		first, follower = follower, first
		follow()
		time.Sleep(50 * time.Millisecond)
		way.lead(servers[first])
		failovers++
		c.rebuild()
	}
	cancel()
	workers.Wait()
	if failovers < 2 {
		t.Errorf("%d failovers: the test has shown little", failovers)
	}
	t.Logf("%v: %d failovers, %d leases expired, %d handovers redone", time.Since(started).Round(time.Millisecond), failovers, c.expired, c.handovers)
	c.check()
}

// freePorts finds ports that nobody listens on.
func freePorts(t *testing.T, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}
