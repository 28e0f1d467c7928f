package laptop

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// takeUp prepares what an earlier run left for this one. This program holds the lock on the folder, so every worker that the
// queue knows of is gone.
func (b *Backend) takeUp(ctx context.Context, o Options) error {
	if err := b.restoreQueue(ctx, o); err != nil {
		return err
	}
	if n, err := b.parts.Queue.GiveBackAll(ctx); err != nil {
		return fmt.Errorf("give back the tasks of an earlier run: %w", err)
	} else if n > 0 {
		o.Log.Info("interrupted tasks go on, and have lost no attempt", "tasks", n)
	}
	// After that: a worker that is still ending has lost its task, and cannot blame the capture for what is missing here.
	if err := errors.Join(os.RemoveAll(workDir(o)), os.MkdirAll(workDir(o), 0o700)); err != nil {
		return fmt.Errorf("make work folder: %w", err)
	}
	return nil
}

// restoreQueue rebuilds a queue that knows nothing from what the buckets hold. They hold nothing at a first start.
func (b *Backend) restoreQueue(ctx context.Context, o Options) error {
	counts, err := b.parts.Queue.StatusCounts(ctx)
	if err != nil {
		return fmt.Errorf("look into the queue: %w", err)
	}
	for _, n := range counts {
		if n > 0 {
			return nil
		}
	}
	rebuilt, err := b.parts.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild the empty queue: %w", err)
	}
	if rebuilt.Records > 0 {
		o.Log.Warn("the queue was empty: rebuilt from the buckets", "requests", rebuilt.Requests, "tasks", rebuilt.Tasks)
	}
	return nil
}
