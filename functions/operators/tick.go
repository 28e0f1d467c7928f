package operators

import (
	"context"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// logTick writes the line from which a deployment's alerts and dashboard are made (terraform/monitoring.tf). When the queue
// cannot be counted there is no line: the alert on silence speaks for it.
func (s *Service) logTick(ctx context.Context, reaped queue.Reaped) error {
	stages, err := s.Queue.Counts(ctx)
	if err != nil {
		return err
	}
	oldestS := 0.0
	for _, c := range stages {
		if !c.OldestReady.IsZero() {
			oldestS = max(oldestS, s.Now().Sub(c.OldestReady).Seconds())
		}
	}
	ended := reaped.Ended
	if ended == nil {
		ended = map[pipeline.Status]int{} // none, not null
	}
	s.Log.InfoContext(ctx, "tick", "expired_leases", reaped.ExpiredLeases, "oldest_ready_s", oldestS, "ended", ended)
	return nil
}
