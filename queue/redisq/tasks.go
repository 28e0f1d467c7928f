package redisq

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Enqueue implements queue.Tasks.
func (q *Queue) Enqueue(ctx context.Context, t queue.Task) (added bool, err error) {
	if _, err := pipeline.ParseStage(string(t.Stage)); err != nil {
		return false, fmt.Errorf("enqueue: %w", err)
	}
	answer, err := q.call(ctx, "enqueue", q.now(), append(q.enqueueArgs(t), 1)...)
	switch {
	case err != nil:
		return false, err
	case answer == "added":
		return true, nil
	case answer == "known":
		return false, nil
	}
	return false, unexpected("enqueue", answer)
}

func (q *Queue) enqueueArgs(t queue.Task) []any {
	previous, _ := t.Stage.Previous()
	args := []any{t.RequestID, string(t.Stage), string(previous), fromHere(t.Stage), flag(q.cfg.FairShare)}
	return append(args, objectArgs(t.Input)...)
}

// fromHere are a stage and all after it.
func fromHere(s pipeline.Stage) string {
	all := pipeline.Stages()
	var names []string
	for _, stage := range all[slices.Index(all, s):] {
		names = append(names, string(stage))
	}
	return strings.Join(names, " ")
}

// Claim implements queue.Tasks.
func (q *Queue) Claim(ctx context.Context, stage pipeline.Stage, worker string, n int) ([]queue.Lease, error) {
	if _, err := pipeline.ParseStage(string(stage)); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if n <= 0 {
		return nil, nil
	}
	return q.claim(ctx, q.now(), stage, worker, n)
}

// claim leases tasks, after it has completed an earlier one if that is described.
func (q *Queue) claim(ctx context.Context, now time.Time, stage pipeline.Stage, worker string, n int, completion ...any) ([]queue.Lease, error) {
	expiresAt := now.Add(q.cfg.LeaseFor)
	// Should the answer be lost, the second try finds what the first one took by the end of the lease and this name.
	args := append([]any{string(stage), n, expiresAt.UnixMilli(), worker + " " + q.unique(), now.UnixMicro(), flag(q.cfg.FairShare)}, completion...)
	records, err := q.records(ctx, newLeaseRecord, "claim", now, args...)
	if err != nil {
		return nil, err
	}
	var leases []queue.Lease
	for _, r := range records {
		l := &lease{q: q, worker: worker, task: queue.Task{RequestID: r.text("id"), Stage: stage, Input: r.object("input")},
			request: r.request(), attempt: int(r.number("attempt")), exhausted: int(r.number("exhausted")), fence: r.number("fence"),
			failure: r.failure(), expiresAt: expiresAt}
		if r.err != nil {
			return leases, r.err
		}
		leases = append(leases, l)
	}
	return leases, nil
}
