package operators

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
		return 0, nil, refuse(http.StatusBadRequest, "invalid_age", fmt.Sprintf("older_than_s must be between %g and 1e9.", minPurgeAge.Seconds()), "Think of a month: 2592000.")
	}
	ctx := r.Context()
	earlier, err := s.purging(ctx)
	if err != nil {
		return 0, nil, err
	}
	found, err := s.endedBefore(ctx, s.Now().Add(-time.Duration(ask.OlderThanS*float64(time.Second))))
	if err != nil {
		return 0, nil, err
	}
	found.add(earlier.Requests)
	requests, objects, bytes := 0, 0, int64(0)
	visit := func(id string) error {
		n, b, err := s.purgeRequest(ctx, id, ask.DryRun)
		requests, objects, bytes = requests+1, objects+n, bytes+b
		return err
	}
	if ask.DryRun {
		for _, id := range found.old() {
			if err := visit(id); err != nil {
				return 0, nil, err
			}
		}
	} else if err := s.claimed(ctx, earlier, found, visit); err != nil {
		return 0, nil, err
	}
	s.Log.InfoContext(ctx, "purged", "requests", requests, "objects", objects, "bytes", bytes, "dry_run", ask.DryRun)
	return http.StatusOK, map[string]any{"requests": requests, "objects": objects, "bytes": bytes, "dry_run": ask.DryRun}, nil
}

// survey is what is known of the requests in the buckets.
type survey struct {
	ended map[string]bool // ended long ago
	named map[string]bool // whose objects the others name
	known map[string]bool // nothing more can be learned of: they ended long ago, or what they name is in named
}

func (f *survey) add(ended []string) {
	for _, id := range ended {
		f.ended[id], f.known[id] = true, true
	}
}

// old lists the requests that can go, by id.
func (f *survey) old() []string {
	var old []string
	for id := range f.ended {
		if !f.named[id] {
			old = append(old, id)
		}
	}
	slices.Sort(old)
	return old
}

// endedBefore finds the requests that are known to have ended before t, and those that an unended or younger one builds upon.
func (s *Service) endedBefore(ctx context.Context, t time.Time) (*survey, error) {
	found := &survey{ended: map[string]bool{}, named: map[string]bool{}, known: map[string]bool{}}
	for record, err := range s.archive().Records(ctx) {
		if err != nil {
			return nil, err
		}
		ended, err := s.ended(ctx, record)
		if err != nil {
			return nil, err
		}
		if !ended.IsZero() && ended.Before(t) {
			found.add([]string{record.Request.ID})
		} else if err := s.notes(ctx, found, record); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// notes takes down whose objects the next stage of a request may read.
func (s *Service) notes(ctx context.Context, found *survey, record queue.Record) error {
	uses, err := s.uses(ctx, record)
	if err != nil {
		return err
	}
	for _, id := range s.owners(uses) {
		found.named[id], found.known[record.Request.ID] = true, true
	}
	return nil
}

// uses lists the objects that a request's next stage may read.
func (s *Service) uses(ctx context.Context, record queue.Record) (objects []pipeline.Object, err error) {
	switch {
	case record.Manifest.Name != "":
		m, err := artifacts.ReadManifest(ctx, s.Store, record.Manifest)
		if errors.Is(err, artifacts.ErrNotFound) {
			return nil, nil // of a retry that was called off meanwhile
		}
		if err != nil {
			return nil, err
		}
		objects = named(m)
	case artifacts.IsCapture(record.Upload.Name):
		capture, err := artifacts.ReadCapture(ctx, s.Store, record.Upload)
		if errors.Is(err, artifacts.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		objects = capture.Objects
	}
	return objects, nil
}

func named(m *artifacts.Manifest) (objects []pipeline.Object) {
	for _, a := range m.Known() {
		objects = append(objects, a.Object)
	}
	return objects
}

// owners lists the requests whose objects these are. A source in another bucket is nobody's.
func (s *Service) owners(objects []pipeline.Object) []string {
	ours := map[string]bool{s.Buckets.Artifacts: true}
	for _, inbox := range s.Buckets.Inbox {
		ours[inbox] = true
	}
	var ids []string
	for _, o := range objects {
		if id, ok := artifacts.RequestOf(o.Name); ok && ours[o.Bucket] && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
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

// purgeRequest deletes what a request left, its record first, so that no retry begins from the rest (see stays).
func (s *Service) purgeRequest(ctx context.Context, id string, dryRun bool) (objects int, bytes int64, err error) {
	type place struct{ bucket, prefix string }
	places := []place{{s.Buckets.Artifacts, artifacts.RequestName(id)}, {s.Buckets.Artifacts, id + "/"}, {s.Buckets.Artifacts, artifacts.FinishedPrefix + id + "/"}}
	for _, name := range pipeline.Stages() {
		places = append(places, place{s.Buckets.Inbox[name], id + "/"})
	}
	places = append(places, place{s.Buckets.Artifacts, artifacts.WebhookPrefix(id)}, place{s.Buckets.Artifacts, artifacts.SharePrefix(id)}, place{s.Buckets.Artifacts, artifacts.OutcomeName(id)})
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
