package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Archive is what the buckets know of requests: the queue is rebuilt from it.
type Archive struct {
	Store   artifacts.Store
	Buckets artifacts.Buckets
}

// maxRecordBytes bounds a request record or an outcome.
const maxRecordBytes = 1 << 20

// NoteOutcome writes down that a request FAILED or was CANCELED: nothing else in the buckets distinguishes it from one that
// was interrupted. Noting it twice changes nothing.
func (a Archive) NoteOutcome(ctx context.Context, requestID string, o queue.Outcome) error {
	_, err := artifacts.PutJSON(ctx, a.Store, a.Buckets.Artifacts, artifacts.OutcomeName(requestID), o, artifacts.PutOptions{})
	if err != nil {
		return fmt.Errorf("note outcome: %w", err)
	}
	return nil
}

// DeleteParts removes what was uploaded for a request that ended before it began, in several uploads. Links and upload sessions
// that are still open may bring more; that goes with the bucket's retention.
func (a Archive) DeleteParts(ctx context.Context, requestID string) error {
	inbox := a.Buckets.Uploads()
	var parts []pipeline.Object // listed first: deleting while listing would shift pages
	for o, err := range a.Store.List(ctx, inbox, artifacts.PartsPrefix(requestID)) {
		if err != nil {
			return fmt.Errorf("list uploads: %w", err)
		}
		parts = append(parts, o)
	}
	for _, o := range parts {
		if err := a.Store.Delete(ctx, o); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
			return fmt.Errorf("delete upload: %w", err)
		}
	}
	return nil
}

// Records yields every request the buckets know of, by request id: its own record, its newest upload, its latest
// manifest and its outcome.
func (a Archive) Records(ctx context.Context) iter.Seq2[queue.Record, error] {
	return func(yield func(queue.Record, error) bool) {
		traces, err := a.survey(ctx)
		if err != nil {
			yield(queue.Record{}, err)
			return
		}
		for o, err := range a.Store.List(ctx, a.Buckets.Artifacts, artifacts.RequestPrefix) {
			var r queue.Record
			if err == nil {
				err = artifacts.GetJSON(ctx, a.Store, o, &r.Request, maxRecordBytes)
			}
			if errors.Is(err, artifacts.ErrNotFound) {
				continue // purged meanwhile
			}
			if err != nil {
				yield(r, fmt.Errorf("request record: %w", err))
				return
			}
			k := traces[r.Request.ID]
			r.Upload, r.Done, r.Manifest = k.upload, k.done, k.manifest
			if k.outcome.Name != "" && k.done != pipeline.Last() {
				r.Outcome = new(queue.Outcome)
				err := artifacts.GetJSON(ctx, a.Store, k.outcome, r.Outcome, maxRecordBytes)
				if errors.Is(err, artifacts.ErrNotFound) {
					continue // the same: a record goes first
				}
				if err != nil {
					yield(r, fmt.Errorf("outcome: %w", err))
					return
				}
				r.At = r.Outcome.At
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

type traces struct {
	upload, manifest, outcome pipeline.Object
	done                      pipeline.Stage
}

// survey lists each bucket once instead of asking for every request's objects one by one.
func (a Archive) survey(ctx context.Context) (map[string]traces, error) {
	known := map[string]traces{}
	each := func(bucket, prefix string, note func(id string, t *traces, o pipeline.Object)) error {
		for o, err := range a.Store.List(ctx, bucket, prefix) {
			if err != nil {
				return fmt.Errorf("list %s: %w", bucket, err)
			}
			id, ok := artifacts.RequestOf(o.Name)
			if !ok {
				id, ok = artifacts.OutcomeOf(o.Name)
			}
			if ok {
				t := known[id]
				note(id, &t, o)
				known[id] = t
			}
		}
		return nil
	}
	first := a.Buckets.Uploads()
	problems := []error{
		each(first, "", func(_ string, t *traces, o pipeline.Object) {
			if artifacts.Starts(o.Name) && o.Generation > t.upload.Generation {
				t.upload = o
			}
		}),
		each(a.Buckets.Artifacts, artifacts.OutcomePrefix, func(_ string, t *traces, o pipeline.Object) { t.outcome = o }),
	}
	for _, stage := range pipeline.Stages() { // later stages overwrite what earlier ones noted
		problems = append(problems, each(a.Buckets.ManifestBucket(stage), manifestPrefix(stage), func(id string, t *traces, o pipeline.Object) {
			if o.Name == artifacts.ManifestName(id, stage) {
				t.done, t.manifest = stage, o
			}
		}))
	}
	return known, errors.Join(problems...)
}

// manifestPrefix narrows a listing to what can be a manifest.
func manifestPrefix(stage pipeline.Stage) string {
	if _, more := stage.Next(); more {
		return "" // an inbox holds nothing else
	}
	return artifacts.FinishedPrefix
}
