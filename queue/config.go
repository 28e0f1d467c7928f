package queue

import (
	"math/rand/v2"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Config is the queue's policy and its two sources of chance: the clock and the jitter. Every implementation takes the
// same one. The zero value of a field means its default.
type Config struct {
	Now  func() time.Time // the clock; time.Now
	Rand func() float64   // in [0, 1), for jitter; math/rand/v2.Float64

	MaxAttempts   int           // claims that a task may use up before its request is FAILED; 3
	BackoffMin    time.Duration // the first delay before a retry; 10 s
	BackoffMax    time.Duration // delays double up to this; 600 s
	LeaseFor      time.Duration // how long a lease lasts after a claim or heartbeat; 60 s
	SlotFor       time.Duration // how long a slot lasts after Adopt or Keep; 60 s
	HandoverGrace time.Duration // a completed stage without its successor's task is lost after this; 60 s
	AnnounceGrace time.Duration // an end that nobody has announced is the reaper's to announce after this; 60 s
	Keep          time.Duration // how long an ended request is remembered, and its session taken when COMPLETED; 30 days
	KeepEvents    int           // how many transitions are kept for readers that come late, about; 100,000

	// FairShare serves callers of equal priority in turn, one task each, instead of all first in, first out. A caller's own
	// tasks stay in order. Switch it while the queue is empty: tasks that wait keep the place they were given.
	// StageCounts.OldestReady then speaks only of the tasks that are next at their priority.
	FairShare bool
}

// WithDefaults fills what was left zero.
func (c Config) WithDefaults() Config {
	def(&c.MaxAttempts, 3)
	def(&c.BackoffMin, 10*time.Second)
	def(&c.BackoffMax, 600*time.Second)
	def(&c.LeaseFor, time.Minute)
	def(&c.SlotFor, time.Minute)
	def(&c.HandoverGrace, time.Minute)
	def(&c.AnnounceGrace, time.Minute)
	def(&c.Keep, 30*24*time.Hour)
	def(&c.KeepEvents, 100_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

func def[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Retry decides what follows a failure. attempt counts from 1; exhausted is how many attempts of the task ended with
// ExhaustedResources before this one: there is one smaller plan, so there is one such retry.
func (c Config) Retry(f *pipeline.Failure, attempt, exhausted int) bool {
	if f.Kind == pipeline.ExhaustedResources && exhausted > 0 {
		return false
	}
	if f.Waits() {
		return true
	}
	return f.Retryable() && attempt < c.MaxAttempts
}

// Backoff is the delay after the given failed attempt, in whole milliseconds: BackoffMin doubled with every attempt, at
// most BackoffMax, of which the upper half is left to chance ("equal jitter", AWS Architecture Blog, Exponential Backoff
// And Jitter, 2015), so that tasks that failed together do not come back together.
func (c Config) Backoff(attempt int) time.Duration {
	d := c.BackoffMin
	for range attempt - 1 {
		if d >= c.BackoffMax {
			break
		}
		d *= 2
	}
	d = min(d, c.BackoffMax)
	return (d/2 + time.Duration(c.Rand()*float64(d/2))).Truncate(time.Millisecond)
}

// waitAttempt is the attempt whose backoff a task gets each time that it has to wait for people: 20 to 40 s by default.
const waitAttempt = 3

// RetryAfter is the delay of a retry that Retry allows, and whether the attempt counts: what waits for people uses none up.
func (c Config) RetryAfter(f *pipeline.Failure, attempt int) (delay time.Duration, counts bool) {
	if f.Waits() {
		return c.Backoff(waitAttempt), false
	}
	return c.Backoff(attempt), true
}

// MaxWarnings is how many warnings a request keeps; later ones are dropped.
const MaxWarnings = 100

// WorkerLost is the failure of a request whose task ran out of attempts without any worker reporting why.
func WorkerLost(stage pipeline.Stage) *pipeline.Failure {
	return &pipeline.Failure{Kind: pipeline.Transient, Code: "worker_lost", Stage: stage,
		Message: "The workers of this stage stopped again and again without reporting why, as they do when memory runs out; no attempts are left.",
		Advice:  "Submit the request again, with fewer images (max_images) if memory is short; if this repeats, report it with the request id."}
}

// PastDeadline is the failure of a request that did not finish by its deadline.
func PastDeadline(stage pipeline.Stage) *pipeline.Failure {
	return &pipeline.Failure{Kind: pipeline.Transient, Code: "deadline_exceeded", Stage: stage,
		Message: "The request did not finish by its deadline.",
		Advice:  "Submit it again with a later deadline or a smaller preset."}
}
