package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const minPurgeAge = time.Hour

// purge serves POST /purge {"older_than_s": 2592000, "dry_run": true}: everything that requests left which ended so long
// ago is deleted from all buckets. A request that has not ended is never touched, whatever its age. No request reads another one's
// objects, since a retry has copies: a retry that copies while its source is deleted has all of it or is refused.
func (s *Service) purge(r *http.Request) (int, any, error) {
	var ask struct {
		OlderThanS float64 `json:"older_than_s"`
		DryRun     bool    `json:"dry_run"`
	}
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	if !(ask.OlderThanS >= minPurgeAge.Seconds() && ask.OlderThanS <= 1e9) {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_age", fmt.Sprintf("older_than_s must be between %g and 1e9.", minPurgeAge.Seconds()), "Think of a month: 2592000.")
	}
	ctx := r.Context()
	old, err := s.endedBefore(ctx, s.Now().Add(-time.Duration(ask.OlderThanS*float64(time.Second))))
	if err != nil {
		return 0, nil, err
	}
	objects, bytes := 0, int64(0)
	for _, id := range old {
		n, b, err := s.purgeRequest(ctx, id, ask.DryRun)
		if err != nil {
			return 0, nil, err
		}
		objects, bytes = objects+n, bytes+b
	}
	s.Log.InfoContext(ctx, "purged", "requests", len(old), "objects", objects, "bytes", bytes, "dry_run", ask.DryRun)
	return http.StatusOK, map[string]any{"requests": len(old), "objects": objects, "bytes": bytes, "dry_run": ask.DryRun}, nil
}

// endedBefore lists the requests that are known to have ended before t.
func (s *Service) endedBefore(ctx context.Context, t time.Time) (old []string, err error) {
	for record, err := range s.archive().Records(ctx) {
		if err != nil {
			return nil, err
		}
		ended, err := s.ended(ctx, record)
		if err != nil {
			return nil, err
		}
		if !ended.IsZero() && ended.Before(t) {
			old = append(old, record.Request.ID)
		}
	}
	return old, nil
}

// ended is when a request ended; zero when it has not, or nobody knows.
func (s *Service) ended(ctx context.Context, record queue.Record) (time.Time, error) {
	state, err := s.Queue.Lookup(ctx, record.Request.ID)
	switch {
	case errors.Is(err, queue.ErrNotFound): // forgotten, or lost: the buckets tell
		if record.Outcome != nil {
			return record.Outcome.At, nil
		}
		if _, more := record.Done.Next(); record.Done == "" || more {
			return time.Time{}, nil
		}
		m, err := artifacts.ReadManifest(ctx, s.Store, record.Manifest)
		if err != nil {
			return time.Time{}, err
		}
		return m.History[len(m.History)-1].FinishedAt, nil
	case err != nil:
		return time.Time{}, err
	case !state.Status.Terminal():
		return time.Time{}, nil
	}
	return state.FinishedAt, nil
}

// prefix is where objects are in a bucket.
type prefix struct{ bucket, name string }

// filesOf is where everything is that belongs to a request but what says that it was there and how it ended.
func (s *Service) filesOf(id string) []prefix {
	files := []prefix{{s.Buckets.Artifacts, id + "/"}}
	for _, name := range pipeline.Stages() {
		files = append(files, prefix{s.Buckets.Inbox[name], id + "/"})
	}
	return append(files, prefix{s.Buckets.Artifacts, artifacts.WebhookPrefix(id)}, prefix{s.Buckets.Artifacts, artifacts.SharePrefix(id)})
}

// purgeRequest deletes what a request left. A purge that dies leaves the record and the end for the next one, which finds it by them;
// the record goes before the end, so that no rebuild takes the request for one that has not ended.
func (s *Service) purgeRequest(ctx context.Context, id string, dryRun bool) (objects int, bytes int64, err error) {
	last := []prefix{{s.Buckets.Artifacts, artifacts.RequestName(id)}, {s.Buckets.Artifacts, artifacts.OutcomeName(id)}, {s.Buckets.Artifacts, artifacts.FinishedPrefix + id + "/"}}
	return s.remove(ctx, append(s.filesOf(id), last...), dryRun)
}

// remove deletes the objects under prefixes, in their order, and counts them. A dry run only counts.
func (s *Service) remove(ctx context.Context, prefixes []prefix, dryRun bool) (objects int, bytes int64, err error) {
	for _, p := range prefixes {
		var found []pipeline.Object // listed first: deleting while listing would shift pages
		for o, err := range s.Store.List(ctx, p.bucket, p.name) {
			if err != nil {
				return objects, bytes, fmt.Errorf("list %s: %w", p.bucket, err)
			}
			found = append(found, o)
		}
		for _, o := range found {
			if !dryRun {
				if err := s.Store.Delete(ctx, o); err != nil && !errors.Is(err, artifacts.ErrNotFound) {
					return objects, bytes, fmt.Errorf("delete %v: %w", o, err)
				}
			}
			objects, bytes = objects+1, bytes+o.Size
		}
	}
	return objects, bytes, nil
}
