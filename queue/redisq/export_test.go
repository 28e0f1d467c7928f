package redisq

import (
	"fmt"
	"time"

	"github.com/splatworks/splatworks/queue"
)

// EnqueueCommand is what Enqueue sends, for redis-benchmark: the hash of the script and its arguments after the key.
func EnqueueCommand(q *Queue, t queue.Task, now time.Time) (hash string, args []string, err error) {
	rest, err := enqueueArgs(t)
	if err != nil {
		return "", nil, err
	}
	for _, a := range append([]any{0, now.UnixMilli()}, rest...) {
		args = append(args, fmt.Sprint(a))
	}
	return q.scripts["enqueue"].Hash(), args, nil
}
