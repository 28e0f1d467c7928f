// Package queue is the order of work: which request is at which stage, who works on it, and what is next. It says what a
// queue does and holds no implementation. queue/redisq is the one that serves, queue/memq the one for tests; both pass
// queue/queuetest, which is the contract.
//
// The queue is the truth about what is next. What exists is recorded in the manifests (package artifacts), from which an
// empty queue can be rebuilt (Rebuild). Time is never read here: an implementation is given a clock, and keeps
// milliseconds. README.md draws the states.
package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Errors every implementation returns, wrapped or bare.
var (
	ErrNotFound  = errors.New("queue: no such request")
	ErrLeaseLost = errors.New("queue: lease lost: another worker may own this task now") // reaped or finished
	ErrCanceled  = errors.New("queue: request canceled")
	ErrTerminal  = errors.New("queue: request already ended")
	ErrActive    = errors.New("queue: request has not ended")
	// ErrTokenTaken reports that the token belongs to another unfinished request.
	ErrTokenTaken = errors.New("queue: another request has the token")
)

// DuplicateError reports that a session (pipeline.Request.SessionKey) already has a request that is active or done. A failed or canceled one may be
// submitted again.
type DuplicateError struct{ RequestID string }

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("queue: session already has request %s", e.RequestID)
}

// Is makes errors.Is find an equal DuplicateError.
func (e *DuplicateError) Is(target error) bool {
	t, ok := target.(*DuplicateError)
	return ok && *t == *e
}

// State is everything the queue knows of one request; the status document and the webhook are made from it.
type State struct {
	pipeline.Request
	Status     pipeline.Status
	Stage      pipeline.Stage     // the current one; empty while waiting for the upload
	Attempt    int                // of the current stage, from 1; 0 while none was claimed
	Progress   pipeline.Progress  // of the current stage; 100 percent once it is completed
	Failure    *pipeline.Failure  // set when Status is FAILED; while retrying, the last one
	Warnings   []pipeline.Warning // reported so far
	Manifest   pipeline.Object    // of the newest completed stage
	RetryAt    time.Time          // when a delayed task becomes ready; zero otherwise
	UpdatedAt  time.Time
	StartedAt  time.Time // first claim
	FinishedAt time.Time
}

// Task is one request at one stage: the unit of the queue. Stage, request and input generation identify it, so an event
// that arrives twice adds it once. A request has at most one task at a time.
type Task struct {
	RequestID string
	Stage     pipeline.Stage
	Input     pipeline.Object // what started it: the upload, or the previous stage's manifest
}

// Requests is how a request enters, is looked at and is called off.
type Requests interface {
	// Submit records a new request as QUEUED, waiting for its upload. *DuplicateError when the session is taken, ErrTokenTaken
	// when the token is that of another request that has not ended. The same request id again changes nothing and is no error.
	Submit(ctx context.Context, r pipeline.Request) error
	// Holder is the request that has the session of r, which Submit would refuse r for; ErrNotFound when the session is free.
	Holder(ctx context.Context, r pipeline.Request) (requestID string, err error)
	// Lookup and LookupToken return ErrNotFound for unknown ids and hashes.
	Lookup(ctx context.Context, requestID string) (State, error)
	LookupToken(ctx context.Context, tokenHash string) (State, error)
	// Cancel ends a request that has not ended; its worker learns it at the next heartbeat. ErrTerminal when it has.
	Cancel(ctx context.Context, requestID string) error
}

// Uploads is what the several uploads of a request may add up to.
type Uploads interface {
	// Promise keeps how large each of the files asked for may become, and returns that in the order of p.Files, in one step with
	// what was promised before: all that may come never exceeds p. A file that was promised keeps its size. ErrTooMuch, and
	// nothing is promised, when there is no room for all of them; ErrNotFound for an unknown request, ErrTerminal for an ended one.
	Promise(ctx context.Context, p Promise) (bytes []int64, err error)
}

