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
		return fmt.Errorf("release the tasks of an earlier run: %w", err)
	} else if n > 0 {
		o.Log.Info("interrupted tasks continue, and have lost no attempt", "tasks", n)
	}
	// After that: a worker that is still ending has lost its task, and cannot blame the capture for what is missing here.
	if err := errors.Join(os.RemoveAll(workDir(o)), os.MkdirAll(workDir(o), 0o700)); err != nil {
		return fmt.Errorf("make work folder: %w", err)
	}
	return nil
}

// restoreQueue rebuilds a queue that may have lost what it knew from what the buckets hold, before any answer says that a request
// is unknown. They hold nothing at a first start.
func (b *Backend) restoreQueue(ctx context.Context, o Options) error {
	if whole, err := b.parts.Queue.Whole(ctx); err != nil || whole {
		return err
	}
	rebuilt, err := b.parts.Rebuild(ctx)
	if err != nil {
		return fmt.Errorf("rebuild the queue: %w", err)
	}
	if rebuilt.Records > 0 {
		o.Log.Warn("the queue had lost what it knew: rebuilt from the buckets", "requests", rebuilt.Requests, "tasks", rebuilt.Tasks)
	}
	return nil
}
