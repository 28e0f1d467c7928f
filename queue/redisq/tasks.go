package redisq

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// Enqueue implements queue.Tasks.
func (q *Queue) Enqueue(ctx context.Context, t queue.Task) (added bool, err error) {
	if err := knownStage(t); err != nil {
		return false, err
	}
	v, err := q.call(ctx, "enqueue", q.now(), enqueueArgs(t)...)
	if err != nil {
		return false, err
	}
	one := enqueued(v, 1)[0]
	return one.Added, one.Err
}

// Enqueued is what Enqueue returns.
type Enqueued struct {
	Added bool
	Err   error
}

// tasksPerCall are enqueued by one call of the script: what a call costs by itself is a third of what a task does.
const tasksPerCall = 16

// EnqueueAll is Enqueue for many tasks in few round trips; one answer for each.
func (q *Queue) EnqueueAll(ctx context.Context, tasks []queue.Task) ([]Enqueued, error) {
	for _, t := range tasks {
		if err := knownStage(t); err != nil {
			return nil, err
		}
	}
	var groups [][]queue.Task
	for group := range slices.Chunk(tasks, tasksPerCall) {
		groups = append(groups, group)
	}
	answers, err := q.calls(ctx, "enqueue", q.now(), len(groups), tasksPerCall, func(i int) []any { return enqueueArgs(groups[i]...) })
	if err != nil {
		return nil, err
	}
	results := make([]Enqueued, 0, len(tasks))
	for i, v := range answers {
		results = append(results, enqueued(v, len(groups[i]))...)
	}
	return results, nil
}

func knownStage(t queue.Task) error {
	if _, ok := stageLetters[t.Stage]; !ok {
		return fmt.Errorf("enqueue: unknown stage %q", t.Stage)
	}
	return nil
}

func enqueueArgs(tasks ...queue.Task) []any {
	args := make([]any, 0, 5*len(tasks))
	for _, t := range tasks {
		previous, _ := t.Stage.Previous()
		input := objectFields(t.RequestID, t.Input)
		args = append(args, t.RequestID, stageLetters[t.Stage], stageLetters[previous], input[0], input[1])
	}
	return args
}

// enqueued reads the answer for n tasks.
func enqueued(answer any, n int) []Enqueued {
	results := make([]Enqueued, n)
	letters, _ := answer.(string)
	for i := range results {
		if len(letters) != n {
			results[i].Err = unexpected("enqueue", answer)
			if err, ok := answer.(error); ok {
				results[i].Err = err
			}
			continue
		}
		switch letters[i] {
		case 'a':
			results[i].Added = true
		case 'k':
		case 'n':
			results[i].Err = queue.ErrNotFound
		case 'e':
			results[i].Err = queue.ErrTerminal
		default:
			results[i].Err = unexpected("enqueue", answer)
		}
	}
	return results
}

// Claim implements queue.Tasks.
func (q *Queue) Claim(ctx context.Context, stage pipeline.Stage, worker string, n int) ([]queue.Lease, error) {
	if _, ok := stageLetters[stage]; !ok {
		return nil, fmt.Errorf("claim: unknown stage %q", stage)
	}
	if n <= 0 {
		return nil, nil
	}
	return q.claim(ctx, q.now(), stage, worker, n)
}

// claim leases tasks, after it has completed an earlier one if that is described.
func (q *Queue) claim(ctx context.Context, now time.Time, stage pipeline.Stage, worker string, n int, complete ...any) ([]queue.Lease, error) {
	expiresAt := now.Add(q.cfg.LeaseFor)
	// Should the answer be lost, the second try finds what the first one took by the end of the lease and this name.
	args := append([]any{stageLetters[stage], n, expiresAt.UnixMilli(), worker + " " + q.unique(), now.UnixMicro()}, complete...)
	v, err := q.call(ctx, "claim", now, args...)
	if err != nil {
		return nil, err
	}
	tasks, ok := v.(string)
	if !ok {
		return nil, answered("claim", v)
	}
	var leases []queue.Lease
	for tasks != "" {
		l := &lease{q: q, worker: worker, expiresAt: expiresAt}
		if tasks, err = l.read(tasks, stage); err != nil {
			return leases, err
		}
		leases = append(leases, l)
	}
	return leases, nil
}

// read reads the first task of what claim answered, and returns the rest.
func (l *lease) read(answer string, stage pipeline.Stage) (rest string, err error) {
	var r reader
	next := func(n uint32) string {
		if uint64(n) > uint64(len(answer)) {
			r.err = io.ErrUnexpectedEOF
			n = uint32(len(answer))
		}
		s := answer[:n]
		answer = answer[n:]
		return s
	}
	number := func() uint32 {
		b := next(4)
		if len(b) < 4 {
			return 0
		}
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	text := func() string { return next(number()) }

	l.attempt = int(number())
	id, fence, exhausted, failure, whole, where, sums := text(), text(), text(), text(), text(), text(), text()
	l.fence, l.exhausted, l.failure = r.integer(fence), int(r.integer(exhausted)), r.failure(failure, stage)
	l.request = r.request(id, whole)
	l.task = queue.Task{RequestID: id, Stage: stage, Input: r.object(where, sums, id)}
	if r.err != nil {
		return "", fmt.Errorf("queue: task of %s: %w", id, r.err)
	}
	return answer, nil
}
