package memq

import (
	"context"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// slot is held by a worker or, while worker is empty, reserved for one that was launched.
type slot struct {
	worker    string
	expiresAt time.Time
}

func (s *stage) live(now time.Time) int {
	n := 0
	for _, slot := range s.slots {
		if now.Before(slot.expiresAt) {
			n++
		}
	}
	return n
}

// bury removes slots that fell silent and says how many.
func (s *stage) bury(now time.Time) int {
	before := len(s.slots)
	s.slots = slices.DeleteFunc(s.slots, func(s slot) bool { return !now.Before(s.expiresAt) })
	return before - len(s.slots)
}

func (s *stage) slotOf(worker string) int {
	return slices.IndexFunc(s.slots, func(s slot) bool { return s.worker == worker })
}

// Reserve implements queue.Slots.
func (q *Queue) Reserve(_ context.Context, name pipeline.Stage, limit int, startBudget time.Duration) (bool, error) {
	now := q.lock()
	defer q.mu.Unlock()
	s := q.stages[name]
	s.bury(now)
	if len(s.slots) >= limit {
		return false, nil
	}
	s.slots = append(s.slots, slot{expiresAt: now.Add(startBudget)})
	return true, nil
}

// Adopt implements queue.Slots.
func (q *Queue) Adopt(_ context.Context, name pipeline.Stage, worker string, limit int) (bool, error) {
	now := q.lock()
	defer q.mu.Unlock()
	s := q.stages[name]
	s.bury(now)
	i := s.slotOf(worker)
	if i < 0 {
		i = s.slotOf("")
	}
	if i < 0 && len(s.slots) >= limit {
		return false, nil
	}
	if i < 0 {
		s.slots = append(s.slots, slot{})
		i = len(s.slots) - 1
	}
	s.slots[i] = slot{worker: worker, expiresAt: now.Add(q.cfg.SlotFor)}
	return true, nil
}

// Keep implements queue.Slots.
func (q *Queue) Keep(_ context.Context, name pipeline.Stage, worker string) error {
	now := q.lock()
	defer q.mu.Unlock()
	s := q.stages[name]
	i := s.slotOf(worker)
	if i < 0 || !now.Before(s.slots[i].expiresAt) {
		return queue.ErrLeaseLost
	}
	s.slots[i].expiresAt = now.Add(q.cfg.SlotFor)
	return nil
}

// Release implements queue.Slots.
func (q *Queue) Release(_ context.Context, name pipeline.Stage, worker string) error {
	q.lock()
	defer q.mu.Unlock()
	s := q.stages[name]
	s.slots = slices.DeleteFunc(s.slots, func(s slot) bool { return s.worker == worker })
	return nil
}
