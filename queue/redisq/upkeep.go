package redisq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// reapBatch bounds what one script does, so that none holds up the others for more than some milliseconds.
const reapBatch = 500

// Reap implements queue.Upkeep. Deadlines and forgetting are filed by minutes: of the present minute no more than a batch
// is looked at.
func (q *Queue) Reap(ctx context.Context) (queue.Reaped, error) {
	var did queue.Reaped
	now := q.now()
	for {
		n, err := q.numbers(ctx, "reap_agenda", now, 3, reapBatch)
		if err != nil {
			return did, err
		}
		did.PastDeadline += n[0]
		did.Forgotten += n[1]
		if n[2] == 0 {
			break
		}
	}
	for _, stage := range pipeline.Stages() {
		if err := q.reapStage(ctx, stage, now, &did); err != nil {
			return did, err
		}
	}
	var err error
	if did.LostHandovers, err = q.lostHandovers(ctx, now); err != nil {
		return did, err
	}
	if did.Ended, err = q.endedSince(ctx, now); err != nil {
		return did, err
	}
	did.Unannounced, err = q.unannounced(ctx, now)
	return did, err
}

// endedSince is queue.Reaped.Ended.
func (q *Queue) endedSince(ctx context.Context, now time.Time) (map[pipeline.Status]int, error) {
	n, err := q.numbers(ctx, "reap_ends", now, 3)
	if err != nil {
		return nil, err
	}
	var ended map[pipeline.Status]int
	for i, status := range []pipeline.Status{pipeline.Completed, pipeline.Failed, pipeline.Canceled} {
		if n[i] > 0 {
			if ended == nil {
				ended = map[pipeline.Status]int{}
			}
			ended[status] = n[i]
		}
	}
	return ended, nil
}

// unannounced returns a batch at most; the next pass has more.
func (q *Queue) unannounced(ctx context.Context, now time.Time) ([]string, error) {
	return q.ids(ctx, "reap_ended", now, reapBatch)
}

// Next implements queue.Upkeep.
func (q *Queue) Next(ctx context.Context, stage pipeline.Stage, n int) ([]string, error) {
	letter, ok := stageLetters[stage]
	if !ok {
		return nil, fmt.Errorf("next: unknown stage %q", stage)
	}
	if n <= 0 {
		return nil, nil
	}
	return q.ids(ctx, "next", q.now(), letter, n)
}

// ids runs a script that answers with request ids.
func (q *Queue) ids(ctx context.Context, script string, now time.Time, args ...any) ([]string, error) {
	v, err := q.ask(ctx, script, now, args...)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, unexpected(script, v)
	}
	var ids []string
	for _, id := range list {
		ids = append(ids, fmt.Sprint(id))
	}
	return ids, nil
}

// Announced implements queue.Upkeep.
func (q *Queue) Announced(ctx context.Context, requestID string) error {
	_, err := q.number(ctx, "announced", q.now(), requestID)
	return err
}

// GiveBackAll implements queue.Upkeep.
func (q *Queue) GiveBackAll(ctx context.Context) (total int, err error) {
	for _, stage := range pipeline.Stages() {
		for {
			n, err := q.number(ctx, "giveback_all", q.now(), stageLetters[stage], reapBatch)
			if err != nil {
				return total, err
			}
			total += int(n)
			if n < reapBatch {
				break
			}
		}
	}
	return total, nil
}

func (q *Queue) reapStage(ctx context.Context, stage pipeline.Stage, now time.Time, did *queue.Reaped) error {
	for {
		n, err := q.numbers(ctx, "reap_stage", now, 5, stageLetters[stage], reapBatch)
		if err != nil {
			return err
		}
		did.ExpiredLeases += n[0]
		did.DelayedReady += n[1]
		did.DeadSlots += n[2]
		if n[4] > 0 {
			continue
		}
		if n[3] > 0 {
			if did.Wanting == nil {
				did.Wanting = map[pipeline.Stage]int{}
			}
			did.Wanting[stage] = n[3]
		}
		return nil
	}
}

// lostHandovers returns a batch at most: whoever redoes them finds the next ones with the next pass.
func (q *Queue) lostHandovers(ctx context.Context, now time.Time) ([]pipeline.Object, error) {
	v, err := q.call(ctx, "handovers", now, now.Add(-q.cfg.HandoverGrace).UnixMilli(), reapBatch)
	if err != nil {
		return nil, err
	}
	rows, ok := v.([]any)
	if !ok {
		return nil, unexpected("handovers", v)
	}
	var manifests []pipeline.Object
	for _, row := range rows {
		a, ok := row.([]any)
		if !ok || len(a) != 3 {
			return nil, unexpected("handovers", row)
		}
		var r reader
		manifests = append(manifests, r.object(fmt.Sprint(a[1]), fmt.Sprint(a[2]), fmt.Sprint(a[0])))
		if r.err != nil {
			return nil, fmt.Errorf("queue: manifest of %v: %w", a[0], r.err)
		}
	}
	return manifests, nil
}

// numbers runs a script that answers with n of them.
func (q *Queue) numbers(ctx context.Context, script string, now time.Time, n int, args ...any) ([]int, error) {
	v, err := q.ask(ctx, script, now, args...)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list) != n {
		return nil, unexpected(script, v)
	}
	numbers := make([]int, n)
	for i, v := range list {
		k, ok := v.(int64)
		if !ok {
			return nil, unexpected(script, list)
		}
		numbers[i] = int(k)
	}
	return numbers, nil
}

// Counts implements queue.Upkeep.
func (q *Queue) Counts(ctx context.Context) (map[pipeline.Stage]queue.StageCounts, error) {
	counts := map[pipeline.Stage]queue.StageCounts{}
	for _, stage := range pipeline.Stages() {
		n, err := q.numbers(ctx, "counts", q.now(), 5, stageLetters[stage])
		if err != nil {
			return nil, err
		}
		c := queue.StageCounts{Ready: n[0], Leased: n[1], Delayed: n[2], Slots: n[3]}
		if n[4] > 0 {
			c.OldestReady = time.UnixMilli(int64(n[4])).UTC()
		}
		counts[stage] = c
	}
	return counts, nil
}

// StatusCounts implements queue.Upkeep: what came into a status, less what left it.
func (q *Queue) StatusCounts(ctx context.Context) (map[pipeline.Status]int, error) {
	var changes map[string]string
	err := q.patiently(ctx, func(int) (err error) {
		changes, err = q.redis.HGetAll(ctx, "{q}counts").Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: status counts: %w", err)
	}
	counts := map[pipeline.Status]int{}
	for status := range statusLetters {
		counts[status] = 0
	}
	for change, text := range changes {
		n, err := strconv.Atoi(text)
		if err != nil || len(change) != 2 {
			return nil, fmt.Errorf("queue: status counts: %s is %q", change, text)
		}
		if from, ok := letterStatuses[change[:1]]; ok {
			counts[from] -= n
		}
		if to, ok := letterStatuses[change[1:]]; ok {
			counts[to] += n
		}
	}
	return counts, nil
}
