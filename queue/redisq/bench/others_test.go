package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// asynqRedis leads asynq to a server.
func asynqRedis(s *redistest.Server) asynq.RedisClientOpt {
	if s.Addr != "" {
		return asynq.RedisClientOpt{Addr: s.Addr}
	}
	return asynq.RedisClientOpt{Network: "unix", Addr: s.Socket}
}

// benchmarkArgs lead redis-benchmark to a server.
func benchmarkArgs(s *redistest.Server) []string {
	if host, port, err := net.SplitHostPort(s.Addr); err == nil {
		return []string{"-h", host, "-p", port}
	}
	return []string{"-s", s.Socket}
}

var asynqPayload = make([]byte, 200)

func (m *measurement) asynqEnqueue() error {
	id := benchID(int(m.asynqN.Add(1)))
	_, err := m.asynq.Enqueue(asynq.NewTask("bench", asynqPayload), asynq.TaskID(id))
	return err
}

// asynqProcess measures how fast an asynq server with c workers handles tasks that do nothing, from the first handled one.
func (m *measurement) asynqProcess(op operation) {
	cpu := m.cpu()
	server := asynq.NewServer(m.asynqOpt, asynq.Config{Concurrency: op.c, LogLevel: asynq.FatalLevel})
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
	m.add(op, benchTasks/(float64(last.Load()-first.Load())/1e9), (m.cpu()-cpu)/float64(handled.Load()), nil)
	// It went on until it was stopped: put back what the depth lacks.
	for extra := handled.Load() - benchTasks; extra > 0; extra-- {
		m.must(m.asynqEnqueue())
	}
}

// floor is redis-benchmark calling the same script over as many connections with the same choice of requests, as many at once.
func (m *measurement) floor(op operation) {
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
	task := queue.Task{RequestID: prefix + "__rand_int__", Stage: benchStage, Input: queuetest.Upload(prefix+"__rand_int__", 1)}
	scripts := m.recordEnqueue(slices.Repeat([]queue.Task{task}, benchPipe)) // each will have another number
	tasksPerCall := benchPipe / len(scripts)
	calls := benchPiped / tasksPerCall
	command := append(benchmarkArgs(m.server), "-n", strconv.Itoa(calls), "-c", strconv.Itoa(op.c), "-P", strconv.Itoa(len(scripts)),
		"-r", strconv.Itoa(benchPiped), "--csv")
	command = append(command, scripts[0]...)
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
	m.add(op, rate*float64(tasksPerCall), (m.cpu()-cpu)/benchPiped, nil)
}

// recordEnqueue returns the commands that EnqueueAll would send for tasks, without sending them.
func (m *measurement) recordEnqueue(tasks []queue.Task) [][]string {
	client := connect(m.b, m.server)
	q := open(m.b, client, queue.Config{LeaseFor: time.Hour})
	var r recorder
	client.AddHook(&r)
	_, err := q.EnqueueAll(m.b.Context(), tasks)
	m.must(err)
	if len(r.commands) == 0 || len(tasks)%len(r.commands) != 0 {
		m.b.Fatalf("%d tasks are enqueued by %d commands, want the same number of tasks in each", len(tasks), len(r.commands))
	}
	return r.commands
}

// recorder is a hook of a client that notes pipelined commands and answers each with errRecorded instead of sending it.
type recorder struct{ commands [][]string }

var errRecorded = errors.New("recorded, not sent")

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (r *recorder) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, commands []redis.Cmder) error {
		for _, c := range commands {
			c.SetErr(errRecorded)
			var words []string
			for _, a := range c.Args() {
				words = append(words, fmt.Sprint(a))
			}
			r.commands = append(r.commands, words)
		}
		return errRecorded
	}
}
