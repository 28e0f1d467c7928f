package operators

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// abandoned are the requests of a caller that have the address of a webhook or a mail and no record: their submission died before it wrote
// one. Those that the queue does not know either are nobody's, and go, too. recorded are those with a record, as a list says that was begun at
// listed: a submission takes less than settledAfter, so one that is older than that and is not in the list has no record.
func (s *Service) abandoned(ctx context.Context, ask purgeAsked, recorded map[string]bool, listed time.Time) (ids []string, err error) {
	if ask.Caller == "" {
		return nil, nil
	}
	for o, err := range s.Store.List(ctx, s.Buckets.Artifacts, artifacts.WebhooksPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		id, ok := artifacts.WebhookOf(o.Name)
		if !ok || recorded[id] || pipeline.RequestTime(id).After(listed.Add(-settledAfter)) {
			continue
		}
		recorded[id] = true // once
		state, err := s.Queue.Lookup(ctx, id)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return nil, err
		}
		if err == nil && state.Caller != ask.Caller {
			continue
		}
		if err == nil && !state.Status.Terminal() && !ask.DryRun {
			if err := s.Queue.Cancel(ctx, id); err != nil && !errors.Is(err, queue.ErrTerminal) { // nobody waits for its end
				return nil, err
			}
		}
		ids = append(ids, id)
	}
	return ids, nil
}
