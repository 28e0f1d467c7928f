// Package bench measures redisq beside asynq and redis-benchmark. It is a module of its own, so that asynq is no dependency of the
// product.
package bench

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// BenchmarkQueue measures the queue over TCP and through a unix socket, at three depths, with one connection and with eight. The
// depths take turns with each other, and with asynq doing the same on a redis-server of its own. It prints medians, and medians of ratios of what was measured right after each other: absolute numbers mean
// little on a machine that others use. A million waiting requests need 2 GB of memory for both servers and some minutes.
//
//	go test -run '^$' -bench BenchmarkQueue -benchtime 1x -timeout 60m . [-args -depths 0,10000 -rounds 1]
func BenchmarkQueue(b *testing.B) {
	b.Run("tcp", func(b *testing.B) { benchmarkQueue(b, redistest.StartTCP) }) // as in the cloud
	b.Run("unix", func(b *testing.B) { benchmarkQueue(b, redistest.Start) })   // as on a laptop
}

func benchmarkQueue(b *testing.B, start func(testing.TB, ...string) *redistest.Server) {
	for range b.N {
		var at []*measurement
		for text := range strings.SplitSeq(*depths, ",") {
			depth, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			at = append(at, newMeasurement(b, start(b), start(b), depth))
		}
		for range *rounds {
			for _, c := range []int{1, 8} {
				for _, m := range at {
					for range benchTurns {
						m.oneByOne(c)
					}
				}
			}
		}
		report(b, at)
	}
}

var (
	depths = flag.String("depths", "0,10000,1000000", "how many requests wait")
	rounds = flag.Int("rounds", 5, "how often every depth has its turns")
)

const (
	benchTurns = 7     // in a round
	benchTasks = 1_000 // of one operation in one turn: so few that what is compared is measured within a second
	benchStage = pipeline.Filter
)

// result of one operation in one turn.
type result struct {
	rate     float64 // a second
	p50, p99 time.Duration
	cpu      float64 // microseconds of client and server for one operation: steadier than the rate on a busy machine
}

// operation is what is measured, by a number of workers at once.
type operation struct {
	name string
	c    int
}

// measurement is one depth.
type measurement struct {
	b          *testing.B
	depth      int
	server     *redistest.Server
	client     *redis.Client
	q          *redisq.Queue
	n          int // requests submitted so far
	mu         sync.Mutex
	completed  []string // requests that wait for their next stage
	asynqOpt   asynq.RedisClientOpt
	asynq      *asynq.Client
	asynqRedis *redis.Client
	asynqN     atomic.Int64
	bytes      float64 // of Redis, of a waiting request
	asynqBytes float64
	results    map[operation][]result
}

func newMeasurement(b *testing.B, server, other *redistest.Server, depth int) *measurement {
	m := &measurement{b: b, depth: depth, server: server, results: map[operation][]result{}}
	m.client = connect(b, server)
	m.q = open(b, m.client, queue.Config{LeaseFor: time.Hour})
	m.asynqRedis = connect(b, other)
	m.asynqOpt = asynqRedis(other)
	m.asynq = asynq.NewClient(m.asynqOpt)
	b.Cleanup(func() { m.asynq.Close() })
	if depth > 0 {
		m.fill()
	}
	return m
}

