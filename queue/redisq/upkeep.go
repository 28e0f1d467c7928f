package redisq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	if err := q.reapAgenda(ctx, now, &did); err != nil {
		return did, err
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
	if did.Ended, err = q.finishedSince(ctx, now); err != nil {
		return did, err
	}
	// A batch at most; the next pass has more.
	did.Unannounced, err = list[string](ctx, q, "unannounced", now, reapBatch)
	return did, err
}

func (q *Queue) reapAgenda(ctx context.Context, now time.Time, did *queue.Reaped) error {
	late := queue.PastDeadline("")
	failure, err := line(late)
	if err != nil {
		return err
	}
	for {
		n, err := q.numbers(ctx, "reap_agenda", now, 3, reapBatch, failure, late.Code)
		if err != nil {
			return err
		}
		did.PastDeadline += int(n[0])
		did.Forgotten += int(n[1])
		if more := n[2]; more == 0 {
			return nil
		}
	}
}

func (q *Queue) reapStage(ctx context.Context, stage pipeline.Stage, now time.Time, did *queue.Reaped) error {
	lost := queue.WorkerLost(stage)
	failure, err := line(lost)
	if err != nil {
		return err
	}
	for {
		n, err := q.numbers(ctx, "reap_stage", now, 5, string(stage), reapBatch, q.cfg.LeaseFor.Milliseconds(), q.cfg.MaxAttempts, failure, lost.Code)
		if err != nil {
			return err
		}
		did.ExpiredLeases += int(n[0])
		did.DelayedReady += int(n[1])
		did.DeadSlots += int(n[2])
		if more := n[4]; more > 0 {
			continue
		}
		if wanting := int(n[3]); wanting > 0 {
			if did.Wanting == nil {
				did.Wanting = map[pipeline.Stage]int{}
			}
			did.Wanting[stage] = wanting
		}
		return nil
	}
}

// lostHandovers returns a batch at most: a caller that redoes them finds the next ones with the next pass.
func (q *Queue) lostHandovers(ctx context.Context, now time.Time) ([]pipeline.Object, error) {
	records, err := q.records(ctx, newRecord, "handovers", now, now.Add(-q.cfg.HandoverGrace).UnixMilli(), reapBatch)
	if err != nil {
		return nil, err
	}
	var manifests []pipeline.Object
	for _, r := range records {
		manifests = append(manifests, r.object("manifest"))
		if r.err != nil {
			return nil, r.err
		}
	}
	return manifests, nil
}

// finishedSince is queue.Reaped.Ended.
func (q *Queue) finishedSince(ctx context.Context, now time.Time) (map[pipeline.Status]int, error) {
	n, err := q.numbers(ctx, "finished_since", now, 3)
	if err != nil {
		return nil, err
	}
	var finished map[pipeline.Status]int
	for i, status := range []pipeline.Status{pipeline.Completed, pipeline.Failed, pipeline.Canceled} {
		if n[i] > 0 {
			if finished == nil {
				finished = map[pipeline.Status]int{}
			}
			finished[status] = int(n[i])
		}
	}
	return finished, nil
}

// Lost implements queue.Upkeep. It looks at every lease of the stage.
func (q *Queue) Lost(ctx context.Context, stage pipeline.Stage, worker string, f *pipeline.Failure) (ended []string, err error) {
	records, err := q.records(ctx, newLeaseRecord, "leases", q.now(), string(stage), worker+" ")
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		l := &lease{q: q, worker: worker, task: queue.Task{RequestID: r.text("id"), Stage: stage},
			attempt: int(r.number("attempt")), exhausted: int(r.number("exhausted")), fence: r.number("fence"), gone: true}
		if r.err != nil {
			return ended, r.err
		}
		retry, err := l.Fail(ctx, f)
		switch {
		case errors.Is(err, queue.ErrLeaseLost), errors.Is(err, queue.ErrCanceled): // meanwhile
		case err != nil:
			return ended, err
		case !retry:
			ended = append(ended, l.task.RequestID)
		}
	}
	return ended, q.Release(ctx, stage, worker)
}

// GiveBackAll implements queue.Upkeep.
func (q *Queue) GiveBackAll(ctx context.Context) (total int, err error) {
	for _, stage := range pipeline.Stages() {
		for {
			n, err := q.number(ctx, "give_back_all", q.now(), string(stage), reapBatch)
			if err != nil {
				return total, err
			}
			total += n
			if n < reapBatch {
				break
			}
		}
	}
	return total, nil
}

// Announced implements queue.Upkeep.
func (q *Queue) Announced(ctx context.Context, requestID string) error {
	_, err := q.number(ctx, "announced", q.now(), requestID)
	return err
}

// Forget implements queue.Upkeep.
func (q *Queue) Forget(ctx context.Context, requestID string) error {
	return q.do(ctx, "forget", q.now(), requestID)
}

// Next implements queue.Overview.
func (q *Queue) Next(ctx context.Context, stage pipeline.Stage, n int) ([]string, error) {
	if _, err := pipeline.ParseStage(string(stage)); err != nil {
		return nil, fmt.Errorf("next: %w", err)
	}
	if n <= 0 {
		return nil, nil
	}
	return list[string](ctx, q, "next", q.now(), string(stage), n)
}

// Counts implements queue.Overview.
func (q *Queue) Counts(ctx context.Context) (map[pipeline.Stage]queue.StageCounts, error) {
	counts := map[pipeline.Stage]queue.StageCounts{}
	for _, stage := range pipeline.Stages() {
		n, err := q.numbers(ctx, "counts", q.now(), 5, string(stage))
		if err != nil {
			return nil, err
		}
		counts[stage] = queue.StageCounts{Ready: int(n[0]), Leased: int(n[1]), Delayed: int(n[2]), Slots: int(n[3]),
			OldestReady: atMillis(n[4])}
	}
	return counts, nil
}

// StatusCounts implements queue.Overview: what came into a status, less what left it.
func (q *Queue) StatusCounts(ctx context.Context) (map[pipeline.Status]int, error) {
	var changes map[string]string
	err := q.patiently(ctx, func(int) (err error) {
		changes, err = q.redis.HGetAll(ctx, countsKey).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: status counts: %w", err)
	}
	counts := map[pipeline.Status]int{pipeline.Queued: 0, pipeline.Processing: 0, pipeline.Completed: 0, pipeline.Failed: 0, pipeline.Canceled: 0}
	for change, text := range changes {
		from, to, ok := strings.Cut(change, ">")
		n, err := strconv.Atoi(text)
		if err != nil || !ok {
			return nil, fmt.Errorf("queue: status counts: %s is %q", change, text)
		}
		counts[pipeline.Status(from)] -= n
		counts[pipeline.Status(to)] += n
	}
	delete(counts, "") // unknown before, or forgotten
	return counts, nil
}

// Repeats implements queue.Overview.
func (q *Queue) Repeats(ctx context.Context) (map[pipeline.Stage]int, error) {
	var counted map[string]string
	err := q.patiently(ctx, func(int) (err error) {
		counted, err = q.redis.HGetAll(ctx, repeatsKey).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("queue: repeats: %w", err)
	}
	repeats := map[pipeline.Stage]int{}
	for _, stage := range pipeline.Stages() {
		if text, some := counted[string(stage)]; some {
			if repeats[stage], err = strconv.Atoi(text); err != nil {
				return nil, fmt.Errorf("queue: repeats: %s is %q", stage, text)
			}
		} else {
			repeats[stage] = 0
		}
	}
	return repeats, nil
}
