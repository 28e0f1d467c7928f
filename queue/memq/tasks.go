package memq

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// order of a stage, from 1; 0 for none.
func order(s pipeline.Stage) int { return slices.Index(pipeline.Stages(), s) + 1 }

// byPlace is the order of claims: strict priority, then place. In turns of a fair share places repeat, and the older
// request goes first.
func byPlace(a, b *request) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.place, b.place), strings.Compare(a.ID, b.ID))
}

// Enqueue implements queue.Tasks.
func (q *Queue) Enqueue(_ context.Context, t queue.Task) (added bool, err error) {
	if _, err := pipeline.ParseStage(string(t.Stage)); err != nil {
		return false, fmt.Errorf("enqueue: %w", err)
	}
	now := q.lock()
	defer q.mu.Unlock()
	r := q.requests[t.RequestID]
	switch {
	case r == nil:
		return false, queue.ErrNotFound
	case r.Status.Terminal():
		return false, queue.ErrTerminal
	}
	if added = q.enqueue(r, t, now); !added {
		q.repeats[t.Stage]++
	}
	return added, nil
}

func (q *Queue) enqueue(r *request, t queue.Task, now time.Time) (added bool) {
	if r.task != "" && r.Stage == t.Stage {
		if r.input.Bucket == t.Input.Bucket && r.input.Name == t.Input.Name && r.input.Generation < t.Input.Generation {
			r.input = t.Input
		}
		return false
	}
	if order(t.Stage) <= max(order(r.done), order(r.Stage)) {
		return false
	}
	// The manifest that asks for this task is there, so whatever the queue knew of earlier stages is over. Its writer's
	// Complete is still to come.
	if previous, ok := t.Stage.Previous(); ok && r.done != previous {
		fence := int64(0)
		if r.task == leased {
			fence = r.fence
		}
		q.take(r)
		r.Stage = previous
		q.complete(r, t.Input, fence, now)
		q.publish(r, queue.Completed, now)
	}
	r.Stage, r.input, r.enqueuedAt, r.UpdatedAt = t.Stage, t.Input, now, now
	r.Progress = pipeline.Progress{}
	q.sequence++
	r.place = q.sequence
	if q.cfg.FairShare {
		r.place = q.stages[t.Stage].turn(r.Priority).next(r.Caller)
	}
	q.makeReady(r)
	q.publish(r, queue.Enqueued, now)
	return true
}

// complete records that the current stage of r is done.
func (q *Queue) complete(r *request, manifest pipeline.Object, fence int64, now time.Time) {
	q.take(r)
	r.done, r.doneFence, r.doneAt = r.Stage, fence, now
	r.Manifest = manifest
	r.Attempt, r.exhausted, r.Failure, r.Progress = 0, 0, nil, pipeline.Progress{}
	r.UpdatedAt = now
	if r.Status == pipeline.Queued {
		q.become(r, pipeline.Processing)
	}
}

// take removes the current task of r from wherever it is.
func (q *Queue) take(r *request) {
	if r.task == "" {
		return
	}
	s := q.stages[r.Stage]
	switch r.task {
	case ready:
		i, _ := slices.BinarySearchFunc(s.ready, r, byPlace)
		s.ready = slices.Delete(s.ready, i, i+1)
	case leased:
		delete(s.leased, r)
	case delayed:
		i, _ := slices.BinarySearchFunc(s.delayed, r, byRetry)
		s.delayed = slices.Delete(s.delayed, i, i+1)
	}
	r.task, r.RetryAt = "", time.Time{}
}

// makeReady puts the task of r at its place.
func (q *Queue) makeReady(r *request) {
	q.take(r)
	s := q.stages[r.Stage]
	i, _ := slices.BinarySearchFunc(s.ready, r, byPlace)
	s.ready = slices.Insert(s.ready, i, r)
	r.task = ready
}

// byRetry is the order in which delayed tasks become ready.
func byRetry(a, b *request) int {
	return cmp.Or(a.RetryAt.Compare(b.RetryAt), strings.Compare(a.ID, b.ID))
}

// delay puts the task of r aside until then.
func (q *Queue) delay(r *request, until time.Time) {
	q.take(r)
	s := q.stages[r.Stage]
	r.task, r.RetryAt = delayed, until
	i, _ := slices.BinarySearchFunc(s.delayed, r, byRetry)
	s.delayed = slices.Insert(s.delayed, i, r)
}

// wake makes the delayed tasks of a stage ready whose time has come, the earliest first.
func (q *Queue) wake(s *stage, now time.Time) (woken int) {
	for ; len(s.delayed) > 0 && !s.delayed[0].RetryAt.After(now); woken++ {
		r := s.delayed[0]
		r.fence = 0
		q.makeReady(r)
		q.publish(r, queue.Ready, now)
	}
	return woken
}

// Claim implements queue.Tasks.
func (q *Queue) Claim(_ context.Context, name pipeline.Stage, worker string, n int) ([]queue.Lease, error) {
	if _, err := pipeline.ParseStage(string(name)); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	now := q.lock()
	defer q.mu.Unlock()
	return q.claim(name, worker, n, now), nil
}

func (q *Queue) claim(name pipeline.Stage, worker string, n int, now time.Time) []queue.Lease {
	s := q.stages[name]
	q.wake(s, now)
	var leases []queue.Lease
	for len(leases) < n && len(s.ready) > 0 {
		r := s.ready[0]
		s.ready = s.ready[1:]
		if q.cfg.FairShare {
			s.turn(r.Priority).claimed(r)
		}
		q.fence++
		r.task, r.fence, r.expiresAt, r.extended = leased, q.fence, now.Add(q.cfg.LeaseFor), false
		s.leased[r] = true
		r.Attempt++
		r.UpdatedAt = now
		if r.StartedAt.IsZero() {
			r.StartedAt = now
		}
		if r.Status == pipeline.Queued {
			q.become(r, pipeline.Processing)
		}
		q.publish(r, queue.Claimed, now)
		r.lease = &lease{q: q, worker: worker, request: r.Request, attempt: r.Attempt, exhausted: r.exhausted, fence: r.fence,
			expiresAt: r.expiresAt, failure: r.Failure, task: queue.Task{RequestID: r.ID, Stage: r.Stage, Input: r.input}}
		leases = append(leases, r.lease)
	}
	return leases
}

func (s *stage) turn(priority int) *turns {
	if s.turns[priority] == nil {
		s.turns[priority] = &turns{last: map[string]int64{}}
	}
	return s.turns[priority]
}

func (t *turns) next(caller string) int64 {
	place := t.now + 1
	if last, waits := t.last[caller]; waits {
		place = max(place, last+2)
	}
	t.last[caller] = place
	return place
}

func (t *turns) claimed(r *request) {
	t.now = max(t.now, r.place)
	if t.last[r.Caller] == r.place { // none of the caller's waits
		delete(t.last, r.Caller)
	}
}