// Promise asks for room in a capture.
type Promise struct {
	RequestID string
	Files     []File // with a size of 0, all of them share alike what the others leave
	Arrived   []File // that are there already: each counts with its true size, promised or not
	MaxFiles  int    // of the capture
	MaxBytes  int64
}

// File is one upload by its name.
type File struct {
	Name  string
	Bytes int64
}

// ErrTooMuch says that what was asked for does not fit into a capture.
var ErrTooMuch = errors.New("queue: no room for these files in the capture")

// Tasks is how work enters and leaves.
type Tasks interface {
	// Enqueue makes a task ready, once: added is false when it (or a later stage of the request) is known already. A newer
	// generation of the same object replaces the input of a task that is known, for its next attempt: the older one is gone
	// from the bucket. A manifest that comes before its writer's Complete completes the stage that wrote it.
	// ErrNotFound for an unknown request, ErrTerminal for an ended one.
	Enqueue(ctx context.Context, t Task) (added bool, err error)
	// Claim leases up to n ready tasks of a stage, highest priority first, then first in, first out. Retries whose time has
	// come are ready. No error and no lease when nothing is ready.
	Claim(ctx context.Context, stage pipeline.Stage, worker string, n int) ([]Lease, error)
}

// Lease is a claimed task, and the only thing that can finish it. Every method fails with ErrLeaseLost once the reaper has taken
// the task because the lease had expired, and with ErrCanceled when the client called the request off: then the work must
// stop, and what it wrote is not adopted. An expired lease that no reaper has seen yet still holds.
type Lease interface {
	Assignment
	Keeper
	Finisher
}

// Assignment is what the work of a lease starts from. It makes no calls.
type Assignment interface {
	Task() Task
	Request() pipeline.Request
	Attempt() int // from 1; 1 again after Saved
	Fence() int64 // grows with every claim of a task; part of every path the work writes to
	// LastFailure is why an earlier attempt of this task failed; nil when none did. After ExhaustedResources the work must
	// be planned smaller.
	LastFailure() *pipeline.Failure
}

// Keeper is what a worker needs of its lease while it works.
type Keeper interface {
	ExpiresAt() time.Time // pushed back by Heartbeat
	// Heartbeat extends the lease and publishes progress. A warning in it is kept with the request, once.
	Heartbeat(ctx context.Context, p pipeline.Progress) error
	// Saved notes that the state of the work is saved where the next worker finds it. The attempts are counted anew from this
	// one, so a worker that dies now and then does not end a request that gets further each time; its deadline does.
	Saved(ctx context.Context) error
}

// Finisher ends a lease: one of its methods is the last call of an attempt.
type Finisher interface {
	// Complete ends the task. manifest is what the stage wrote; after the last stage the request is COMPLETED. No error
	// either when the manifest's event came first and completed the task for this lease.
	Complete(ctx context.Context, manifest pipeline.Object) error
	// CompleteAndClaim is Complete and then, in the same step, the Claim of one task of the same stage for the same worker:
	// as a worker that continues does. next is nil when nothing is ready. With an error nothing was claimed.
	CompleteAndClaim(ctx context.Context, manifest pipeline.Object) (next Lease, err error)
	// Fail ends the attempt: a retryable failure with attempts left makes the task ready again after a backoff, any
	// other makes the request FAILED. It says which. One that Waits is always retried, and uses up no attempt.
	Fail(ctx context.Context, f *pipeline.Failure) (retry bool, err error)
	// GiveBack makes the task ready at once, at its old place, without using up the attempt: the worker is stopping.
	GiveBack(ctx context.Context) error
}

