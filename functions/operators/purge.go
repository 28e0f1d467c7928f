package operators

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/tenant"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

const (
	minPurgeAge = time.Hour
	// settledAfter is how long after its end no worker of a request writes any more: until then it holds a lease, or believes it.
	settledAfter = 2 * time.Minute
)

// purgeAsked is the body of POST /purge. At least one of the first three is given; all that are given must be true of a request.
type purgeAsked struct {
	OlderThanS float64 `json:"older_than_s"` // since it ended
	RequestID  string  `json:"request_id"`
	Caller     string  `json:"caller"` // as records have it: key:NAME, or an address
	Cancel     bool    `json:"cancel"` // those that have not ended
	Keys       bool    `json:"keys"`   // the caller's API keys, too: at once they are revoked, and deleted with the last request
	DryRun     bool    `json:"dry_run"`
}

func (a purgeAsked) named() bool { return a.RequestID != "" || a.Caller != "" }

func (a purgeAsked) keyName() string { return strings.TrimPrefix(a.Caller, pipeline.KeyCaller) }

func (a purgeAsked) check() error {
	switch age := a.OlderThanS; {
	case a.RequestID != "" && !pipeline.ValidRequestID(a.RequestID):
		return refuse(http.StatusBadRequest, "invalid_request_id", fmt.Sprintf("%.40q is not the id of a request.", a.RequestID), "GET /requests lists them.")
	case a.Cancel && !a.named():
		return refuse(http.StatusBadRequest, "invalid_cancel", "cancel needs a request_id or a caller.", "Say whose requests are to be canceled.")
	case a.Keys && (a.RequestID != "" || age != 0 || !strings.HasPrefix(a.Caller, pipeline.KeyCaller) || tenant.CheckName(a.keyName()) != nil):
		return refuse(http.StatusBadRequest, "invalid_keys", "keys needs a caller of the form key:NAME and nothing else that limits what is deleted.", "Say whose keys are to be deleted.")
	case age == 0 && a.named():
		return nil
	case !(age >= minPurgeAge.Seconds() && age <= 1e9):
		return refuse(http.StatusBadRequest, "invalid_age", fmt.Sprintf("older_than_s must be between %g and 1e9, unless a request_id or a caller is named.", minPurgeAge.Seconds()), "For example, 2592000 (30 days).")
	}
	return nil
}

// purgeAnswer is what was deleted, and what was not.
type purgeAnswer struct {
	Requests int   `json:"requests"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Active   int   `json:"active"`  // requests that were named, have not ended, and stay
	Waiting  int   `json:"waiting"` // that were named and ended just now: their workers may still write
	Keys     int   `json:"keys"`
	KeysLeft int   `json:"keys_left"` // revoked, and not deleted before all else is
	DryRun   bool  `json:"dry_run"`
}

// whole says whether nothing is left of what was named.
func (a purgeAnswer) whole() bool { return a.Active == 0 && a.Waiting == 0 }

// purge serves POST /purge: everything that requests left which ended so long ago, or that are named by their id or their caller, is
// deleted from all buckets; of the named ones the queue keeps nothing either. A request that has not ended is never touched, whatever
// its age; its deletion begins with its end. No request reads another one's objects, since a retry has copies: a retry that
// copies while its source is deleted has all of it or is refused.
func (s *Service) purge(r *http.Request) (int, any, error) {
	var ask purgeAsked
	if err := read(r, &ask); err != nil {
		return 0, nil, err
	}
	if err := ask.check(); err != nil {
		return 0, nil, err
	}
	ctx, began := r.Context(), s.Now()
	done := purgeAnswer{DryRun: ask.DryRun}
	if err := s.revokeAll(r, ask, &done); err != nil { // first, so that no request comes after those that are deleted
		return 0, nil, err
	}
	var doomed []string // collected first: deleting while listing would shift pages
	recorded := map[string]bool{}
	for record, err := range s.archive().Records(ctx) {
		recorded[record.Request.ID] = true
		if err == nil && ask.means(record.Request) {
			var now bool
			if now, err = s.mayGo(r, ask, record, &done); err == nil && now {
				doomed = append(doomed, record.Request.ID)
			}
		}
		if err != nil {
			return 0, nil, err
		}
	}
	abandoned, err := s.abandoned(ctx, ask, recorded, began)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range append(doomed, abandoned...) {
		n, b, err := s.purgeRequest(ctx, id, ask.DryRun)
		if err == nil && ask.named() && !ask.DryRun {
			err = s.Queue.Forget(ctx, id)
		}
		if err != nil {
			return 0, nil, err
		}
		done.Requests, done.Objects, done.Bytes = done.Requests+1, done.Objects+n, done.Bytes+b
		if !ask.DryRun {
			s.audit(r, tenant.RequestPurged, "request_id", id, "objects", n, "bytes", b)
		}
	}
	if err := s.deleteKeys(r, ask, &done); err != nil {
		return 0, nil, err
	}
	if !ask.DryRun {
		s.audit(r, tenant.RequestsPurged, "requests", done.Requests, "objects", done.Objects, "bytes", done.Bytes, "active", done.Active, "waiting", done.Waiting,
			"of_request", ask.RequestID, "of_caller", ask.audited())
	}
	return http.StatusOK, done, nil
}

// audited is the caller as an audit row has it.
func (a purgeAsked) audited() string {
	if a.Caller == "" {
		return ""
	}
	return tenant.Named(a.Caller)
}

// means says whether a request is one that was named.
func (a purgeAsked) means(r pipeline.Request) bool {
	return (a.RequestID == "" || a.RequestID == r.ID) && (a.Caller == "" || a.Caller == r.Caller)
}

// mayGo says whether a request can be deleted now, and counts those that were named and cannot. If it is to be canceled, it is.
func (s *Service) mayGo(r *http.Request, ask purgeAsked, record queue.Record, done *purgeAnswer) (bool, error) {
	ended, err := s.ended(r.Context(), record)
	if err != nil {
		return false, err
	}
	now := s.Now()
	if ended.IsZero() {
		if !ask.Cancel {
			if ask.named() {
				done.Active++
			}
			return false, nil
		}
		if !ask.DryRun {
			if err := s.cancel(r, record.Request); err != nil && !errors.Is(err, queue.ErrTerminal) { // it ended meanwhile
				return false, err
			}
		}
		ended = now
	}
	if age := time.Duration(ask.OlderThanS * float64(time.Second)); age > 0 && !ended.Before(now.Add(-age)) {
		return false, nil
	}
	if ended.After(now.Add(-settledAfter)) {
		done.Waiting++
		return false, nil
	}
	return true, nil
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
