package requests

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const minPurgeAge = time.Hour

// purge serves POST /purge {"older_than_s": 2592000, "dry_run": true}: everything that requests left which ended so long
// ago is deleted from all buckets. A request that has not ended is never touched, whatever its age; nor is one whose
// objects a retry of it may still read, since a retry's Capture and manifests name the first request's objects: those go when
// the retry goes.
func (s *Service) purge(r *http.Request) (int, any, error) {
	var ask struct {
		OlderThanS float64 `json:"older_than_s"`
		DryRun     bool    `json:"dry_run"`
	}
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	if !(ask.OlderThanS >= minPurgeAge.Seconds() && ask.OlderThanS <= 1e9) {
		return 0, nil, refuse(http.StatusBadRequest, "invalid_age", fmt.Sprintf("older_than_s must be at least %g.", minPurgeAge.Seconds()), "Think of a month: 2592000.")
	}
	ctx := r.Context()
	before := s.Now().Add(-time.Duration(ask.OlderThanS * float64(time.Second)))
	old, err := s.endedBefore(ctx, before)
	if err != nil {
		return 0, nil, err
	}
	objects, bytes := 0, int64(0)
	for _, id := range old {
		n, b, err := s.purgeRequest(ctx, id, ask.DryRun)
		objects, bytes = objects+n, bytes+b
		if err != nil {
			return 0, nil, err
		}
	}
	s.Log.InfoContext(ctx, "purged", "requests", len(old), "objects", objects, "bytes", bytes, "dry_run", ask.DryRun)
	return http.StatusOK, map[string]any{"requests": len(old), "objects": objects, "bytes": bytes, "dry_run": ask.DryRun}, nil
}

// endedBefore lists the requests that are known to have ended before t, without those that an unended or younger one
// builds upon.
func (s *Service) endedBefore(ctx context.Context, t time.Time) ([]string, error) {
	var old []string
	kept := map[string]bool{} // whose objects the ones that stay name
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
			continue
		}
		uses, err := s.uses(ctx, record)
		if err != nil {
			return nil, err
		}
		for _, o := range uses {
			if owner, ok := artifacts.RequestOf(o.Name); ok {
				kept[owner] = true
			}
		}
	}
	return slices.DeleteFunc(old, func(id string) bool { return kept[id] }), nil
}

// uses lists the objects that a request's next stage may read.
func (s *Service) uses(ctx context.Context, record queue.Record) (objects []pipeline.Object, err error) {
	switch {
	case record.Manifest.Name != "":
		m, err := artifacts.ReadManifest(ctx, s.Store, record.Manifest)
		if err != nil {
			return nil, err
		}
		for _, a := range m.Known() {
			objects = append(objects, a.Object)
		}
	case artifacts.IsCapture(record.Upload.Name):
		capture, err := artifacts.ReadCapture(ctx, s.Store, record.Upload)
		if err != nil {
			return nil, err
		}
		objects = capture.Objects
	}
	return objects, nil
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

// purgeRequest deletes what a request left, its record last, so that an interrupted purge is found again.
func (s *Service) purgeRequest(ctx context.Context, id string, dryRun bool) (objects int, bytes int64, err error) {
	type place struct{ bucket, prefix string }
	places := []place{{s.Buckets.Artifacts, id + "/"}, {s.Buckets.Artifacts, artifacts.FinishedPrefix + id + "/"}}
	for _, name := range pipeline.Stages() {
		places = append(places, place{s.Buckets.Inbox[name], id + "/"})
	}
	places = append(places, place{s.Buckets.Artifacts, artifacts.WebhookPrefix(id)}, place{s.Buckets.Artifacts, artifacts.OutcomeName(id)}, place{s.Buckets.Artifacts, artifacts.RequestName(id)})
	for _, p := range places {
		var found []pipeline.Object // listed first: deleting while listing would shift pages
		for o, err := range s.Store.List(ctx, p.bucket, p.prefix) {
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
