package memq

import (
	"context"
	"maps"

	"github.com/splatworks/splatworks/queue"
)

// Promise implements queue.Uploads.
func (q *Queue) Promise(_ context.Context, p queue.Promise) ([]int64, error) {
	q.lock()
	defer q.mu.Unlock()
	r := q.requests[p.RequestID]
	switch {
	case r == nil:
		return nil, queue.ErrNotFound
	case r.Status.Terminal():
		return nil, queue.ErrTerminal
	}
	promised := maps.Clone(r.promised)
	if promised == nil {
		promised = map[string]int64{}
	}
	for _, f := range p.Arrived {
		promised[f.Name] = f.Bytes
	}
	left, open := p.MaxBytes, int64(0)
	for _, f := range p.Files {
		if _, known := promised[f.Name]; known {
			continue
		}
		if f.Bytes == 0 {
			open++
		}
		promised[f.Name] = f.Bytes
	}
	for _, bytes := range promised {
		left -= bytes
	}
	if len(promised) > p.MaxFiles || left < open { // a byte for each
		return nil, queue.ErrTooMuch
	}
	granted := make([]int64, len(p.Files))
	for i, f := range p.Files {
		if promised[f.Name] == 0 && f.Bytes == 0 && open > 0 {
			promised[f.Name] = left / open
		}
		granted[i] = promised[f.Name]
	}
	r.promised = promised
	return granted, nil
}