func connect(b *testing.B, s *redistest.Server) *redis.Client {
	client, err := redisq.Connect(s.URL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

func open(b *testing.B, client *redis.Client, cfg queue.Config) *redisq.Queue {
	q, err := redisq.Open(b.Context(), client, cfg)
	if err != nil {
		b.Fatal(err)
	}
	return q
}

func (m *measurement) must(err error) {
	m.b.Helper()
	if err != nil {
		m.b.Fatal(err)
	}
}

// oneByOne enqueues, claims and completes, c at once, and has asynq do the same. What is claimed moves to the next stage, so that
// the depth stays and nothing else piles up.
func (m *measurement) oneByOne(c int) {
	ctx := m.b.Context()
	tasks := uploads(m.submit(benchTasks))
	m.measure(operation{"enqueue", c}, benchTasks, func(i int) error {
		_, err := m.q.Enqueue(ctx, tasks[i])
		return err
	})
	m.measure(operation{"asynq enqueue", c}, benchTasks, func(int) error { return m.asynqEnqueue() })
	m.work(operation{"claim+complete", c})
	m.asynqProcess(operation{"asynq process", c})
	m.handOver()
}

// handOver enqueues the next stage of what was completed, as its event would.
func (m *measurement) handOver() {
	next, _ := benchStage.Next()
	tasks := make([]queue.Task, len(m.completed))
	for i, id := range m.completed {
		tasks[i] = queue.Task{RequestID: id, Stage: next, Input: queuetest.Manifest(id, benchStage)}
	}
	m.completed = m.completed[:0]
	for _, t := range tasks {
		_, err := m.q.Enqueue(m.b.Context(), t)
		m.must(err)
	}
}

func (m *measurement) done(ids ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.completed = append(m.completed, ids...)
}

func upload(id string) queue.Task {
	return queue.Task{RequestID: id, Stage: benchStage, Input: queuetest.Upload(id, 1)}
}

func uploads(ids []string) []queue.Task {
	tasks := make([]queue.Task, len(ids))
	for i, id := range ids {
		tasks[i] = upload(id)
	}
	return tasks
}

// measure runs do n times, op.c at once.
func (m *measurement) measure(op operation, n int, do func(i int) error) {
	took := make([]time.Duration, n)
	var next atomic.Int64
	m.timed(op, n, took, func() error {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			before := time.Now()
			if err := do(i); err != nil {
				return err
			}
			took[i] = time.Since(before)
		}
	})
}

// timed runs do in op.c goroutines, which together do n operations and write down how long each took.
func (m *measurement) timed(op operation, n int, took []time.Duration, do func() error) {
	var wg sync.WaitGroup
	cpu := m.cpu()
	start := time.Now()
	for range op.c {
		wg.Go(func() {
			if err := do(); err != nil {
				m.b.Error(err)
			}
		})
	}
	wg.Wait()
	rate := float64(n) / time.Since(start).Seconds()
	m.add(op, rate, (m.cpu()-cpu)/float64(n), took)
}

// work is what op.c workers do: each completes a task and claims the next in one step.
func (m *measurement) work(op operation) {
	each := benchTasks / op.c
	took := make([]time.Duration, op.c*each)
	var workers atomic.Int64
	m.timed(op, len(took), took, func() error {
		first := int(workers.Add(1)-1) * each
		leases, err := m.q.Claim(m.b.Context(), benchStage, "bench", 1)
		if err != nil || len(leases) == 0 {
			return fmt.Errorf("nothing to claim: %w", err)
		}
		l := leases[0]
		ids := make([]string, each)
		defer func() { m.done(ids...) }()
		for i := range each {
			ids[i] = l.Task().RequestID
			manifest := queuetest.Manifest(ids[i], benchStage)
			before := time.Now()
			if i < each-1 {
				l, err = l.CompleteAndClaim(m.b.Context(), manifest)
			} else {
				err = l.Complete(m.b.Context(), manifest)
			}
			if err != nil || l == nil {
				return fmt.Errorf("no next task: %w", err)
			}
			took[first+i] = time.Since(before)
		}
		return nil
	})
}

// cpu is the time that this process and both servers have used, in microseconds.
func (m *measurement) cpu() float64 {
	us := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} { // of children only redis-benchmark has ended
		var used syscall.Rusage
		m.must(syscall.Getrusage(who, &used))
		us += float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
	}
	for _, client := range []*redis.Client{m.client, m.asynqRedis} {
		us += 1e6 * (info(m.b, client, "used_cpu_sys") + info(m.b, client, "used_cpu_user"))
	}
	return us
}

func (m *measurement) add(op operation, rate, cpu float64, took []time.Duration) {
	r := result{rate: rate, cpu: cpu}
	if len(took) > 0 {
		slices.Sort(took)
		r.p50, r.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	m.results[op] = append(m.results[op], r)
}

// submit records n requests that wait for their uploads and returns their ids.
func (m *measurement) submit(n int) []string {
	records := m.records(n)
	_, err := m.q.Restore(m.b.Context(), records)
	m.must(err)
	ids := make([]string, n)
	for i, r := range records {
		ids[i] = r.Request.ID
	}
	return ids
}

// records describe n new requests.
func (m *measurement) records(n int) []queue.Record {
	now := time.Now()
	records := make([]queue.Record, n)
	for i := range records {
		r := queuetest.Request(now, m.n)
		r.SessionID = fmt.Sprintf("%08x-0000-4000-8000-%012x", m.n, m.n) // as long as a UUID
		r.Deadline = now.Add(24 * time.Hour)
		records[i].Request = r
		m.n++
	}
	return records
}

// fill brings both queues to the depth, and measures the memory of a waiting request: with UUID as session, caller,
// deadline, options and upload, found by session and token.
func (m *measurement) fill() {
	ours, theirs := info(m.b, m.client, "used_memory"), info(m.b, m.asynqRedis, "used_memory")
	var wg sync.WaitGroup
	wg.Go(m.fillOurs)
	for range 8 {
		wg.Go(func() {
			for range m.depth / 8 {
				if err := m.asynqEnqueue(); err != nil {
					m.b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.bytes = (info(m.b, m.client, "used_memory") - ours) / float64(m.depth)
	m.asynqBytes = (info(m.b, m.asynqRedis, "used_memory") - theirs) / float64(m.depth)
}

func (m *measurement) fillOurs() {
	for left := m.depth; left > 0; {
		records := m.records(min(left, 500))
		for i, r := range records {
			records[i].Upload = queuetest.Upload(r.Request.ID, 1)
		}
		if _, err := m.q.Restore(m.b.Context(), records); err != nil {
			m.b.Error(err)
			return
		}
		left -= len(records)
	}
}

// info is a number that the server reports about itself.
func info(b *testing.B, client *redis.Client, name string) float64 {
	all, err := client.Info(b.Context()).Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(all) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("redis-server reports no %s", name)
	return 0
}
