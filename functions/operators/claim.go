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
)

// A purge and a retry may overlap, in two processes. So each writes before it looks. A purge notes whom it is about to delete,
// then looks once more for requests that name their objects. A retry writes down which objects it names, then looks whether their
// requests are being deleted or are gone. Whatever the order, at least one sees the other; when both do, nothing is deleted and
// the retry is refused. Objects and listings are strongly consistent (Cloud Storage, "Consistency").

// claim is what a purge notes. It is at artifacts.PurgeName while a purge runs, and stays when that died, with whom it may have
// deleted in part: the next purge continues with them.
type claim struct {
	Since    time.Time       `json:"since"` // zero once the purge has ended with an error
	Requests []string        `json:"requests"`
	object   pipeline.Object // zero: there is none
}

// maxClaimBytes bounds a claim: some million ids.
const maxClaimBytes = 32 << 20

// claimFor is how long a purge has its claim: as long as it may run, and a minute for clocks that disagree.
const claimFor = LongestCall + time.Minute

// purging reads the claim that there is.
func (s *Service) purging(ctx context.Context) (claim, error) {
	var c claim
	o, err := s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.PurgeName)
	if errors.Is(err, artifacts.ErrNotFound) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("look for a purge: %w", err)
	}
	err = artifacts.GetJSON(ctx, s.Store, o, &c, maxClaimBytes)
	if errors.Is(err, artifacts.ErrNotFound) {
		return c, nil // that purge has ended
	}
	if err != nil {
		return c, fmt.Errorf("read the claim of a purge: %w", err)
	}
	c.object = o
	return c, nil
}

func (s *Service) putClaim(ctx context.Context, c claim, o artifacts.PutOptions) error {
	_, err := artifacts.PutJSON(ctx, s.Store, s.Buckets.Artifacts, artifacts.PurgeName, c, o)
	return err
}

// claimed claims the requests of a survey that can go, in the place of an earlier purge, and visits those that nobody has begun to
// build upon meanwhile.
func (s *Service) claimed(ctx context.Context, earlier claim, found *survey, visit func(id string) error) (err error) {
	running := refuse(http.StatusConflict, "purge_running", "Another purge is running.", "Wait for its end; one that was killed is in the way for a quarter of an hour.")
	running.Retryable = true
	if s.Now().Before(earlier.Since.Add(claimFor)) {
		return running
	}
	left := found.old()
	if len(left) == 0 && earlier.object.Name == "" {
		return nil
	}
	if earlier.object.Name != "" {
		switch err := s.Store.Delete(ctx, earlier.object); {
		case errors.Is(err, artifacts.ErrNotFound):
			return running
		case err != nil:
			return fmt.Errorf("take an earlier purge over: %w", err)
		}
	}
	err = s.putClaim(ctx, claim{Since: s.Now(), Requests: left}, artifacts.PutOptions{DoesNotExist: true})
	if errors.Is(err, artifacts.ErrExists) {
		return running
	}
	if err != nil {
		return fmt.Errorf("claim what is purged: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err != nil {
			err = errors.Join(err, s.putClaim(end, claim{Requests: left}, artifacts.PutOptions{}))
		} else {
			err = s.Store.Delete(end, pipeline.Object{Bucket: s.Buckets.Artifacts, Name: artifacts.PurgeName})
		}
	}()
	for record, err := range s.archive().Others(ctx, found.known) {
		if err != nil {
			return err
		}
		if err := s.notes(ctx, found, record); err != nil {
			return err
		}
	}
	left = found.old()
	for len(left) > 0 {
		if err := visit(left[0]); err != nil {
			return err
		}
		left = left[1:]
	}
	return nil
}

var purged = refuse(http.StatusConflict, "no_input", "A purge deletes what this stage would start from.", "Submit the capture again.")

// stays refuses what names objects of requests that are being deleted or are gone.
func (s *Service) stays(ctx context.Context, objects []pipeline.Object) error {
	c, err := s.purging(ctx) // before the records, which go before the claim does
	if err != nil {
		return err
	}
	for _, id := range s.owners(objects) {
		if !slices.Contains(c.Requests, id) {
			_, err := s.Store.Stat(ctx, s.Buckets.Artifacts, artifacts.RequestName(id))
			if err == nil {
				continue
			}
			if !errors.Is(err, artifacts.ErrNotFound) {
				return fmt.Errorf("look for the record of %s: %w", id, err)
			}
		}
		return purged
	}
	return nil
}
