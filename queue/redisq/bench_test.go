package redisq_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
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

// BenchmarkQueue measures the queue at three depths, in rounds in which it takes turns with asynq doing the same on a
// redis-server of its own, and with redis-benchmark running the very enqueue script. It reports medians of rounds, and
// ratios of them: absolute numbers mean little on a machine that others use. A million waiting requests need 2 GB of memory
// for both servers and some minutes; -short leaves them out.
//
//	go test -run '^$' -bench BenchmarkQueue -benchtime 1x -timeout 30m ./queue/redisq
func BenchmarkQueue(b *testing.B) {
	depths := []int{0, 10_000, 1_000_000}
	if testing.Short() {
		depths = depths[:2]
	}
	p50 := map[string]time.Duration{} // by operation, at depth 0
	for _, depth := range depths {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			for range b.N {
				newMeasurement(b, depth).run(p50)
			}
		})
	}
}

const (
	benchRounds = 5
	benchTasks  = 4_000  // of one operation in one round
	benchPiped  = 20_000 // pipelined
	benchStage  = pipeline.Filter
)

// result of one operation in one round.
type result struct {
	rate     float64 // a second
	p50, p99 time.Duration
	cpu      float64 // microseconds of client and server for one operation: steadier than the rate on a busy machine
}

type measurement struct {
	b          *testing.B
	depth      int
	server     *redistest.Server
	client     *redis.Client
	q          *redisq.Queue
	n          int // requests submitted so far
	asynqOpt   asynq.RedisClientOpt
	asynq      *asynq.Client
	asynqRedis *redis.Client
	asynqN     int
	results    map[string][]result
	order      []string
}

func newMeasurement(b *testing.B, depth int) *measurement {
	m := &measurement{b: b, depth: depth, server: redistest.Start(b), results: map[string][]result{}}
	m.client = connect(b, m.server)
	m.q = open(b, m.client, queue.Config{LeaseFor: time.Hour})
	other := redistest.Start(b)
	m.asynqRedis = connect(b, other)
	m.asynqOpt = asynq.RedisClientOpt{Network: "unix", Addr: other.Socket}
	m.asynq = asynq.NewClient(m.asynqOpt)
	b.Cleanup(func() { m.asynq.Close() })
	return m
}

func (m *measurement) must(err error) {
	m.b.Helper()
	if err != nil {
		m.b.Fatal(err)
	}
}

func (m *measurement) run(p50 map[string]time.Duration) {
	if m.depth > 0 {
		m.fill()
	}
	for range benchRounds {
		for _, c := range []int{1, 8} {
			m.round(c)
		}
	}
	m.report(p50)
}

// round does every operation once, with c connections: what is enqueued is claimed again, so the depth stays.
func (m *measurement) round(c int) {
	ctx := m.b.Context()
	ids := m.submit(benchTasks)
	m.measure(fmt.Sprintf("enqueue c=%d", c), c, benchTasks, 1, func(i int) error {
		_, err := m.q.Enqueue(ctx, queue.Task{RequestID: ids[i], Stage: benchStage, Input: queuetest.Upload(ids[i], 1)})
		return err
	})
	m.measure(fmt.Sprintf("asynq enqueue c=%d", c), c, benchTasks, 1, func(int) error { return m.asynqEnqueue() })
	m.measure(fmt.Sprintf("claim+complete c=%d", c), c, benchTasks, 1, func(int) error { return m.work(ctx, 1) })
	m.asynqProcess(fmt.Sprintf("asynq process c=%d", c), c)

	ids = m.submit(benchPiped)
	m.measure(fmt.Sprintf("enqueue pipelined c=%d", c), c, benchPiped/512, 512, func(int) error {
		tasks := make([]queue.Task, 512)
		for i := range tasks {
			id := ids[rand.IntN(len(ids))]
			tasks[i] = queue.Task{RequestID: id, Stage: benchStage, Input: queuetest.Upload(id, 1)}
		}
		_, err := m.q.EnqueueAll(ctx, tasks)
		return err
	})
	m.drain()
	m.floor(fmt.Sprintf("floor pipelined c=%d", c), c)
	tasks := m.drainable()
	m.measure(fmt.Sprintf("claim 16+complete 16 c=%d", c), c, tasks/16, 16, func(int) error { return m.work(ctx, 16) })
	m.drain()
}

// measure runs do n times, in c goroutines; each call stands for weight operations.
func (m *measurement) measure(name string, c, n, weight int, do func(i int) error) {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	cpu := m.cpu()
	start := time.Now()
	for range c {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				before := time.Now()
				if err := do(i); err != nil {
					m.b.Error(err)
					return
				}
				took[i] = time.Since(before)
			}
		})
	}
	wg.Wait()
	rate := float64(n*weight) / time.Since(start).Seconds()
	m.add(name, rate, (m.cpu()-cpu)/float64(n*weight), took)
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

