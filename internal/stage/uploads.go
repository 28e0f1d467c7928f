package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// uploadsPause is between two looks at all uploads: each lists the bucket, whatever is in it.
const uploadsPause = 2 * time.Minute

// startUploaded does what the events of uploads would have done that were lost: a request that waits for its upload, and whose upload is
// there, gets its task. An event that is only late changes nothing afterwards. It returns how many there were.
func (r *Reaper) startUploaded(ctx context.Context) (started int, _ error) {
	if r.Archive == nil || !r.looksAtUploads() {
		return 0, nil
	}
	begun := map[string]bool{}
	for o, err := range r.Archive.Store.List(ctx, r.Archive.Buckets.Uploads(), "") {
		if err != nil {
			return started, fmt.Errorf("look for uploads: %w", err)
		}
		id, ok := artifacts.RequestOf(o.Name)
		if !ok || !artifacts.Starts(o.Name) {
			continue // one of several uploads
		}
		added := false
		if !r.hasBegun(id) {
			if added, err = r.startOne(ctx, id, o); err != nil {
				return started, err
			}
		}
		if begun[id] = true; added {
			started++
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = begun // without those whose uploads are gone
	return started, nil
}

// startOne makes the task of an uploaded object, unless its request has begun, has ended, or is unknown.
func (r *Reaper) startOne(ctx context.Context, id string, o pipeline.Object) (added bool, err error) {
	s, err := r.Queue.Lookup(ctx, id)
	if errors.Is(err, queue.ErrNotFound) || err == nil && (s.Stage != "" || s.Status.Terminal()) {
		return false, nil
	}
	if err == nil {
		added, err = r.Queue.Enqueue(ctx, queue.Task{RequestID: id, Stage: pipeline.First(), Input: o})
	}
	if errors.Is(err, queue.ErrTerminal) || errors.Is(err, queue.ErrNotFound) { // meanwhile
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("start the uploaded request %s: %w", id, err)
	}
	if added {
		r.Log.InfoContext(ctx, "lost event of an upload redone", "request_id", id, "stage", pipeline.First(), "object", o.String())
	}
	return added, nil
}

// looksAtUploads says whether the pause is over, and begins the next one.
func (r *Reaper) looksAtUploads() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.now().Sub(r.lookedAt)
	if !r.lookedAt.IsZero() && since < uploadsPause && since >= 0 {
		return false
	}
	r.lookedAt = r.now()
	return true
}

// hasBegun says whether an earlier look found that a request waits for no upload.
func (r *Reaper) hasBegun(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun[id]
}
