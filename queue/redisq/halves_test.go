package redisq_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/queuetest"
	"github.com/splatworks/splatworks/queue/redisq/redistest"
)

// moment is a request in the state in which something is going to happen to it.
type moment struct {
	*shop
	request pipeline.Request
	lease   queue.Lease
}

func (m *moment) ready(stage pipeline.Stage) { m.request = m.add(stage) }

func (m *moment) leased(stage pipeline.Stage) {
	m.ready(stage)
	m.lease = m.claim(stage)
}

func (m *moment) delayed(stage pipeline.Stage) {
	m.leased(stage)
	m.fail(&pipeline.Failure{Kind: pipeline.Transient, Code: "flaky"})
}

func (m *moment) fail(f *pipeline.Failure) {
	_, err := m.lease.Fail(m.Context(), f)
	m.must(err)
}

func (m *moment) reapAfter(d time.Duration) {
	m.clock.Advance(d)
	_, err := m.q.Reap(m.Context())
	m.must(err)
}

// written is the manifest of the lease's stage, which its worker has written.
func (m *moment) written() pipeline.Object {
	t := m.lease.Task()
	m.manifests[t.RequestID][t.Stage] = queuetest.Manifest(t.RequestID, t.Stage)
	return m.manifests[t.RequestID][t.Stage]
}

var halvesPolicy = queue.Config{LeaseFor: time.Hour, BackoffMin: time.Minute, BackoffMax: time.Minute, MaxAttempts: 5, Keep: 240 * time.Hour}

// happenings are what scripts write, each from the state before it. One that ends a request may be lost: the request completes.
var happenings = []struct {
	name   string
	before func(*moment)
	do     func(*moment)
	ends   pipeline.Status
}{
	{name: "submit", before: func(*moment) {}, do: func(m *moment) { m.submit() }},
	{name: "enqueue the first", before: func(m *moment) { m.request = m.submit() }, do: func(m *moment) { m.upload(m.request) }},
	{name: "claim the first", before: func(m *moment) { m.ready(pipeline.Filter) }, do: func(m *moment) { m.claim(pipeline.Filter) }},
	{name: "claim", before: func(m *moment) { m.ready(pipeline.Train) }, do: func(m *moment) { m.claim(pipeline.Train) }},
	{name: "heartbeat", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) {
		m.must(m.lease.Heartbeat(m.Context(), pipeline.Progress{Step: "training", Warning: &pipeline.Warning{Code: "dark"}}))
	}},
	{name: "complete", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) { m.work(m.lease, false) }},
	{name: "complete the last", before: func(m *moment) { m.leased(pipeline.Export) }, do: func(m *moment) { m.work(m.lease, false) }},
	{name: "complete and claim", before: func(m *moment) {
		m.leased(pipeline.Train)
		m.add(pipeline.Train)
	}, do: func(m *moment) {
		_, err := m.lease.CompleteAndClaim(m.Context(), m.written())
		m.must(err)
	}},
	{name: "enqueue the next", before: func(m *moment) {
		m.leased(pipeline.Train)
		m.work(m.lease, false)
	}, do: func(m *moment) { m.enqueueNext(m.lease.Task()) }},
	{name: "enqueue the next before the worker's word", before: func(m *moment) {
		m.leased(pipeline.Train)
		m.written()
	}, do: func(m *moment) { m.enqueueNext(m.lease.Task()) }},
	{name: "fail with a retry", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) {
		m.fail(&pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: "out_of_memory"})
	}},
	{name: "fail", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) {
		m.fail(pipeline.Invalid("dark", "Too dark.", "Light it."))
	}, ends: pipeline.Failed},
	{name: "give back", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) { m.must(m.lease.GiveBack(m.Context())) }},
	{name: "give everything back", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) {
		_, err := m.q.GiveBackAll(m.Context())
		m.must(err)
	}},
	{name: "promise", before: func(m *moment) { m.ready(pipeline.Filter) }, do: func(m *moment) {
		_, err := m.q.Promise(m.Context(), queue.Promise{RequestID: m.request.ID, Files: []queue.File{{Name: "a.jpg"}}, MaxFiles: 2, MaxBytes: 10})
		m.must(err)
	}},
	{name: "retry", before: func(m *moment) {
		m.delayed(pipeline.Train)
		m.clock.Advance(time.Hour)
	}, do: func(m *moment) { m.claim(pipeline.Train) }},
	{name: "expire", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) { m.reapAfter(2 * time.Hour) }},
	{name: "expire for the last time", before: func(m *moment) {
		m.leased(pipeline.Train)
		for range halvesPolicy.MaxAttempts - 1 {
			m.reapAfter(halvesPolicy.LeaseFor)
			m.claim(pipeline.Train)
		}
	}, do: func(m *moment) { m.reapAfter(halvesPolicy.LeaseFor) }, ends: pipeline.Failed},
	{name: "stand still", before: func(m *moment) {
		m.leased(pipeline.Train)
		m.reapAfter(0)
	}, do: func(m *moment) { m.reapAfter(2 * time.Hour) }},
	{name: "save", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) { m.must(m.lease.Saved(m.Context())) }},
	{name: "pass the deadline", before: func(m *moment) {
		m.deadline = 12 * time.Hour
		m.leased(pipeline.Train)
	}, do: func(m *moment) { m.reapAfter(24 * time.Hour) }, ends: pipeline.Failed},
	{name: "cancel what is ready", before: func(m *moment) { m.ready(pipeline.Train) }, do: func(m *moment) { m.cancel() }, ends: pipeline.Canceled},
	{name: "cancel what is leased", before: func(m *moment) { m.leased(pipeline.Train) }, do: func(m *moment) { m.cancel() }, ends: pipeline.Canceled},
	{name: "cancel what is delayed", before: func(m *moment) { m.delayed(pipeline.Train) }, do: func(m *moment) { m.cancel() }, ends: pipeline.Canceled},
	{name: "restore", before: func(m *moment) {
		m.leased(pipeline.Train)
		m.work(m.lease, true)
		m.must(m.client.FlushDB(m.Context()).Err())
	}, do: func(m *moment) { m.rebuild() }},
}

