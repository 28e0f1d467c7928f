package memq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// publish appends what happened to r and wakes readers.
func (q *Queue) publish(r *request, kind queue.Kind, at time.Time) {
	if r.Status.Terminal() && kind != queue.Restored {
		if q.ends == nil {
			q.ends = map[pipeline.Status]int{}
		}
		q.ends[r.Status]++
	}
	q.logged++
	t := queue.Transition{ID: cursor(q.logged), RequestID: r.ID, Stage: r.Stage, Status: r.Status, Kind: kind, At: at}
	switch kind {
	case queue.Progress:
		p := r.Progress
		t.Progress = &p
	case queue.Retry, queue.Failed:
		t.Code = r.Failure.Code
	}
	q.log = append(q.log, t)
	if over := len(q.log) - q.cfg.KeepEvents; over > 0 {
		q.log = q.log[over:]
	}
	close(q.news)
	q.news = make(chan struct{})
}

// cursor has as many digits for every transition, so that cursors sort as strings too.
func cursor(n int64) string { return fmt.Sprintf("%016d", n) }

// Newest implements queue.Events.
func (q *Queue) Newest(context.Context) (string, error) {
	q.lock()
	defer q.mu.Unlock()
	return cursor(q.logged), nil
}

// After implements queue.Events.
func (q *Queue) After(ctx context.Context, after string, n int, wait time.Duration) ([]queue.Transition, error) {
	seen := int64(0)
	if after != "" {
		var err error
		if seen, err = strconv.ParseInt(after, 10, 64); err != nil {
			return nil, fmt.Errorf("cursor %q: %w", after, err)
		}
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		q.lock()
		skip := max(0, int(seen-(q.logged-int64(len(q.log)))))
		var found []queue.Transition
		if skip < len(q.log) {
			found = append(found, q.log[skip:min(len(q.log), skip+n)]...)
		}
		news := q.news
		q.mu.Unlock()
		if len(found) > 0 || wait <= 0 {
			return found, nil
		}
		select {
		case <-news:
		case <-timeout.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// sameProgress says whether there is no news in p.
func sameProgress(p, known pipeline.Progress) bool {
	a, errA := json.Marshal(p)
	b, errB := json.Marshal(known)
	return errA == nil && errB == nil && string(a) == string(b)
}
