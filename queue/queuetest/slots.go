package queuetest

import (
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var slotTests = []test{
	{"no more than there are", func(b *bench) {
		b.reserve(2, true)
		b.reserve(2, true)
		b.reserve(2, false)
		b.adopt("a", 2, true)
		b.adopt("b", 2, true)
		b.adopt("c", 2, false)
		b.reserve(2, false)
		b.must(b.q.Release(b.ctx(), pipeline.Train, "a"))
		b.must(b.q.Release(b.ctx(), pipeline.Train, "a"))
		b.must(b.q.Release(b.ctx(), pipeline.Train, "nobody"))
		b.adopt("c", 2, true)
		b.slots(2)
		b.reserve(3, true)
	}},
	{"a worker without a reservation takes a free slot", func(b *bench) {
		b.adopt("a", 1, true)
		b.adopt("a", 1, true) // again: the same slot
		b.slots(1)
		b.adopt("b", 1, false)
	}},
	{"a reservation nobody adopts is freed", func(b *bench) {
		b.reserve(1, true)
		b.clock.Advance(b.cfg.SlotFor) // a start may take longer than a slot lasts
		b.reserve(1, false)
		b.clock.Advance(startBudget - b.cfg.SlotFor - time.Millisecond)
		b.reserve(1, false)
		b.clock.Advance(time.Millisecond)
		check(b, "dead slots", b.reap().DeadSlots, nil, 1)
		b.reserve(1, true)
	}},
	{"a slot is kept, or lost", func(b *bench) {
		b.adopt("a", 1, true)
		for range 3 {
			b.clock.Advance(b.cfg.SlotFor - time.Millisecond)
			b.must(b.q.Keep(b.ctx(), pipeline.Train, "a"))
		}
		b.clock.Advance(b.cfg.SlotFor)
		b.slots(0)
		b.is("Keep", b.q.Keep(b.ctx(), pipeline.Train, "a"), queue.ErrLeaseLost)
		b.adopt("b", 1, true)
		b.is("Keep", b.q.Keep(b.ctx(), pipeline.Train, "a"), queue.ErrLeaseLost)
		b.adopt("a", 1, false)
	}},
	{"stages have slots of their own", func(b *bench) {
		b.adopt("a", 1, true)
		ok, err := b.q.Adopt(b.ctx(), pipeline.Depth, "a", 1)
		check(b, "adopt", ok, err, true)
	}},
}

const startBudget = 5 * time.Minute

func (b *bench) reserve(limit int, want bool) {
	b.Helper()
	ok, err := b.q.Reserve(b.ctx(), pipeline.Train, limit, startBudget)
	check(b, "reserve", ok, err, want)
}

func (b *bench) adopt(worker string, limit int, want bool) {
	b.Helper()
	ok, err := b.q.Adopt(b.ctx(), pipeline.Train, worker, limit)
	check(b, "adopt by "+worker, ok, err, want)
}

func (b *bench) slots(want int) {
	b.Helper()
	counts, err := b.q.Counts(b.ctx())
	check(b, "slots", counts[pipeline.Train].Slots, err, want)
}