func (m *measurement) add(name string, rate, cpu float64, took []time.Duration) {
	r := result{rate: rate, cpu: cpu}
	if len(took) > 0 {
		slices.Sort(took)
		r.p50, r.p99 = took[len(took)/2], took[len(took)*99/100]
	}
	if m.results[name] == nil {
		m.order = append(m.order, name)
	}
	m.results[name] = append(m.results[name], r)
}

// benchID is an id that redis-benchmark can make, too: it writes twelve digits.
func benchID(n int) string { return fmt.Sprintf("%014d%012d", 0, n) }

// submit records n requests and returns their ids.
func (m *measurement) submit(n int) []string { return m.submitAs(n, benchID) }

func (m *measurement) submitAs(n int, id func(n int) string) []string {
	now := time.Now()
	requests := make([]pipeline.Request, n)
	ids := make([]string, n)
	for i := range requests {
		r := queuetest.Request(now, m.n)
		if id != nil {
			r.ID = id(m.n)
		}
		r.SessionID = fmt.Sprintf("%08x-0000-4000-8000-%012x", m.n, m.n) // as long as a UUID
		r.Deadline = now.Add(24 * time.Hour)
		requests[i], ids[i] = r, r.ID
		m.n++
	}
	errs, err := m.q.SubmitAll(m.b.Context(), requests)
	m.must(err)
	for _, err := range errs {
		m.must(err)
	}
	return ids
}

// work claims and completes up to n tasks.
func (m *measurement) work(ctx context.Context, n int) error {
	leases, err := m.q.Claim(ctx, benchStage, "bench", n)
	if err != nil {
		return err
	}
	if len(leases) == 0 {
		return fmt.Errorf("nothing to claim")
	}
	if n == 1 {
		return leases[0].Complete(ctx, queuetest.Manifest(leases[0].Task().RequestID, benchStage))
	}
	manifests := make([]pipeline.Object, len(leases))
	for i, l := range leases {
		manifests[i] = queuetest.Manifest(l.Task().RequestID, benchStage)
	}
	errs, err := m.q.CompleteAll(ctx, leases, manifests)
	return errors.Join(append(errs, err)...)
}

// drainable is how many tasks there are beyond the depth.
func (m *measurement) drainable() int {
	counts, err := m.q.Counts(m.b.Context())
	m.must(err)
	return counts[benchStage].Ready - m.depth
}

func (m *measurement) drain() {
	for n := m.drainable(); n > 0; {
		leases, err := m.q.Claim(m.b.Context(), benchStage, "bench", min(n, 500))
		m.must(err)
		n -= len(leases)
	}
}

// fill brings both queues to the depth, and measures the memory of a waiting request: with UUID as session, caller,
// deadline, options and upload, found by session and token.
func (m *measurement) fill() {
	before := info(m.b, m.client, "used_memory")
	m.fillOurs()
	bytes := (info(m.b, m.client, "used_memory") - before) / float64(m.depth)
	m.b.ReportMetric(bytes, "bytes/request")
	before = info(m.b, m.asynqRedis, "used_memory")
	var wg sync.WaitGroup
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
	fmt.Printf("depth %d: %.0f bytes a request; asynq, of a 200-byte payload and without session and token: %.0f\n", m.depth, bytes,
		(info(m.b, m.asynqRedis, "used_memory")-before)/float64(m.depth))
}

func (m *measurement) fillOurs() {
	for left := m.depth; left > 0; {
		ids := m.submitAs(min(left, 50_000), nil) // ids as they really are
		tasks := make([]queue.Task, len(ids))
		for i, id := range ids {
			tasks[i] = queue.Task{RequestID: id, Stage: benchStage, Input: queuetest.Upload(id, 1)}
		}
		_, err := m.q.EnqueueAll(m.b.Context(), tasks)
		m.must(err)
		left -= len(ids)
	}
}

// info is a number out of what the server tells about itself.
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
	b.Fatalf("redis-server tells no %s", name)
	return 0
}

var (
	asynqPayload = make([]byte, 200)
	asynqMu      sync.Mutex
)

func (m *measurement) asynqEnqueue() error {
	asynqMu.Lock()
	m.asynqN++
	id := benchID(m.asynqN)
	asynqMu.Unlock()
	_, err := m.asynq.Enqueue(asynq.NewTask("bench", asynqPayload), asynq.TaskID(id))
	return err
}

// asynqProcess measures how fast an asynq server with c workers handles tasks that do nothing, from the first handled one.
func (m *measurement) asynqProcess(name string, c int) {
	cpu := m.cpu()
	server := asynq.NewServer(m.asynqOpt, asynq.Config{Concurrency: c, LogLevel: asynq.FatalLevel})
	var handled atomic.Int64
	var first, last atomic.Int64
	done := make(chan struct{})
	m.must(server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		switch handled.Add(1) {
		case 1:
			first.Store(time.Now().UnixNano())
		case benchTasks:
			last.Store(time.Now().UnixNano())
			close(done)
		}
		return nil
	})))
	<-done
	server.Shutdown()
	m.add(name, benchTasks/(float64(last.Load()-first.Load())/1e9), (m.cpu()-cpu)/float64(handled.Load()), nil)
	// It went on until it was stopped: put back what the depth lacks.
	for extra := handled.Load() - benchTasks; extra > 0; extra-- {
		m.must(m.asynqEnqueue())
	}
}

