// Package memq is the queue in memory: maps, sorted slices and one mutex. It is the readable definition of what
// queue/redisq does in Lua, the model its property test compares it with, the queue of other packages' unit tests, and
// what queue/simulate replays. Nothing survives the process.
package memq

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Queue is an empty queue until something is submitted. Its methods may be called from several goroutines.
type Queue struct {
	cfg queue.Config

	mu          sync.Mutex
	requests    map[string]*request
	sessions    map[string]string // pipeline.Request.SessionKey -> the request that has it
	tokens      map[string]string // token hash -> request id
	counts      map[pipeline.Status]int
	repeats     map[pipeline.Stage]int
	ends        map[pipeline.Status]int // that no pass of the reaper has reported; nil: none
	unannounced map[string]time.Time    // ended requests, and when the reaper is to announce them
	ended       []*request              // by the time at which they ended, for Keep
	stages      map[pipeline.Stage]*stage
	sequence    int64 // of tasks
	fence       int64 // of claims
	whole       bool
	reapedAt    time.Time // when the reaper last looked; zero: never
	log         []queue.Transition
	logged      int64         // transitions published so far
	news        chan struct{} // closed and replaced with every transition
}

// taskState is where the current task of a request is; empty when there is none.
type taskState string

const (
	ready   taskState = "ready"
	leased  taskState = "leased"
	delayed taskState = "delayed"
)

// request is State plus what only the queue itself needs. State.Stage and State.Attempt speak of the current task.
type request struct {
	queue.State
	task       taskState
	input      pipeline.Object
	enqueuedAt time.Time
	place      int64  // among equal priorities: lower is claimed first
	lease      *lease // the newest
	fence      int64  // of the newest claim; 0 once that lease ran out
	expiresAt  time.Time
	extended   bool           // by the reaper, and its worker has not been heard since
	exhausted  int            // attempts of the task that ended with ExhaustedResources
	done       pipeline.Stage // newest completed stage
	doneFence  int64          // of the lease under which it was completed
	doneAt     time.Time
	promised   map[string]int64 // sizes of uploads by their names
}

// stage is the tasks and slots of one stage.
type stage struct {
	ready   []*request // in the order of claims
	leased  map[*request]bool
	delayed []*request // by the time of their retry
	slots   slots
	turns   map[int]*turns // by priority, for FairShare
}

// turns is start-time fair queuing: a caller's next task is due two places after its last one, but not before now; the first of a
// caller that has none waiting is due one place after now, before the next of all who have.
type turns struct {
	now  int64            // turn of the newest claim
	last map[string]int64 // by caller
}

// New returns an empty queue.
func New(cfg queue.Config) *Queue {
	q := &Queue{
		cfg: cfg.WithDefaults(), requests: map[string]*request{}, sessions: map[string]string{}, tokens: map[string]string{},
		counts: map[pipeline.Status]int{}, repeats: map[pipeline.Stage]int{}, unannounced: map[string]time.Time{}, stages: map[pipeline.Stage]*stage{}, news: make(chan struct{}),
	}
	for _, s := range pipeline.Stages() {
		q.stages[s] = &stage{leased: map[*request]bool{}, turns: map[int]*turns{},
			slots: slots{workers: map[string]time.Time{}}}
	}
	return q
}

// lock returns the time at which the operation happens.
func (q *Queue) lock() time.Time {
	q.mu.Lock()
	return q.cfg.Now().Truncate(time.Millisecond)
}

// Submit implements queue.Requests.
func (q *Queue) Submit(_ context.Context, r pipeline.Request) error {
	if r.ID == "" || r.SessionID == "" || r.Priority < 0 || r.Priority > pipeline.MaxPriority {
		return fmt.Errorf("submit: request %q needs an id, a session and a priority of 0 to %d", r.ID, pipeline.MaxPriority)
	}
	now := q.lock()
	defer q.mu.Unlock()
	if id, taken := q.holder(r); taken {
		return &queue.DuplicateError{RequestID: id}
	}
	if q.requests[r.ID] == nil {
		if other := q.requests[q.tokens[r.TokenHash]]; other != nil && r.TokenHash != "" && !other.Status.Terminal() {
			return queue.ErrTokenTaken
		}
		q.publish(q.add(r), queue.Submitted, now)
	}
	return nil
}

// Holder implements queue.Requests.
func (q *Queue) Holder(_ context.Context, r pipeline.Request) (string, error) {
	q.lock()
	defer q.mu.Unlock()
	if id, taken := q.holder(r); taken {
		return id, nil
	}
	return "", queue.ErrNotFound
}

// holder is another request that has the session of r.
func (q *Queue) holder(r pipeline.Request) (id string, taken bool) {
	id, taken = q.sessions[r.SessionKey()]
	if !taken || id == r.ID {
		return "", false
	}
	s := q.requests[id].Status
	return id, !s.Terminal() || s == pipeline.Completed
}

// add records a request that is not known yet.
func (q *Queue) add(given pipeline.Request) *request {
	given.CreatedAt = given.CreatedAt.Truncate(time.Millisecond).UTC()
	given.Deadline = given.Deadline.Truncate(time.Millisecond).UTC()
	r := &request{State: queue.State{Request: given, Status: pipeline.Queued, UpdatedAt: given.CreatedAt}}
	q.requests[given.ID] = r
	q.sessions[given.SessionKey()] = given.ID
	q.tokens[given.TokenHash] = given.ID
	q.counts[pipeline.Queued]++
	return r
}

