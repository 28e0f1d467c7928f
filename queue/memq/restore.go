package memq

import (
	"context"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Restore implements queue.Restorer.
func (q *Queue) Restore(_ context.Context, records []queue.Record) (queue.Rebuilt, error) {
	now := q.lock()
	defer q.mu.Unlock()
	did := queue.Rebuilt{Records: len(records)}
	for _, record := range records {
		r := q.requests[record.Request.ID]
		if r == nil {
			did.Requests++
			r = q.restore(record, now)
		}
		if t, ok := record.Next(); ok && !r.Status.Terminal() && q.enqueue(r, t, now) {
			did.Tasks++
		}
	}
	return did, nil
}

// Whole implements queue.Restorer.
func (q *Queue) Whole(context.Context) (bool, error) {
	q.lock()
	defer q.mu.Unlock()
	return q.whole, nil
}

// BeginRestore implements queue.Restorer.
func (q *Queue) BeginRestore(context.Context, string) error { return nil }

// SetWhole implements queue.Restorer. Memory loses nothing while its program runs.
func (q *Queue) SetWhole(context.Context, string) error {
	q.lock()
	defer q.mu.Unlock()
	q.whole = true
	return nil
}

// restore adds an unknown request as its record says it was before its next task.
func (q *Queue) restore(record queue.Record, now time.Time) *request {
	holder, taken := q.sessions[record.Request.SessionKey()]
	r := q.add(record.Request)
	at := record.At
	if at.IsZero() {
		at = now
	}
	if record.Done != "" {
		r.Stage = record.Done
		q.complete(r, record.Manifest, 0, at)
		if _, more := record.Done.Next(); !more {
			q.end(r, pipeline.Completed, nil, at, 0)
		}
	}
	if o := record.Outcome; o != nil && !r.Status.Terminal() {
		q.end(r, o.Status, o.Failure, o.At, 0)
		if taken { // an ended request does not take its session from another
			q.sessions[r.SessionKey()] = holder
		}
	}
	if r.Status.Terminal() {
		delete(q.unannounced, r.ID)
		if now.Sub(r.FinishedAt) < queue.Recent {
			q.unannounced[r.ID] = now
		}
	}
	q.publish(r, queue.Restored, now)
	return r
}
