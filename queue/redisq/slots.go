package redisq

import (
	"context"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Reserve implements queue.Slots.
func (q *Queue) Reserve(ctx context.Context, stage pipeline.Stage, limit int, startBudget time.Duration) (bool, error) {
	now := q.now()
	n, err := q.number(ctx, "reserve", now, string(stage), limit, now.Add(startBudget).UnixMilli(), q.unique())
	return n == 1, err
}

// Adopt implements queue.Slots.
func (q *Queue) Adopt(ctx context.Context, stage pipeline.Stage, worker string, limit int) (bool, error) {
	now := q.now()
	n, err := q.number(ctx, "adopt", now, string(stage), limit, now.Add(q.cfg.SlotFor).UnixMilli(), worker)
	return n == 1, err
}

// Keep implements queue.Slots.
func (q *Queue) Keep(ctx context.Context, stage pipeline.Stage, worker string) error {
	now := q.now()
	n, err := q.number(ctx, "keep", now, string(stage), now.Add(q.cfg.SlotFor).UnixMilli(), worker)
	if err == nil && n == 0 {
		err = queue.ErrLeaseLost
	}
	return err
}

// Release implements queue.Slots.
func (q *Queue) Release(ctx context.Context, stage pipeline.Stage, worker string) error {
	_, err := q.number(ctx, "release", q.now(), string(stage), worker)
	return err
}
