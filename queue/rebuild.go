package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// Record is what the buckets know of one request: enough to put it back where it was.
type Record struct {
	Request  pipeline.Request
	Upload   pipeline.Object // newest upload; zero while there is none
	Done     pipeline.Stage  // the latest stage that has a manifest; empty while there is none
	Manifest pipeline.Object // that manifest
	At       time.Time       // when it was written, or the request ended; zero: unknown
	// Outcome is set when a request is known to have FAILED or been CANCELED. Nothing else distinguishes them from interrupted ones,
	// which are taken up again.
	Outcome *Outcome
}

// Outcome is how a request ended without a result.
type Outcome struct {
	Status  pipeline.Status   `json:"status"` // FAILED or CANCELED
	Failure *pipeline.Failure `json:"failure,omitempty"`
	At      time.Time         `json:"at"`
}

// Next is the task that the record calls for; ok is false when it waits for its upload or has ended.
func (r Record) Next() (t Task, ok bool) {
	if r.Outcome != nil {
		return Task{}, false
	}
	if r.Done == "" {
		return Task{RequestID: r.Request.ID, Stage: pipeline.First(), Input: r.Upload}, r.Upload.Name != ""
	}
	next, more := r.Done.Next()
	return Task{RequestID: r.Request.ID, Stage: next, Input: r.Manifest}, more
}

// Restorer takes records back in. It never takes back what it knows: a request that is known only gains the task that
// its record calls for, as by Enqueue. So restoring is safe at any time, twice, and while workers run.
type Restorer interface {
	Restore(ctx context.Context, records []Record) (Rebuilt, error)
	// Whole reports whether SetWhole succeeded since the queue was last empty of everything. A queue that is not whole may have
	// lost what it knew, and a request that it does not know may exist.
	Whole(ctx context.Context) (bool, error)
	// BeginRestore notes the beginning of a rebuild under a name of its own. SetWhole notes its end: ErrLostAgain when the queue has lost the
	// beginning since, and with it some of what was restored.
	BeginRestore(ctx context.Context, rebuild string) error
	SetWhole(ctx context.Context, rebuild string) error
}

// ErrLostAgain reports that the queue lost what it knew while it was rebuilt: rebuild it again.
var ErrLostAgain = errors.New("queue: lost again during its rebuild")

// Recent ends may not have been announced when the queue was lost, and that was lost with it: Restore leaves those of the last
// hour to the reaper to announce, perhaps once more.
const Recent = time.Hour

// Rebuilt says what a rebuild found and did.
type Rebuilt struct {
	Records  int // looked at
	Requests int // unknown before
	Tasks    int // made ready
}

// restoreBatch records travel to the queue together.
const restoreBatch = 500

// Rebuild brings the queue up to what the records say. On an empty queue that is its whole state: who waits for an upload,
// whose next task is ready, who has ended. On a live one it adds what was lost. Then the queue is whole. Records should come in the order of their
// request ids, so that equal priorities keep their order.
func Rebuild(ctx context.Context, q Restorer, records iter.Seq2[Record, error]) (Rebuilt, error) {
	var total Rebuilt
	name := rand.Text()
	if err := q.BeginRestore(ctx, name); err != nil {
		return total, fmt.Errorf("note the beginning of a rebuild: %w", err)
	}
	batch := make([]Record, 0, restoreBatch)
	flush := func() error {
		done, err := q.Restore(ctx, batch)
		total.Records += done.Records
		total.Requests += done.Requests
		total.Tasks += done.Tasks
		batch = batch[:0]
		if err != nil {
			return fmt.Errorf("restore records: %w", err)
		}
		return nil
	}
	for r, err := range records {
		if err != nil {
			return total, fmt.Errorf("read records: %w", err)
		}
		if batch = append(batch, r); len(batch) == restoreBatch {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	if err := flush(); err != nil {
		return total, err
	}
	if err := q.SetWhole(ctx, name); err != nil {
		return total, fmt.Errorf("note the end of a rebuild: %w", err)
	}
	return total, nil
}
