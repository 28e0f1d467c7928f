package memq

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// slots of a stage: held by workers, or reserved for such that were launched; each until its end.
type slots struct {
	workers  map[string]time.Time
	reserved []time.Time // the earliest first
	earliest time.Time   // no slot ends before: there may be thousands, and few die
}

func (s *slots) count() int { return len(s.workers) + len(s.reserved) }

func (s *slots) live(now time.Time) int {
	n := 0
	for _, end := range s.workers {
		if now.Before(end) {
			n++
		}
	}
	for _, end := range s.reserved {
		if now.Before(end) {
			n++
		}
	}
	return n
}

// ends notes that there is a slot with this end.
func (s *slots) ends(at time.Time) {
	if s.count() == 0 || at.Before(s.earliest) {
		s.earliest = at
	}
}

func (s *slots) reserve(end time.Time) {
	s.ends(end)
	i, _ := slices.BinarySearchFunc(s.reserved, end, time.Time.Compare)
	s.reserved = slices.Insert(s.reserved, i, end)
}

func (s *slots) hold(worker string, end time.Time) {
	s.ends(end)
	s.workers[worker] = end
}

// bury removes slots that fell silent and says how many.
func (s *slots) bury(now time.Time) int {
	if now.Before(s.earliest) {
		return 0
	}
	before := s.count()
	dead := func(end time.Time) bool { return !now.Before(end) }
	maps.DeleteFunc(s.workers, func(_ string, end time.Time) bool { return dead(end) })
	s.reserved = slices.DeleteFunc(s.reserved, dead)
	gone := before - s.count()
	s.earliest = now.Add(time.Hour)
	for _, end := range s.workers {
		s.ends(end)
	}
	if len(s.reserved) > 0 {
		s.ends(s.reserved[0])
	}
	return gone
}

// Reserve implements queue.Slots.
func (q *Queue) Reserve(_ context.Context, name pipeline.Stage, limit int, startBudget time.Duration) (bool, error) {
	now := q.lock()
	defer q.mu.Unlock()
	s := &q.stages[name].slots
	s.bury(now)
	if s.count() >= limit {
		return false, nil
	}
	s.reserve(now.Add(startBudget))
	return true, nil
}

// Adopt implements queue.Slots.
func (q *Queue) Adopt(_ context.Context, name pipeline.Stage, worker string, limit int) (bool, error) {
	now := q.lock()
	defer q.mu.Unlock()
	s := &q.stages[name].slots
	s.bury(now)
	if _, has := s.workers[worker]; !has {
		switch {
		case len(s.reserved) > 0:
			s.reserved = s.reserved[1:]
		case s.count() >= limit:
			return false, nil
		}
	}
	s.hold(worker, now.Add(q.cfg.SlotFor))
	return true, nil
}

// Keep implements queue.Slots.
func (q *Queue) Keep(_ context.Context, name pipeline.Stage, worker string) error {
	now := q.lock()
	defer q.mu.Unlock()
	s := &q.stages[name].slots
	if end, has := s.workers[worker]; !has || !now.Before(end) {
		return queue.ErrLeaseLost
	}
	s.hold(worker, now.Add(q.cfg.SlotFor))
	return nil
}

// Release implements queue.Slots.
func (q *Queue) Release(_ context.Context, name pipeline.Stage, worker string) error {
	q.lock()
	defer q.mu.Unlock()
	delete(q.stages[name].slots.workers, worker)
	return nil
}
