package redisq

import (
	"context"

	"github.com/splatworks/splatworks/queue"
)

// Promise implements queue.Uploads.
func (q *Queue) Promise(ctx context.Context, p queue.Promise) ([]int64, error) {
	args := []any{p.RequestID, p.MaxFiles, p.MaxBytes, len(p.Arrived)}
	for _, list := range [][]queue.File{p.Arrived, p.Files} {
		for _, f := range list {
			args = append(args, f.Name, f.Bytes)
		}
	}
	v, err := q.call(ctx, "promise", q.now(), args...)
	if err != nil {
		return nil, err
	}
	switch v {
	case int64(-1):
		return nil, queue.ErrNotFound
	case int64(-2):
		return nil, queue.ErrTerminal
	case int64(-3):
		return nil, queue.ErrTooMuch
	}
	list, ok := v.([]any)
	if !ok || len(list) != len(p.Files) {
		return nil, unexpected("promise", v)
	}
	granted := make([]int64, len(list))
	for i, n := range list {
		if granted[i], ok = n.(int64); !ok {
			return nil, unexpected("promise", v)
		}
	}
	return granted, nil
}