// Lookup implements queue.Requests.
func (q *Queue) Lookup(_ context.Context, requestID string) (queue.State, error) {
	now := q.lock()
	defer q.mu.Unlock()
	r := q.requests[requestID]
	if r == nil {
		return queue.State{}, queue.ErrNotFound
	}
	s := r.State
	s.Warnings = slices.Clone(s.Warnings)
	if !s.RetryAt.After(now) {
		s.RetryAt = time.Time{}
	}
	if r.done == s.Stage && s.Stage != "" {
		s.Progress = pipeline.Progress{Stage: s.Stage, Percent: 100}
	}
	return s, nil
}

// LookupToken implements queue.Requests.
func (q *Queue) LookupToken(ctx context.Context, tokenHash string) (queue.State, error) {
	q.lock()
	id, ok := q.tokens[tokenHash]
	q.mu.Unlock()
	if !ok {
		return queue.State{}, queue.ErrNotFound
	}
	return q.Lookup(ctx, id)
}

// Position implements queue.Overview.
func (q *Queue) Position(_ context.Context, requestID string) (int, error) {
	now := q.lock()
	defer q.mu.Unlock()
	r := q.requests[requestID]
	if r == nil {
		return 0, queue.ErrNotFound
	}
	if r.task == ready || r.task == delayed {
		q.wake(q.stages[r.Stage], now)
	}
	if r.task != ready {
		return 0, nil
	}
	i, _ := slices.BinarySearchFunc(q.stages[r.Stage].ready, r, byPlace)
	return i + 1, nil
}

// Next implements queue.Overview.
func (q *Queue) Next(_ context.Context, name pipeline.Stage, n int) ([]string, error) {
	if _, err := pipeline.ParseStage(string(name)); err != nil {
		return nil, fmt.Errorf("next: %w", err)
	}
	now := q.lock()
	defer q.mu.Unlock()
	var ids []string
	q.wake(q.stages[name], now)
	ready := q.stages[name].ready
	for _, r := range ready[:min(max(n, 0), len(ready))] {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// Cancel implements queue.Requests.
func (q *Queue) Cancel(_ context.Context, requestID string) error {
	now := q.lock()
	defer q.mu.Unlock()
	r := q.requests[requestID]
	switch {
	case r == nil:
		return queue.ErrNotFound
	case r.Status.Terminal():
		return queue.ErrTerminal
	}
	q.end(r, pipeline.Canceled, nil, now, q.cfg.AnnounceGrace)
	q.publish(r, queue.Canceled, now)
	return nil
}

// end brings a request to a terminal status. The fence stays: it distinguishes a canceled worker from one that lost its lease. The program that
// ends it has until grace to announce that.
func (q *Queue) end(r *request, s pipeline.Status, f *pipeline.Failure, at time.Time, grace time.Duration) {
	q.unannounced[r.ID] = at.Add(grace)
	q.take(r)
	q.become(r, s)
	r.promised = nil
	r.Failure, r.UpdatedAt, r.FinishedAt = f, at, at
	i, _ := slices.BinarySearchFunc(q.ended, at, func(r *request, at time.Time) int {
		if r.FinishedAt.After(at) {
			return 1
		}
		return -1
	})
	q.ended = slices.Insert(q.ended, i, r)
}

func (q *Queue) become(r *request, s pipeline.Status) {
	q.counts[r.Status]--
	r.Status = s
	q.counts[s]++
}

// Counts implements queue.Overview.
func (q *Queue) Counts(context.Context) (map[pipeline.Stage]queue.StageCounts, error) {
	now := q.lock()
	defer q.mu.Unlock()
	counts := map[pipeline.Stage]queue.StageCounts{}
	for _, name := range pipeline.Stages() {
		s := q.stages[name]
		q.wake(s, now)
		c := queue.StageCounts{Ready: len(s.ready), Leased: len(s.leased), Delayed: len(s.delayed), Slots: s.slots.live(now)}
		for _, r := range s.ready {
			if c.OldestReady.IsZero() || r.enqueuedAt.Before(c.OldestReady) {
				c.OldestReady = r.enqueuedAt
			}
		}
		counts[name] = c
	}
	return counts, nil
}

// StatusCounts implements queue.Overview.
func (q *Queue) StatusCounts(context.Context) (map[pipeline.Status]int, error) {
	q.lock()
	defer q.mu.Unlock()
	counts := map[pipeline.Status]int{}
	for _, s := range []pipeline.Status{pipeline.Queued, pipeline.Processing, pipeline.Completed, pipeline.Failed, pipeline.Canceled} {
		counts[s] = q.counts[s]
	}
	return counts, nil
}

// Repeats implements queue.Overview.
func (q *Queue) Repeats(context.Context) (map[pipeline.Stage]int, error) {
	q.lock()
	defer q.mu.Unlock()
	repeats := map[pipeline.Stage]int{}
	for _, s := range pipeline.Stages() {
		repeats[s] = q.repeats[s]
	}
	return repeats, nil
}
