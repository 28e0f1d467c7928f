package story

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Queue is what a story asks of the queue.
type Queue interface {
	Lookup(ctx context.Context, requestID string) (queue.State, error)
	Position(ctx context.Context, requestID string) (int, error)
	Counts(ctx context.Context) (map[pipeline.Stage]queue.StageCounts, error)
	After(ctx context.Context, cursor string, n int, wait time.Duration) ([]queue.Transition, error)
}

// Reader knows where stories are found.
type Reader struct {
	Store   artifacts.Store
	Buckets artifacts.Buckets
	Queue   Queue                  // nil: the store has to do
	Slots   map[pipeline.Stage]int // most workers of a stage at once
	Now     func() time.Time
}

// ErrUnknown reports that neither the queue nor the store knows the request.
var ErrUnknown = errors.New("story: no such request")

// facts are what is known of a request.
type facts struct {
	request  pipeline.Request
	trace    serve.Trace
	state    *queue.State // nil: the queue does not know it
	position int          // in the queue of its stage; 0: not waiting for a worker
	counts   queue.StageCounts
	slots    int
	events   []queue.Transition // that are still kept, without progress
	history  []artifacts.StageRecord
	reports  []artifacts.AttemptReport
	outcome  *queue.Outcome
	now      time.Time
}

// Read is the story of a request. ErrUnknown when there is none.
func (r Reader) Read(ctx context.Context, requestID string) (*Story, error) {
	if !pipeline.ValidRequestID(requestID) {
		return nil, ErrUnknown
	}
	f := &facts{now: r.Now()}
	for _, read := range []func(context.Context, string, *facts) error{r.readQueue, r.readRecord, r.readManifest, r.readOutcome, r.readEvents} {
		if err := read(ctx, requestID, f); err != nil {
			return nil, err
		}
	}
	var err error
	f.reports, err = artifacts.ReadAttempts(ctx, r.Store, r.Buckets, requestID+"/")
	if err != nil {
		return nil, err
	}
	return f.story(), nil
}

func (r Reader) readQueue(ctx context.Context, id string, f *facts) error {
	if r.Queue == nil {
		return nil
	}
	state, err := r.Queue.Lookup(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil // forgotten, or not rebuilt yet
	}
	if err != nil {
		return err
	}
	f.state, f.request = &state, state.Request
	if f.position, err = r.Queue.Position(ctx, id); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	counts, err := r.Queue.Counts(ctx)
	f.counts, f.slots = counts[state.Stage], r.Slots[state.Stage]
	return err
}

// maxRecordBytes bounds a record or an outcome.
const maxRecordBytes = 1 << 20

func (r Reader) readRecord(ctx context.Context, id string, f *facts) error {
	var record struct {
		pipeline.Request
		Trace serve.Trace `json:"trace"`
	}
	err := artifacts.GetJSON(ctx, r.Store, pipeline.Object{Bucket: r.Buckets.Artifacts, Name: artifacts.RequestName(id)}, &record, maxRecordBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		if f.state == nil {
			return ErrUnknown
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read record: %w", err)
	}
	f.request, f.trace = record.Request, record.Trace
	return nil
}

// readManifest reads the newest one: it has the whole history.
func (r Reader) readManifest(ctx context.Context, id string, f *facts) error {
	for s, ok := pipeline.Last(), true; ok; s, ok = s.Previous() {
		o, err := r.Store.Stat(ctx, r.Buckets.ManifestBucket(s), artifacts.ManifestName(id, s))
		if errors.Is(err, artifacts.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for manifest: %w", err)
		}
		m, err := artifacts.ReadManifest(ctx, r.Store, o)
		if err != nil {
			return err
		}
		f.history = m.History
		return nil
	}
	return nil
}

func (r Reader) readOutcome(ctx context.Context, id string, f *facts) error {
	var o queue.Outcome
	err := artifacts.GetJSON(ctx, r.Store, pipeline.Object{Bucket: r.Buckets.Artifacts, Name: artifacts.OutcomeName(id)}, &o, maxRecordBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	f.outcome = &o
	return err
}

// eventsAtOnce travel together.
const eventsAtOnce = 2000

// readEvents looks through all events that the queue keeps.
func (r Reader) readEvents(ctx context.Context, id string, f *facts) error {
	if f.state == nil {
		return nil
	}
	for cursor := ""; ; {
		page, err := r.Queue.After(ctx, cursor, eventsAtOnce, 0)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.RequestID == id && e.Kind != queue.Progress {
				f.events = append(f.events, e)
			}
		}
		if len(page) < eventsAtOnce {
			return nil
		}
		cursor = page[len(page)-1].ID
	}
}
