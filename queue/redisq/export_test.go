package redisq

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/queue"
)

// SetPause sets the first pause between two tries.
func (q *Queue) SetPause(d time.Duration) { q.pause = d }

// TasksPerCall are enqueued at once.
const TasksPerCall = tasksPerCall

// EnqueueCommand is what EnqueueAll sends, for redis-benchmark: the hash of the script and its arguments after the key.
func EnqueueCommand(q *Queue, now time.Time, tasks ...queue.Task) (hash string, args []string) {
	for _, a := range append([]any{0, now.UnixMilli()}, enqueueArgs(tasks...)...) {
		args = append(args, fmt.Sprint(a))
	}
	return q.scripts["enqueue"].Hash(), args
}

// SetPatience sets how long a call keeps trying.
func (q *Queue) SetPatience(d time.Duration) { q.patience = d }

// Migrate brings state to a version by the steps given.
func (q *Queue) Migrate(ctx context.Context, version int, steps map[int]func(context.Context, *redis.Client) error) error {
	m := map[int]migration{}
	for from, step := range steps {
		m[from] = step
	}
	return q.migrate(ctx, version, m)
}
