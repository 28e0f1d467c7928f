package memq

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Reap implements queue.Upkeep. It looks at every request, which redisq avoids.
func (q *Queue) Reap(context.Context) (queue.Reaped, error) {
	now := q.lock()
	defer q.mu.Unlock()
	var did queue.Reaped
	did.PastDeadline = q.reapDeadlines(now)
	for _, name := range pipeline.Stages() {
		s := q.stages[name]
		did.ExpiredLeases += q.reapLeases(s, now)
		did.DelayedReady += q.wake(s, now)
		did.DeadSlots += s.slots.bury(now)
		if len(s.ready) > 0 && s.slots.count() == 0 {
			if did.Wanting == nil {
				did.Wanting = map[pipeline.Stage]int{}
			}
			did.Wanting[name] = len(s.ready)
		}
	}
	did.LostHandovers = q.lostHandovers(now)
	did.Forgotten = q.forget(now)
	if !q.reapedAt.IsZero() {
		did.Ended = q.ends
	}
	q.ends = nil
	did.Unannounced = q.takeUnannounced(now)
	q.reapedAt = now
	return did, nil
}

func (q *Queue) reapDeadlines(now time.Time) int {
	var late []*request
	for _, r := range q.requests {
		if !r.Status.Terminal() && !r.Deadline.IsZero() && !now.Before(r.Deadline) {
			late = append(late, r)
		}
	}
	slices.SortFunc(late, func(a, b *request) int { return strings.Compare(a.ID, b.ID) })
	for _, r := range late {
		r.fence = 0
		q.end(r, pipeline.Failed, queue.PastDeadline(r.Stage), now, 0)
		q.publish(r, queue.Failed, now)
	}
	return len(late)
}

// reapLeases takes the tasks of workers that have been silent for too long. When no reaper has looked for longer than a lease
// lasts, the workers may have stood still with it, as on a laptop that slept: each gets the time of a lease to be heard, once.
func (q *Queue) reapLeases(s *stage, now time.Time) int {
	stoodStill := !q.reapedAt.IsZero() && now.Sub(q.reapedAt) > q.cfg.LeaseFor
	var expired []*request
	for r := range s.leased {
		switch {
		case r.expiresAt.After(now):
		case stoodStill && !r.extended:
			r.expiresAt, r.extended = now.Add(q.cfg.LeaseFor), true
		default:
			expired = append(expired, r)
		}
	}
	slices.SortFunc(expired, func(a, b *request) int { return cmp.Or(a.expiresAt.Compare(b.expiresAt), strings.Compare(a.ID, b.ID)) })
	for _, r := range expired {
		r.fence = 0
		if r.Attempt >= q.cfg.MaxAttempts {
			q.end(r, pipeline.Failed, queue.WorkerLost(r.Stage), now, 0)
			q.publish(r, queue.Failed, now)
			continue
		}
		r.UpdatedAt = now
		q.makeReady(r)
		q.publish(r, queue.Expired, now)
	}
	return len(expired)
}

func (q *Queue) lostHandovers(now time.Time) []pipeline.Object {
	var lost []*request
	for _, r := range q.requests {
		if r.Status == pipeline.Processing && r.task == "" && r.done != "" && !now.Before(r.doneAt.Add(q.cfg.HandoverGrace)) {
			lost = append(lost, r)
		}
	}
	slices.SortFunc(lost, func(a, b *request) int { return cmp.Or(a.doneAt.Compare(b.doneAt), strings.Compare(a.ID, b.ID)) })
	var manifests []pipeline.Object
	for _, r := range lost {
		manifests = append(manifests, r.Manifest)
	}
	return manifests
}

// takeUnannounced returns the ends that are due to be announced, the longest overdue first, and puts them off.
func (q *Queue) takeUnannounced(now time.Time) []string {
	var due []string
	for id, at := range q.unannounced {
		if !at.After(now) {
			due = append(due, id)
		}
	}
	slices.SortFunc(due, func(a, b string) int {
		return cmp.Or(q.unannounced[a].Compare(q.unannounced[b]), strings.Compare(a, b))
	})
	for _, id := range due {
		q.unannounced[id] = now.Add(q.cfg.AnnounceGrace)
	}
	return due
}

// GiveBackAll implements queue.Upkeep.
func (q *Queue) GiveBackAll(context.Context) (total int, err error) {
	now := q.lock()
	defer q.mu.Unlock()
	for _, name := range pipeline.Stages() {
		s := q.stages[name]
		given := slices.SortedFunc(maps.Keys(s.leased), func(a, b *request) int { return strings.Compare(a.ID, b.ID) })
		for _, r := range given {
			r.fence = 0
			r.Attempt--
			r.UpdatedAt = now
			q.makeReady(r)
			q.publish(r, queue.GivenBack, now)
		}
		total += len(given)
		s.slots = slots{workers: map[string]time.Time{}}
	}
	return total, nil
}

// Lost implements queue.Upkeep.
func (q *Queue) Lost(ctx context.Context, name pipeline.Stage, worker string, f *pipeline.Failure) (ended []string, err error) {
	for _, l := range q.leases(name, worker) {
		retry, err := l.Fail(ctx, f)
		switch {
		case errors.Is(err, queue.ErrLeaseLost), errors.Is(err, queue.ErrCanceled): // meanwhile
		case err != nil:
			return ended, err
		case !retry:
			ended = append(ended, l.task.RequestID)
		}
	}
	return ended, q.Release(ctx, name, worker)
}

// leases are those that a worker holds.
func (q *Queue) leases(name pipeline.Stage, worker string) (held []*lease) {
	q.lock()
	defer q.mu.Unlock()
	for r := range q.stages[name].leased {
		if r.lease.worker == worker {
			held = append(held, r.lease)
		}
	}
	slices.SortFunc(held, func(a, b *lease) int { return strings.Compare(a.task.RequestID, b.task.RequestID) })
	return held
}

// Announced implements queue.Upkeep.
func (q *Queue) Announced(_ context.Context, requestID string) error {
	q.lock()
	defer q.mu.Unlock()
	delete(q.unannounced, requestID)
	return nil
}

// Forget implements queue.Upkeep.
func (q *Queue) Forget(_ context.Context, requestID string) error {
	q.lock()
	defer q.mu.Unlock()
	r := q.requests[requestID]
	switch {
	case r == nil:
		return nil
	case !r.Status.Terminal():
		return queue.ErrActive
	}
	q.ended = slices.DeleteFunc(q.ended, func(e *request) bool { return e == r })
	q.remove(r)
	return nil
}

// forget removes requests that ended long enough ago.
func (q *Queue) forget(now time.Time) int {
	n := 0
	for ; n < len(q.ended) && !now.Before(q.ended[n].FinishedAt.Add(q.cfg.Keep)); n++ {
		q.remove(q.ended[n])
	}
	q.ended = q.ended[n:]
	return n
}

// remove takes an ended request out of everything but the list of those.
func (q *Queue) remove(r *request) {
	delete(q.requests, r.ID)
	delete(q.tokens, r.TokenHash)
	delete(q.unannounced, r.ID)
	if q.sessions[r.SessionKey()] == r.ID {
		delete(q.sessions, r.SessionKey())
	}
	q.counts[r.Status]--
}