// Slots bound the workers of a stage, which is what a GPU quota bounds. A slot is reserved before a worker is launched,
// adopted by the worker when it starts, kept alive by it, and freed when it goes or falls silent.
type Slots interface {
	// Reserve takes a slot for a worker about to be launched; false when limit slots are taken.
	Reserve(ctx context.Context, stage pipeline.Stage, limit int, startBudget time.Duration) (bool, error)
	// Adopt turns a reservation (or, failing that, a free slot) into the worker's own; false when there is neither.
	Adopt(ctx context.Context, stage pipeline.Stage, worker string, limit int) (bool, error)
	// Keep extends an adopted slot; ErrLeaseLost when it was reaped meanwhile.
	Keep(ctx context.Context, stage pipeline.Stage, worker string) error
	// Release frees the worker's slot; releasing one that is gone is no error.
	Release(ctx context.Context, stage pipeline.Stage, worker string) error
}

// StageCounts is one line of the queue's overview.
type StageCounts struct {
	Ready, Leased, Delayed, Slots int
	OldestReady                   time.Time // when the longest waiting ready task was enqueued; zero when none is ready
}

// Reaped says what one pass of the reaper put right.
type Reaped struct {
	ExpiredLeases int               // tasks made ready again, or failed for good
	DelayedReady  int               // delayed tasks whose time had come
	DeadSlots     int               // slots freed
	PastDeadline  int               // requests FAILED
	Forgotten     int               // requests that ended longer than Config.Keep ago, removed
	LostHandovers []pipeline.Object // manifests whose next task is missing: their event was lost
	// Unannounced are requests that have ended, and nobody said Announced: who ended them died before that, or they were ended by
	// the reaper. They are reported again after Config.AnnounceGrace, until somebody does.
	Unannounced []string
	Wanting     map[pipeline.Stage]int // ready tasks of stages that have some and no live slot: a launch was lost
	// Ended counts the requests that ended since the pass before, of any reaper, by how they ended: each end is in one
	// pass. What a rebuild restores has ended before. nil when none did, and in the first pass of a queue.
	Ended map[pipeline.Status]int
}

// Upkeep is what a scheduler tick and a program that starts its workers itself use.
type Upkeep interface {
	// Reap puts right what died silently. It is idempotent and several may run at once. The first pass after more than LeaseFor
	// without any extends leases that have expired, once each: whatever kept the reaper from running may have stopped the
	// workers, too.
	Reap(ctx context.Context) (Reaped, error)
	// GiveBackAll makes every leased task ready at its old place, as GiveBack does, and frees all slots, expired or not. Call it only
	// when no worker is left, as at the start of a program that starts its workers itself. It returns how many tasks there were.
	GiveBackAll(ctx context.Context) (int, error)
	// Lost ends the attempts of a worker that is gone, as its own Fail with f would, and frees its slot. Its leases are lost. Call it when a worker was seen
	// to end, as a program that starts its workers itself does. ended are the requests that are FAILED now; the caller announces them.
	Lost(ctx context.Context, stage pipeline.Stage, worker string, f *pipeline.Failure) (ended []string, err error)
	// Announced records that the end of a request has been published.
	Announced(ctx context.Context, requestID string) error
	// Forget removes an ended request before Config.Keep is over: its token opens nothing any more, its session is free, and its end is
	// not announced. ErrActive when it has not ended; forgetting one that is not known is no error.
	Forget(ctx context.Context, requestID string) error
}

// Overview is what an operator looks at. It reports the current state: a retry that is due counts as ready, and the call publishes its
// Ready event. Looking takes nothing.
type Overview interface {
	Counts(ctx context.Context) (map[pipeline.Stage]StageCounts, error)
	// Next returns the requests of the first n ready tasks of a stage, in the order of claims.
	Next(ctx context.Context, stage pipeline.Stage, n int) (requestIDs []string, err error)
	// Position is the place of the request's task among the ready tasks of its stage, retries that are due among them: 1 is
	// claimed next; 0 when it is not waiting for a worker.
	Position(ctx context.Context, requestID string) (int, error)
	// StatusCounts counts requests by status, from counters.
	StatusCounts(ctx context.Context) (map[pipeline.Status]int, error)
	// Repeats counts the calls of Enqueue that added nothing since their task was known: events that came twice. The count begins anew
	// when everything is lost.
	Repeats(ctx context.Context) (map[pipeline.Stage]int, error)
}
