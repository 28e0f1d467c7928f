package redisq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// The crash test proves the promise of this package with real processes: while workers and redis-server itself are killed
// every second, every request is completed, and no stage of it has a second manifest. Its "bucket" is a folder in which a
// file is made only when there is none of its name; its "events" are the workers' own Enqueue after Complete, which a kill
// may swallow.
//
// A killed redis-server loses nothing that it answered: the kernel has it. To get what a machine without power loses with
// appendfsync everysec, every other kill also cuts off what was appended in the second before.

const (
	crashRequests = 1000 // a task for each stage
	crashWorkers  = 8
	crashLimit    = time.Minute           // for all of it; some 15 seconds are enough on two busy cores
	crashWork     = 10 * time.Millisecond // of a task, so that there is time to be killed
)

var crashPolicy = queue.Config{LeaseFor: 2 * time.Second, HandoverGrace: time.Second, MaxAttempts: 20}

// Environment of a worker process: the test binary itself.
const (
	crashURL = "REDISQ_CRASH_TEST_URL"
	crashDir = "REDISQ_CRASH_TEST_DIR"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(crashURL); url != "" {
		if err := crashWorker(context.Background(), url, os.Getenv(crashDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashWorker works until it is killed.
func crashWorker(ctx context.Context, url, dir string) error {
	client, err := redisq.Connect(url)
	if err != nil {
		return err
	}
	q, err := redisq.Open(ctx, client, crashPolicy)
	if err != nil {
		return err
	}
	name := strconv.Itoa(os.Getpid())
	claims, err := os.OpenFile(filepath.Join(dir, "claims", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for {
		did := false
		for _, stage := range pipeline.Stages() {
			leases, err := q.Claim(ctx, stage, name, 1)
			if err != nil {
				return err
			}
			for _, l := range leases {
				for did = true; l != nil; {
					if _, err := fmt.Fprintln(claims, fenceOf(l)); err != nil {
						return err
					}
					if l, err = crashTask(ctx, q, l, dir); err != nil {
						return err
					}
				}
			}
		}
		if !did {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// fenceOf identifies a claim.
func fenceOf(l queue.Lease) string {
	return fmt.Sprintf("%s.%s.%d", l.Task().RequestID, l.Task().Stage, l.Fence())
}

// crashTask is what internal/stage does, without the work. It returns the next task, if there is one.
func crashTask(ctx context.Context, q *redisq.Queue, l queue.Lease, dir string) (queue.Lease, error) {
	t := l.Task()
	path := filepath.Join(dir, "manifests", t.RequestID+"."+string(t.Stage))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		time.Sleep(crashWork)
		if err := l.Heartbeat(ctx, pipeline.Progress{}); err != nil {
			return nil, dropped(err)
		}
		temporary := filepath.Join(dir, "claims", fenceOf(l)+".tmp")
		if err := os.WriteFile(temporary, []byte(fenceOf(l)), 0o600); err != nil {
			return nil, err
		}
		err := os.Link(temporary, path) // fails when there is one: written whole, and once
		if err := os.Remove(temporary); err != nil {
			return nil, err
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	manifest := queuetest.Manifest(t.RequestID, t.Stage)
	following, err := l.CompleteAndClaim(ctx, manifest)
	if err != nil {
		return nil, dropped(err)
	}
	if next, ok := t.Stage.Next(); ok {
		_, err := q.Enqueue(ctx, queue.Task{RequestID: t.RequestID, Stage: next, Input: manifest})
		if err != nil && !errors.Is(err, queue.ErrNotFound) { // lost with the last second, and rebuilt
			return nil, err
		}
	}
	return following, nil
}

func dropped(err error) error {
	if errors.Is(err, queue.ErrLeaseLost) {
		return nil
	}
	return err
}

// crash is the test's world.
type crash struct {
	*testing.T
	dir                                                   string
	server                                                *redistest.Server
	q                                                     *redisq.Queue
	requests                                              []pipeline.Request
	workers                                               []*exec.Cmd
	stderr                                                []*bytes.Buffer
	sizes                                                 []int64 // of the append-only file, ten a second
	kills, workerKills, cuts, rebuilt, handovers, expired int
	cutBytes                                              int64
}

func newCrash(t *testing.T, client *redis.Client) *crash {
	c := &crash{T: t, dir: t.TempDir()}
	for _, name := range []string{"manifests", "claims"} {
		if err := os.Mkdir(filepath.Join(c.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.q = open(t, client, crashPolicy)
	for i := range crashRequests {
		c.requests = append(c.requests, queuetest.Request(time.Now(), i))
	}
	c.rebuild() // from records and uploads alone: this is how they get in
	return c
}

func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some 20 seconds")
	}
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
	c := newCrash(t, connect(t, server))
	c.server = server
	c.workers, c.stderr = make([]*exec.Cmd, crashWorkers), make([]*bytes.Buffer, crashWorkers)
	for i := range c.workers {
		c.startWorker(i)
	}
	defer func() {
		for i := range c.workers {
			c.killWorker(i)
		}
	}()
	started := time.Now()
	for tick := 1; !c.done(); tick++ {
		if time.Since(started) > crashLimit {
			c.unfinished(connect(t, server))
			t.Fatalf("not done after %v: %s", time.Since(started), c.count())
		}
		time.Sleep(100 * time.Millisecond)
		c.sizes = append(c.sizes, size(c.T, appendOnlyFile(c.T, c.server)))
		c.reap()
		if tick%10 == 0 {
			c.killAll(tick/10%2 == 0)
		}
	}
	t.Logf("%v: %s", time.Since(started).Round(time.Millisecond), c.count())
	c.check()
}

// unfinished is what the queue knows of requests that are not completed.
func (c *crash) unfinished(client *redis.Client) {
	for _, r := range c.requests {
		if s, err := c.q.Lookup(c.Context(), r.ID); err != nil || s.Status != pipeline.Completed {
			record, _ := client.HGetAll(c.Context(), "{q4}request:"+r.ID).Result() // for the eye
			c.Logf("%s: %v, record %q, state %+v", r.ID, err, record, s)
		}
	}
	counts, err := c.q.Counts(c.Context())
	c.Logf("counts %+v, %v", counts, err)
}

func (c *crash) startWorker(i int) {
	c.workers[i], c.stderr[i] = exec.Command(os.Args[0]), new(bytes.Buffer)
	c.workers[i].Env = append(os.Environ(), crashURL+"="+c.server.URL(), crashDir+"="+c.dir)
	c.workers[i].Stderr = c.stderr[i]
	if err := c.workers[i].Start(); err != nil {
		c.Fatal(err)
	}
}

func (c *crash) killWorker(i int) {
	_ = c.workers[i].Process.Kill() // it may have ended before, which is what matters here
	if err := c.workers[i].Wait(); c.workers[i].ProcessState.Exited() {
		c.Errorf("a worker gave up: %v: %s", err, c.stderr[i])
	}
}

// killAll kills up to three workers and the server, cuts its file if wanted, and starts them again.
func (c *crash) killAll(cut bool) {
	for range 1 + rand.IntN(3) {
		i := rand.IntN(len(c.workers))
		c.killWorker(i)
		c.startWorker(i)
		c.workerKills++
	}
	c.server.Kill()
	c.kills++
	if cut {
		size := size(c.T, appendOnlyFile(c.T, c.server))
		secondAgo := c.sizes[max(0, len(c.sizes)-10)]
		keep := secondAgo + rand.Int64N(size-secondAgo+1)
		if err := os.Truncate(appendOnlyFile(c.T, c.server), keep); err != nil {
			c.Fatal(err)
		}
		c.cuts++
		c.cutBytes += size - keep
	}
	c.server.Run()
	// Half of what a script did may come back, and only with the next start: an append-only file that was cut within a
	// transaction is mended at the last whole command, not before the transaction.
	c.rebuild()
}

// appendOnlyFile is where Redis 7 appends; it is not rewritten during these tests.
func appendOnlyFile(t *testing.T, s *redistest.Server) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(found) != 1 {
		t.Fatalf("append-only files %v, %v", found, err)
	}
	return found[0]
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	s, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return s.Size()
}

// manifests counts files by stage and names the latest stage of each request.
func (c *crash) manifests() (n int, latest map[string]pipeline.Stage) {
	latest = map[string]pipeline.Stage{}
	entries, err := os.ReadDir(filepath.Join(c.dir, "manifests"))
	if err != nil {
		c.Fatal(err)
	}
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	for _, r := range c.requests {
		for _, stage := range pipeline.Stages() {
			if has[r.ID+"."+string(stage)] {
				latest[r.ID] = stage
			}
		}
	}
	return len(entries), latest
}

func (c *crash) rebuild() {
	_, latest := c.manifests()
	did, err := queue.Rebuild(c.Context(), c.q, func(yield func(queue.Record, error) bool) {
		for _, r := range c.requests {
			record := queue.Record{Request: r, Upload: queuetest.Upload(r.ID, 1), Done: latest[r.ID]}
			if record.Done != "" {
				record.Manifest = queuetest.Manifest(r.ID, record.Done)
			}
			if !yield(record, nil) {
				return
			}
		}
	})
	if err != nil {
		c.Fatal(err)
	}
	if c.workers != nil {
		c.rebuilt += did.Requests + did.Tasks
	}
}

// reap is the tick of internal/stage.
func (c *crash) reap() {
	did, err := c.q.Reap(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.expired += did.ExpiredLeases
	for _, m := range did.LostHandovers {
		id, file, _ := strings.Cut(m.Name, "/")
		next, more := pipeline.Stage(strings.TrimSuffix(file, ".manifest.json")).Next()
		if !more {
			c.Fatalf("%s is handed over, and nothing follows it", m.Name)
		}
		if _, err := c.q.Enqueue(c.Context(), queue.Task{RequestID: id, Stage: next, Input: m}); err != nil {
			c.Fatal(err)
		}
		c.handovers++
	}
}

func (c *crash) done() bool {
	counts, err := c.q.StatusCounts(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	if counts[pipeline.Failed] > 0 {
		c.Fatalf("requests failed: %s", c.count())
	}
	if n, _ := c.manifests(); n < crashRequests*len(pipeline.Stages()) {
		return false
	}
	for _, r := range c.requests { // the counters may have lost half a script, too
		if s, err := c.q.Lookup(c.Context(), r.ID); err != nil || s.Status != pipeline.Completed {
			return false
		}
	}
	return true
}

func (c *crash) count() string {
	n, latest := c.manifests()
	completed := 0
	for _, stage := range latest {
		if stage == pipeline.Export {
			completed++
		}
	}
	return fmt.Sprintf("%d requests, %d completed, %d of %d manifests; redis-server killed %d times, %d times with its last second "+
		"cut (%d bytes in all); %d workers killed; %d leases expired, %d handovers redone, %d requests and tasks rebuilt", crashRequests,
		completed, n, crashRequests*len(pipeline.Stages()), c.kills, c.cuts, c.cutBytes, c.workerKills, c.expired, c.handovers, c.rebuilt)
}

// check: every manifest is there, each written under a fence that was given out once.
func (c *crash) check() {
	claimed := map[string]int{}
	logs, err := filepath.Glob(filepath.Join(c.dir, "claims", "*"))
	if err != nil {
		c.Fatal(err)
	}
	claims := 0
	for _, log := range logs {
		if strings.HasSuffix(log, ".tmp") { // its writer was killed
			continue
		}
		text, err := os.ReadFile(log)
		if err != nil {
			c.Fatal(err)
		}
		for _, fence := range strings.Fields(string(text)) {
			claims++
			if claimed[fence]++; claimed[fence] == 2 {
				c.Errorf("fence %s was given out twice", fence)
			}
		}
	}
	written := map[string]bool{}
	for _, r := range c.requests {
		for _, stage := range pipeline.Stages() {
			fence, err := os.ReadFile(filepath.Join(c.dir, "manifests", r.ID+"."+string(stage)))
			if err != nil {
				c.Errorf("lost: %v", err)
				continue
			}
			if claimed[string(fence)] != 1 || written[string(fence)] {
				c.Errorf("%s of %s was written under fence %s, which has %d claims", stage, r.ID, fence, claimed[string(fence)])
			}
			written[string(fence)] = true
		}
		if s, err := c.q.Lookup(c.Context(), r.ID); err != nil || s.Status != pipeline.Completed {
			c.Errorf("%s: %s, %v", r.ID, s.Status, err)
		}
	}
	c.Logf("%d claims for %d manifests, every fence once", claims, len(written))
}