func (m *moment) cancel() { m.must(m.q.Cancel(m.Context(), m.request.ID)) }

// TestHalfAScript brings back the first writes of every script without the rest, as Redis may when its machine died and the
// append-only file ends between them: after everything before, and also under what happened afterwards, because Redis reads
// such a file once as if the script had not been, and appends to it. Rebuilt, every request ends, no script fails, and nothing
// of any is left.
func TestHalfAScript(t *testing.T) {
	// Without fsync: with everysec Redis may answer before it has written, while the disk is busy with an earlier fsync.
	live := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0")
	liveClient, client := connect(t, live), connect(t, redistest.Start(t))
	cases := 0
	for _, h := range happenings {
		begin := func(client *redis.Client) *moment {
			flush(t, client)
			clock := queuetest.NewClock()
			policy := halvesPolicy
			policy.Now = clock.Now
			return &moment{shop: newShop(t, client, clock, policy)}
		}
		file := func() int64 { return size(t, appendOnlyFile(t, live)) }

		m := begin(liveClient)
		from := file()
		h.before(m)
		middle := file()
		h.do(m)
		before, writes := commands(t, live, from, middle), commands(t, live, middle, file())

		for name, later := range map[string]func(*moment){
			"nothing":       nil,
			"the next tick": func(m *moment) { m.reapAfter(2 * time.Hour) },
			"the next claim": func(m *moment) {
				m.reapAfter(2 * time.Hour)
				for _, stage := range pipeline.Stages() {
					_, err := m.q.Claim(t.Context(), stage, "worker", 1)
					m.must(err)
				}
			},
			"the end": func(m *moment) { m.toTheEnd() },
		} {
			var afterwards [][]any
			at := m.clock.Now()
			if later != nil {
				other := begin(liveClient)
				h.before(other)
				other.clock.Advance(m.clock.Now().Sub(other.clock.Now()))
				middle := file()
				other.rebuild()
				later(other)
				afterwards = commands(t, live, middle, file())
				at = other.clock.Now()
			}
			for n := range len(writes) {
				cases++
				what := fmt.Sprintf("%s: %d of %d writes, then %s", h.name, n, len(writes), name)
				again := begin(client)
				again.clock.Advance(at.Sub(again.clock.Now()))
				again.requests, again.uploads = m.requests, maps.Clone(m.uploads)
				for id, written := range m.manifests {
					again.manifests[id] = maps.Clone(written)
				}
				replay(t, client, before, writes[:n], afterwards)
				again.what = what
				again.rebuild()
				again.toTheEnd()
				again.checkEnd(h.ends)
			}
		}
	}
	t.Logf("%d halves", cases)
}