// floor is redis-benchmark calling the same script with the same choice of requests, as many at once as EnqueueAll.
func (m *measurement) floor(name string, c int) {
	bin, err := exec.LookPath("redis-benchmark")
	if err != nil {
		m.b.Log("no floor: redis-benchmark is not installed")
		return
	}
	// redis-benchmark draws from 0 on, so the ids of this round differ in what stands before the twelve digits.
	m.n++
	prefix := fmt.Sprintf("%014d", m.n)
	now := time.Now()
	var requests []pipeline.Request
	for i := range benchPiped {
		r := queuetest.Request(now, i)
		r.ID = fmt.Sprintf("%s%012d", prefix, i)
		r.SessionID, r.TokenHash = "session-"+r.ID, pipeline.HashToken(r.ID)
		r.Deadline = now.Add(24 * time.Hour)
		requests = append(requests, r)
	}
	_, err = m.q.SubmitAll(m.b.Context(), requests)
	m.must(err)
	hash, args := redisq.EnqueueCommand(m.q, queue.Task{RequestID: prefix + "__rand_int__", Stage: benchStage,
		Input: queuetest.Upload(prefix+"__rand_int__", 1)}, now)
	command := append([]string{"-s", m.server.Socket, "-n", strconv.Itoa(benchPiped), "-c", strconv.Itoa(c), "-P", "512",
		"-r", strconv.Itoa(benchPiped), "--csv", "evalsha", hash, "1", "{q}"}, args...)
	cpu := m.cpu()
	out, err := exec.CommandContext(m.b.Context(), bin, command...).Output()
	m.must(err)
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll()
	m.must(err)
	if len(rows) < 2 || len(rows[len(rows)-1]) < 2 {
		m.b.Fatalf("redis-benchmark said %q", out)
	}
	rate, err := strconv.ParseFloat(rows[len(rows)-1][1], 64)
	m.must(err)
	m.add(name, rate, (m.cpu()-cpu)/benchPiped, nil)
}

func median[T int64 | float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func (m *measurement) median(name string) result {
	var rates, cpu []float64
	var p50, p99 []int64
	for _, r := range m.results[name] {
		rates, cpu = append(rates, r.rate), append(cpu, r.cpu)
		p50, p99 = append(p50, int64(r.p50)), append(p99, int64(r.p99))
	}
	if len(rates) == 0 {
		return result{}
	}
	return result{rate: median(rates), cpu: median(cpu), p50: time.Duration(median(p50)), p99: time.Duration(median(p99))}
}

// report prints a table and reports the ratios.
func (m *measurement) report(p50 map[string]time.Duration) {
	var table strings.Builder
	for _, name := range m.order {
		r := m.median(name)
		fmt.Fprintf(&table, "  %-28s %9.0f/s   %6.1f us CPU", name, r.rate, r.cpu)
		if r.p50 > 0 {
			fmt.Fprintf(&table, "   p50 %8v   p99 %8v", r.p50.Round(time.Microsecond/10), r.p99.Round(time.Microsecond/10))
		}
		if m.depth == 0 {
			p50[name] = r.p50
		} else if p50[name] > 0 && r.p50 > 0 {
			fmt.Fprintf(&table, "   p50 is %.2f of that at depth 0", float64(r.p50)/float64(p50[name]))
		}
		table.WriteByte('\n')
	}
	fmt.Printf("depth %d, medians of %d rounds:\n%s", m.depth, benchRounds, table.String())
	for _, c := range []int{1, 8} {
		// Of rates, and of processor time the other way round: more is better for us.
		ratio := func(metric, ours, theirs string) {
			a, b := m.median(fmt.Sprintf("%s c=%d", ours, c)), m.median(fmt.Sprintf("%s c=%d", theirs, c))
			if b.rate > 0 {
				m.b.ReportMetric(a.rate/b.rate, fmt.Sprintf("%s-c%d", metric, c))
				m.b.ReportMetric(b.cpu/a.cpu, fmt.Sprintf("%s-cpu-c%d", metric, c))
			}
		}
		ratio("claim+complete/asynq", "claim+complete", "asynq process")
		ratio("claim16/asynq", "claim 16+complete 16", "asynq process")
		ratio("pipelined/floor", "enqueue pipelined", "floor pipelined")
	}
	for _, name := range []string{"enqueue c=1", "claim+complete c=1"} {
		if p50[name] > 0 {
			m.b.ReportMetric(float64(m.median(name).p50)/float64(p50[name]), strings.Fields(name)[0]+"-p50/empty")
		}
	}
}
