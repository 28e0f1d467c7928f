// Package queuetest is the contract of package queue as a test suite: what every implementation must do, checked by what can be
// seen through its interfaces. The clock is the suite's own, so nothing sleeps, but for the tests of waiting readers. An
// implementation's test calls Suite.Run and Suite.RunModel.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Queue is the whole contract. Programs declare the part that they use.
type Queue interface {
	queue.Requests
	queue.Uploads
	queue.Tasks
	queue.Slots
	queue.Upkeep
	queue.Overview
	queue.Events
	queue.Restorer
}

// Suite says how to come by an implementation.
type Suite struct {
	// Open returns an empty queue with the given policy. It may be called again when the queue before is no longer used.
	Open func(t testing.TB, cfg queue.Config) Queue
	// Crash ends whatever keeps the state of q, starts it again and returns the queue anew. Nil: nothing survives.
	Crash func(t testing.TB, q Queue, cfg queue.Config) Queue
	// Lossy says that answers may be lost on their way, so that operations are retried. RunModel then moves the clock with
	// every operation, by which an implementation may know its own doing, and allows that what Reap and Restore count is
	// incomplete.
	Lossy bool
}

// Run runs every test of the contract but the model's.
func (s Suite) Run(t *testing.T) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"requests", requestTests}, {"uploads", promiseTests}, {"order", orderTests}, {"handover", handoverTests}, {"leases", leaseTests},
		{"retries", retryTests}, {"cancel", cancelTests}, {"slots", slotTests}, {"reaper", reaperTests},
		{"events", eventTests}, {"rebuild", rebuildTests}, {"concurrency", concurrencyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(s.bench(t, queue.Config{})) })
			}
		})
	}
	t.Run("durability", s.durability)
	t.Run("fair share", s.fairShare)
}

type test struct {
	name string
	run  func(b *bench)
}

// bench is one test's queue, clock and shorthand. Every method fails the test on an unexpected error.
type bench struct {
	*testing.T
	q     Queue
	cfg   queue.Config
	clock *Clock
	n     int
}

func (s Suite) bench(t *testing.T, cfg queue.Config) *bench {
	b := &bench{T: t, clock: NewClock()}
	cfg.Now = b.clock.Now
	if cfg.Rand == nil {
		cfg.Rand = func() float64 { return 0.5 }
	}
	b.cfg = cfg.WithDefaults()
	b.q = s.Open(t, cfg)
	return b
}

func (b *bench) ctx() context.Context { return b.Context() }

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// check reports got, err against what was wanted.
func check[T comparable](b *bench, what string, got T, err error, want T) {
	b.Helper()
	if err != nil || got != want {
		b.Fatalf("%s: got %v, %v; want %v", what, got, err, want)
	}
}

// is fails unless err is the one wanted.
func (b *bench) is(what string, err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// request makes one with an id and a session of its own.
func (b *bench) request(change ...func(*pipeline.Request)) pipeline.Request {
	b.n++
	r := Request(b.clock.Now(), b.n)
	for _, c := range change {
		c(&r)
	}
	return r
}

func priority(p int) func(*pipeline.Request)  { return func(r *pipeline.Request) { r.Priority = p } }
func caller(c string) func(*pipeline.Request) { return func(r *pipeline.Request) { r.Caller = c } }
func deadline(t time.Time) func(*pipeline.Request) {
	return func(r *pipeline.Request) { r.Deadline = t }
}

// submit adds a request that waits for its upload.
func (b *bench) submit(change ...func(*pipeline.Request)) pipeline.Request {
	b.Helper()
	r := b.request(change...)
	b.must(b.q.Submit(b.ctx(), r))
	return r
}

// ready adds a request whose first task is ready.
func (b *bench) ready(change ...func(*pipeline.Request)) pipeline.Request {
	b.Helper()
	r := b.submit(change...)
	b.enqueue(r, pipeline.Filter, Upload(r.ID, 1))
	return r
}

func (b *bench) enqueue(r pipeline.Request, stage pipeline.Stage, input pipeline.Object) {
	b.Helper()
	added, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: stage, Input: input})
	check(b, "enqueue", added, err, true)
}

// claim takes the one task that must be next.
func (b *bench) claim(stage pipeline.Stage) queue.Lease {
	b.Helper()
	leases, err := b.q.Claim(b.ctx(), stage, "worker", 1)
	if err != nil || len(leases) != 1 {
		b.Fatalf("claim of %s: got %d leases, %v; want one", stage, len(leases), err)
	}
	return leases[0]
}

// none makes sure that nothing is ready.
func (b *bench) none(stage pipeline.Stage) {
	b.Helper()
	leases, err := b.q.Claim(b.ctx(), stage, "worker", 5)
	if err != nil || len(leases) != 0 {
		b.Fatalf("claim of %s: got %d leases, %v; want none", stage, len(leases), err)
	}
}

func (b *bench) state(id string) queue.State {
	b.Helper()
	s, err := b.q.Lookup(b.ctx(), id)
	b.must(err)
	return s
}

func (b *bench) reap() queue.Reaped {
	b.Helper()
	r, err := b.q.Reap(b.ctx())
	b.must(err)
	return r
}

// events are the kinds of transitions of a request so far.
func (b *bench) events(id string) []queue.Kind {
	b.Helper()
	all, err := b.q.After(b.ctx(), "", 1000, 0)
	b.must(err)
	var kinds []queue.Kind
	for _, t := range all {
		if t.RequestID == id {
			kinds = append(kinds, t.Kind)
		}
	}
	return kinds
}

// Clock is a clock that only tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts in the middle of a minute of the year 2026.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 4, 5, 6, 30, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Request is the n-th request of a test: a valid id of the given time, and session and token of its own.
func Request(now time.Time, n int) pipeline.Request {
	random := fmt.Sprintf("%010d", n)
	id, err := pipeline.NewRequestID(now, strings.NewReader(random))
	if err != nil && err != io.EOF {
		panic(err) // ten bytes are what it reads
	}
	return pipeline.Request{
		ID: id, SessionID: fmt.Sprintf("session-%d", n), Caller: "caller",
		TokenHash: pipeline.HashToken(fmt.Sprintf("token-%d", n)), Options: pipeline.Options{Preset: pipeline.Standard}, CreatedAt: now, CardLimitPx: 1000,
	}
}

// Upload is what a client of the request uploaded.
func Upload(requestID string, generation int64) pipeline.Object {
	return pipeline.Object{Bucket: "splatworks-uploads", Name: requestID + "/video.mp4", Generation: 1_760_000_000_000_000 + generation,
		Size: 12_345_678, ContentType: "video/mp4"}
}

// Manifest is what a stage of the request wrote.
func Manifest(requestID string, stage pipeline.Stage) pipeline.Object {
	return pipeline.Object{Bucket: "splatworks-inbox", Name: requestID + "/" + string(stage) + ".manifest.json",
		Generation: 1_760_000_000_000_001, Size: 2345, CRC32C: 0xdeadbeef, ContentType: "application/json"}
}