// toTheEnd uploads, works, and ticks as internal/stage does, until every request has ended.
func (s *shop) toTheEnd() {
	for _, r := range s.requests {
		if !s.uploads[r.ID] {
			s.upload(r)
		}
	}
	for range 100 {
		did, err := s.q.Reap(s.Context())
		s.must(err)
		for _, o := range did.LostHandovers {
			id, file, _ := strings.Cut(o.Name, "/")
			s.enqueueNext(queue.Task{RequestID: id, Stage: pipeline.Stage(strings.TrimSuffix(file, ".manifest.json"))})
		}
		for _, stage := range pipeline.Stages() {
			leases, err := s.q.Claim(s.Context(), stage, "worker", 10)
			s.must(err)
			for _, l := range leases {
				s.work(l, true)
			}
		}
		open := 0
		for _, r := range s.requests {
			if state, err := s.q.Lookup(s.Context(), r.ID); err != nil || !state.Status.Terminal() {
				open++
			}
		}
		if open == 0 {
			return
		}
		s.clock.Advance(10 * time.Minute)
	}
	s.Fatalf("%s: not all requests end", s.what)
}

// checkEnd: every request is completed, or has ended as was going to happen; that is announced, and then all of it is deleted.
func (s *shop) checkEnd(ends pipeline.Status) {
	s.clock.Advance(time.Hour)
	did, err := s.q.Reap(s.Context())
	s.must(err)
	for _, r := range s.requests {
		state, err := s.q.Lookup(s.Context(), r.ID)
		s.must(err)
		if state.Status != pipeline.Completed && state.Status != ends {
			s.Errorf("%s: %s", s.what, state.Status)
		}
		announced := false
		for _, id := range did.Unannounced {
			announced = announced || id == r.ID
		}
		if !announced {
			s.Errorf("%s: no announcement says that %s is %s", s.what, r.ID, state.Status)
		}
		s.must(s.q.Announced(s.Context(), r.ID))
	}
	s.clock.Advance(2 * halvesPolicy.Keep)
	_, err = s.q.Reap(s.Context())
	s.must(err)
	counts, err := s.q.Counts(s.Context())
	s.must(err)
	for stage, c := range counts {
		if c != (queue.StageCounts{}) {
			s.Errorf("%s: %s still has %+v", s.what, stage, c)
		}
	}
	keys, err := s.client.Keys(s.Context(), "*").Result()
	s.must(err)
	for _, key := range keys {
		switch key {
		case "{q4}counts", "{q4}sequence", "{q4}events", "{q4}reaped", "{q4}whole": // of the whole queue
		default:
			// The note of a rebuild that was cut off ends with its time.
			if ttl, err := s.client.TTL(s.Context(), key).Result(); err != nil || !strings.HasPrefix(key, "{q4}rebuild:") || ttl <= 0 || ttl > 24*time.Hour {
				s.Errorf("%s: %s is left, for %v (%v)", s.what, key, ttl, err)
			}
		}
	}
}

func (s *shop) enqueueNext(done queue.Task) {
	next, ok := done.Stage.Next()
	if !ok {
		s.Fatalf("%s: nothing follows %s of %s", s.what, done.Stage, done.RequestID)
	}
	_, err := s.q.Enqueue(s.Context(), queue.Task{RequestID: done.RequestID, Stage: next, Input: queuetest.Manifest(done.RequestID, done.Stage)})
	s.must(err)
}

// commands are what Redis appended to its file between two places, without what holds them together.
func commands(t *testing.T, server *redistest.Server, from, to int64) [][]any {
	t.Helper()
	whole, err := os.ReadFile(appendOnlyFile(t, server))
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(bytes.NewReader(whole[from:to]))
	number := func(kind byte) int {
		line, err := r.ReadString('\n')
		if err == io.EOF && line == "" {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSuffix(line[1:], "\r\n"))
		if err != nil || line[0] != kind {
			t.Fatalf("the append-only file has %q, %v", line, err)
		}
		return n
	}
	var all [][]any
	for {
		n := number('*')
		if n < 0 {
			return all
		}
		var command []any
		for range n {
			text := make([]byte, number('$')+2)
			if _, err := io.ReadFull(r, text); err != nil {
				t.Fatal(err)
			}
			command = append(command, string(text[:len(text)-2]))
		}
		switch strings.ToUpper(command[0].(string)) {
		case "SELECT", "MULTI", "EXEC":
		default:
			all = append(all, command)
		}
	}
}

func replay(t *testing.T, client *redis.Client, parts ...[][]any) {
	t.Helper()
	pipe := client.Pipeline()
	for _, part := range parts {
		for _, command := range part {
			pipe.Do(t.Context(), command...)
		}
	}
	if _, err := pipe.Exec(t.Context()); err != nil && !errors.Is(err, redis.Nil) { // nil: an answer
		t.Fatal(err)
	}
}
