package queuetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var reaperTests = []test{
	{"nothing to do", func(b *bench) {
		b.submit()
		b.ready()
		b.claim(pipeline.Filter)
		r := b.reap()
		if r.ExpiredLeases+r.DelayedReady+r.DeadSlots+r.PastDeadline+r.Forgotten+len(r.LostHandovers)+len(r.Unannounced)+len(r.Wanting) != 0 {
			b.Fatalf("reaped %+v", r)
		}
	}},
	{"an expired lease is ready again until its attempts are used up", func(b *bench) {
		r := b.ready()
		b.ready()
		for attempt := 1; attempt <= b.cfg.MaxAttempts; attempt++ {
			l := b.claim(pipeline.Filter)
			check(b, "task", l.Task().RequestID, nil, r.ID) // at its old place
			check(b, "attempt", l.Attempt(), nil, attempt)
			b.clock.Advance(b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 1)
			check(b, "expired", b.reap().ExpiredLeases, nil, 0)
		}
		s := b.state(r.ID)
		if s.Status != pipeline.Failed || s.Failure == nil || *s.Failure != *queue.WorkerLost(pipeline.Filter) || s.Attempt != b.cfg.MaxAttempts {
			b.Fatalf("state %+v", s)
		}
	}},
	{"the tasks of a worker that is known to be gone fail with what is known", func(b *bench) {
		r, other := b.ready(), b.ready()
		gone := &pipeline.Failure{Kind: pipeline.Transient, Code: "worker_lost", Stage: pipeline.Filter, Message: "Killed.", Advice: "Try it smaller."}
		claim := func(worker string, want pipeline.Request) queue.Lease {
			leases, err := b.q.Claim(b.ctx(), pipeline.Filter, worker, 1)
			check(b, "claimed", len(leases), err, 1)
			check(b, "task", leases[0].Task().RequestID, nil, want.ID)
			return leases[0]
		}
		kept := claim("gone-not", r)
		for attempt := 1; attempt <= b.cfg.MaxAttempts; attempt++ {
			l := claim("gone", other)
			check(b, "attempt", l.Attempt(), nil, attempt)
			adopted, err := b.q.Adopt(b.ctx(), pipeline.Filter, "gone", 1)
			check(b, "adopted the only slot", adopted, err, true)
			ended, err := b.q.Lost(b.ctx(), pipeline.Filter, "gone", gone)
			b.must(err)
			b.lost(l, queue.ErrLeaseLost)
			s, last := b.state(other.ID), attempt == b.cfg.MaxAttempts
			if s.Failure == nil || *s.Failure != *gone || (s.Status == pipeline.Failed) != last || slices.Contains(ended, other.ID) != last || slices.Contains(ended, r.ID) {
				b.Fatalf("attempt %d: ended %v, state %+v", attempt, ended, s)
			}
			b.clock.Advance(b.cfg.BackoffMax)
		}
		b.must(kept.Heartbeat(b.ctx(), pipeline.Progress{}))
		ended, err := b.q.Lost(b.ctx(), pipeline.Filter, "nobody", gone)
		check(b, "ended of a worker without tasks", len(ended), err, 0)
	}},
	{"a worker that is known to be gone has lost its lease, and still after a cancel", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		_, err := b.q.Lost(b.ctx(), pipeline.Filter, "worker", &pipeline.Failure{Kind: pipeline.Transient, Code: "worker_lost"})
		b.must(err)
		b.must(b.q.Cancel(b.ctx(), r.ID))
		b.lost(l, queue.ErrLeaseLost)
	}},
	{"a worker that stood still with the reaper keeps its task", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		for range b.cfg.MaxAttempts + 2 {
			b.reap()
			b.clock.Advance(3 * b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 0)
			b.clock.Advance(b.cfg.LeaseFor - time.Millisecond)
			check(b, "expired", b.reap().ExpiredLeases, nil, 0)
			b.must(l.Heartbeat(b.ctx(), pipeline.Progress{}))
		}
		check(b, "attempt", b.state(r.ID).Attempt, nil, 1)
		b.must(l.Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
	}},
	{"a worker that stays silent after that is lost, even if the reaper always comes late", func(b *bench) {
		b.ready()
		b.ready()
		b.reap()
		first, second := b.claim(pipeline.Filter), b.claim(pipeline.Filter)
		b.clock.Advance(3 * b.cfg.LeaseFor)
		check(b, "expired", b.reap().ExpiredLeases, nil, 0)
		b.must(second.Heartbeat(b.ctx(), pipeline.Progress{}))
		b.clock.Advance(3 * b.cfg.LeaseFor)
		check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		b.lost(first, queue.ErrLeaseLost)
		b.must(second.Heartbeat(b.ctx(), pipeline.Progress{}))
	}},
	{"a new claim may stand still again", func(b *bench) {
		b.ready()
		b.reap()
		for range 2 {
			l := b.claim(pipeline.Filter)
			b.clock.Advance(2 * b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 0)
			b.clock.Advance(b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 1)
			b.lost(l, queue.ErrLeaseLost)
		}
	}},
	{"saved work renews the attempts", func(b *bench) {
		r := b.ready()
		for range 3 * b.cfg.MaxAttempts {
			l := b.claim(pipeline.Filter)
			b.must(l.Saved(b.ctx()))
			check(b, "attempt", l.Attempt(), nil, 1)
			check(b, "attempt", b.state(r.ID).Attempt, nil, 1)
			b.clock.Advance(b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		}
		for attempt := 2; attempt <= b.cfg.MaxAttempts; attempt++ { // and then it gets no further
			check(b, "attempt", b.claim(pipeline.Filter).Attempt(), nil, attempt)
			b.clock.Advance(b.cfg.LeaseFor)
			check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		}
		check(b, "status", b.state(r.ID).Status, nil, pipeline.Failed)
	}},
	{"saved work renews the attempts of a failure, too, until the deadline", func(b *bench) {
		at := b.clock.Now().Add(time.Hour)
		r := b.ready(deadline(at))
		for b.clock.Now().Before(at) {
			l := b.claim(pipeline.Filter)
			b.must(l.Saved(b.ctx()))
			retry, err := l.Fail(b.ctx(), transient)
			check(b, "retry", retry, err, true)
			b.clock.Advance(b.cfg.BackoffMax)
			b.reap()
		}
		check(b, "code", b.state(r.ID).Failure.Code, nil, "deadline_exceeded")
	}},
	{"saved work does not hide that resources ran out before", func(b *bench) {
		r := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), exhausted)
		b.must(err)
		b.clock.Advance(b.cfg.BackoffMax)
		l := b.claim(pipeline.Filter)
		b.must(l.Saved(b.ctx()))
		b.must(l.GiveBack(b.ctx()))
		l = b.claim(pipeline.Filter)
		check(b, "attempt", l.Attempt(), nil, 1)
		check(b, "failure", l.LastFailure() != nil && l.LastFailure().Kind == pipeline.ExhaustedResources, nil, true)
		retry, err := l.Fail(b.ctx(), exhausted)
		check(b, "retry", retry, err, false)
		check(b, "status", b.state(r.ID).Status, nil, pipeline.Failed)
	}},
	{"everything is released when no worker is left", func(b *bench) {
		first, second, third := b.ready(), b.ready(), b.ready()
		waits := b.submit()
		old := []queue.Lease{b.claim(pipeline.Filter), b.claim(pipeline.Filter)}
		b.adopt("a", 2, true)
		b.reserve(2, true)
		b.clock.Advance(b.cfg.LeaseFor) // nobody reaped it: the reaper was gone as well
		fresh := b.claim(pipeline.Filter)
		n, err := b.q.GiveBackAll(b.ctx())
		check(b, "released", n, err, 3)
		for _, l := range append(old, fresh) {
			b.lost(l, queue.ErrLeaseLost)
		}
		b.slots(0)
		n, err = b.q.GiveBackAll(b.ctx())
		check(b, "released again", n, err, 0)
		r := b.reap()
		check(b, "expired", r.ExpiredLeases, nil, 0)
		check(b, "wanting", r.Wanting[pipeline.Filter], nil, 3)
		for i, want := range []pipeline.Request{first, second, third} {
			check(b, "attempts", b.state(want.ID).Attempt, nil, 0)
			l := b.claim(pipeline.Filter)
			check(b, "at its old place", l.Task().RequestID, nil, want.ID)
			check(b, "attempt", l.Attempt(), nil, 1)
			if before := append(old, fresh)[i]; l.Fence() <= before.Fence() {
				b.Fatalf("fence %d after %d", l.Fence(), before.Fence())
			}
		}
		check(b, "status", b.state(waits.ID).Status, nil, pipeline.Queued)
	}},
	{"deadlines", func(b *bench) {
		at := b.clock.Now().Add(90 * time.Second)
		waiting, ready, leased := b.submit(deadline(at)), b.ready(deadline(at)), b.ready(deadline(at), priority(1))
		delayed := b.ready(deadline(at), priority(2))
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), &pipeline.Failure{Kind: pipeline.Internal})
		b.must(err)
		done, later, never := b.submit(deadline(at), priority(9)), b.submit(deadline(at.Add(time.Millisecond))), b.submit()
		b.complete(done)
		l := b.claim(pipeline.Filter)
		b.clock.Advance(45 * time.Second)
		b.must(l.Heartbeat(b.ctx(), pipeline.Progress{}))
		b.clock.Advance(45*time.Second - time.Millisecond)
		check(b, "past deadline", b.reap().PastDeadline, nil, 0)
		b.clock.Advance(time.Millisecond)
		check(b, "past deadline", b.reap().PastDeadline, nil, 4)
		for _, r := range []pipeline.Request{waiting, ready, leased, delayed} {
			s := b.state(r.ID)
			if s.Status != pipeline.Failed || s.Failure == nil || *s.Failure != *queue.PastDeadline(s.Stage) || !s.FinishedAt.Equal(at) {
				b.Fatalf("state %+v", s)
			}
		}
		check(b, "completed", b.state(done.ID).Status, nil, pipeline.Completed)
		check(b, "later", b.state(later.ID).Status, nil, pipeline.Queued)
		check(b, "never", b.state(never.ID).Status, nil, pipeline.Queued)
		b.lost(l, queue.ErrLeaseLost)
		b.none(pipeline.Filter)
		b.clock.Advance(time.Millisecond)
		check(b, "past deadline", b.reap().PastDeadline, nil, 1)
	}},
	{"a completed stage whose next task never comes is reported", func(b *bench) {
		r := b.ready()
		b.must(b.claim(pipeline.Filter).Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.clock.Advance(b.cfg.HandoverGrace - time.Millisecond)
		check(b, "too early", len(b.reap().LostHandovers), nil, 0)
		b.clock.Advance(time.Millisecond)
		for range 2 { // until it is redone
			lost := b.reap().LostHandovers
			if !slices.Equal(lost, []pipeline.Object{Manifest(r.ID, pipeline.Filter)}) {
				b.Fatalf("lost handovers %v", lost)
			}
		}
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		check(b, "redone", len(b.reap().LostHandovers), nil, 0)
		done := b.submit(priority(5))
		b.complete(done)
		b.clock.Advance(time.Hour)
		check(b, "ended requests", len(b.reap().LostHandovers), nil, 0)
	}},
	{"an end that nobody announced is reported until somebody does", func(b *bench) {
		late := b.submit(deadline(b.clock.Now().Add(time.Second)))
		completed, failed, canceled, announced := b.submit(priority(9)), b.ready(), b.ready(), b.ready()
		b.complete(completed)
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), pipeline.Invalid("dark", "Too dark.", "Light it."))
		b.must(err)
		b.must(b.q.Cancel(b.ctx(), announced.ID))
		b.must(b.q.Announced(b.ctx(), announced.ID))
		b.clock.Advance(time.Second)
		b.must(b.q.Cancel(b.ctx(), canceled.ID))
		unannounced := func(want ...string) {
			b.Helper()
			if got := b.reap().Unannounced; !slices.Equal(got, want) {
				b.Fatalf("unannounced: got %v, want %v", got, want)
			}
		}
		unannounced(late.ID) // the reaper itself ended it; the programs that ended the others may be at it
		unannounced()        // as may the program that ended this one
		b.clock.Advance(b.cfg.AnnounceGrace - time.Second)
		both := []string{completed.ID, failed.ID}
		slices.Sort(both)
		unannounced(both...)
		b.must(b.q.Announced(b.ctx(), failed.ID))
		b.must(b.q.Announced(b.ctx(), "nobody"))
		b.clock.Advance(time.Second)
		unannounced(late.ID, canceled.ID)
		b.must(b.q.Announced(b.ctx(), late.ID))
		b.clock.Advance(b.cfg.AnnounceGrace)
		unannounced(completed.ID, canceled.ID)
		b.clock.Advance(b.cfg.Keep)
		check(b, "forgotten", b.reap().Forgotten, nil, 5)
		b.clock.Advance(b.cfg.AnnounceGrace)
		unannounced()
	}},
	{"a stage with work and no worker is reported", func(b *bench) {
		r := b.submit()
		b.enqueue(r, pipeline.Train, Manifest(r.ID, pipeline.Depth))
		if w := b.reap().Wanting; len(w) != 1 || w[pipeline.Train] != 1 {
			b.Fatalf("wanting %v", w)
		}
		b.reserve(1, true)
		check(b, "launched", len(b.reap().Wanting), nil, 0)
		b.adopt("a", 1, true)
		check(b, "adopted", len(b.reap().Wanting), nil, 0)
		b.clock.Advance(b.cfg.SlotFor)
		check(b, "silent", b.reap().Wanting[pipeline.Train], nil, 1)
		b.claim(pipeline.Train)
		check(b, "claimed", len(b.reap().Wanting), nil, 0)
	}},
	{"each end is counted by one pass", func(b *bench) {
		counted := func(want map[pipeline.Status]int) {
			b.Helper()
			if got := b.reap().Ended; !reflect.DeepEqual(got, want) {
				b.Fatalf("ended %v, want %v", got, want)
			}
		}
		b.complete(b.submit())
		counted(nil) // the first pass does not know since when
		counted(nil)
		done, late := b.submit(), b.submit(deadline(b.clock.Now().Add(time.Second)))
		b.complete(b.submit())
		b.complete(done)
		b.must(b.q.Cancel(b.ctx(), b.submit().ID))
		b.clock.Advance(time.Minute + time.Second) // also of the pass itself
		counted(map[pipeline.Status]int{pipeline.Completed: 2, pipeline.Canceled: 1, pipeline.Failed: 1})
		counted(nil)
		old := b.request()
		_, err := b.q.Restore(b.ctx(), []queue.Record{{Request: old, At: b.clock.Now(), Outcome: &queue.Outcome{Status: pipeline.Failed, At: b.clock.Now()}}})
		b.must(err)
		counted(nil) // ended before
		b.clock.Advance(b.cfg.Keep + time.Minute)
		check(b, "forgotten", b.reap().Forgotten, nil, 6)
		b.is("Lookup", func() error { _, err := b.q.Lookup(b.ctx(), late.ID); return err }(), queue.ErrNotFound)
		b.complete(b.submit())
		counted(map[pipeline.Status]int{pipeline.Completed: 1})
	}},
	{"ended requests are forgotten in time", func(b *bench) {
		done, canceled, active := b.submit(deadline(b.clock.Now().Add(time.Hour))), b.submit(), b.submit()
		b.complete(done)
		b.must(b.q.Cancel(b.ctx(), canceled.ID))
		again := b.submit(func(r *pipeline.Request) { r.SessionID = canceled.SessionID })
		b.clock.Advance(b.cfg.Keep - time.Millisecond)
		check(b, "forgotten", b.reap().Forgotten, nil, 0)
		b.state(done.ID)
		b.clock.Advance(time.Millisecond)
		check(b, "forgotten", b.reap().Forgotten, nil, 2)
		check(b, "forgotten", b.reap().Forgotten, nil, 0)
		b.forgotten(done, active, again)
		b.threeQueued()
	}},
	{"an ended request is forgotten when asked to", func(b *bench) {
		done, canceled, active := b.submit(), b.submit(), b.submit()
		b.complete(done)
		b.must(b.q.Cancel(b.ctx(), canceled.ID))
		again := b.submit(func(r *pipeline.Request) { r.SessionID = canceled.SessionID })
		b.is("Forget of an active one", b.q.Forget(b.ctx(), active.ID), queue.ErrActive)
		for range 2 {
			b.must(b.q.Forget(b.ctx(), done.ID))
			b.must(b.q.Forget(b.ctx(), canceled.ID))
		}
		b.forgotten(done, active, again)
		b.clock.Advance(b.cfg.AnnounceGrace)
		check(b, "unannounced", len(b.reap().Unannounced), nil, 0)
		b.clock.Advance(b.cfg.Keep + time.Minute)
		check(b, "forgotten", b.reap().Forgotten, nil, 0)
		b.threeQueued()
	}},
	{"many at once", func(b *bench) {
		const n = 1234
		for range n {
			b.ready(deadline(b.clock.Now().Add(48 * time.Hour)))
		}
		leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", n)
		check(b, "leases", len(leases), err, n)
		b.clock.Advance(b.cfg.LeaseFor)
		check(b, "expired", b.reap().ExpiredLeases, nil, n)
		b.clock.Advance(49 * time.Hour) // and a full minute after the deadline
		check(b, "past deadline", b.reap().PastDeadline, nil, n)
		b.clock.Advance(b.cfg.Keep + time.Minute)
		check(b, "forgotten", b.reap().Forgotten, nil, n)
	}},
}

// durability: what was acknowledged survives the end of whatever keeps the state.
func (s Suite) durability(t *testing.T) {
	if s.Crash == nil {
		t.Skip("this implementation keeps nothing")
	}
	b := s.bench(t, queue.Config{})
	waiting, ready := b.submit(), b.ready()
	high := b.ready(priority(5))
	old := b.claim(pipeline.Filter)
	b.reserve(1, true)
	b.q = s.Crash(t, b.q, b.cfg)
	check(b, "waiting", b.state(waiting.ID).Status, nil, pipeline.Queued)
	check(b, "leased", b.state(high.ID).Status, nil, pipeline.Processing)
	b.reserve(1, false)
	l := b.claim(pipeline.Filter)
	check(b, "ready", l.Task().RequestID, nil, ready.ID)
	check(b, "events", len(b.events(high.ID)), nil, 3)
	b.clock.Advance(b.cfg.LeaseFor)
	check(b, "expired", b.reap().ExpiredLeases, nil, 2)
	l = b.claim(pipeline.Filter)
	check(b, "again", l.Task().RequestID, nil, high.ID)
	if l.Fence() <= old.Fence() {
		t.Fatalf("fence %d after %d", l.Fence(), old.Fence())
	}
}

// fairShare: callers of equal priority take turns, and priorities stay strict.
func (s Suite) fairShare(t *testing.T) {
	b := s.bench(t, queue.Config{FairShare: true})
	var greedy []pipeline.Request
	for range 5 {
		greedy = append(greedy, b.ready(caller("greedy")))
	}
	modest := b.ready(caller("modest"))
	high := b.ready(caller("greedy"), priority(1))
	modest2 := b.ready(caller("modest"))
	b.order([]string{high.ID, greedy[0].ID, modest.ID, greedy[1].ID, modest2.ID, greedy[2].ID, greedy[3].ID, greedy[4].ID})

	// Who was away has saved nothing up, and who was served owes nothing.
	first := b.ready(caller("late"))
	second, third := b.ready(caller("greedy")), b.ready(caller("late"))
	b.order([]string{first.ID, second.ID, third.ID})

	// However many tasks of one caller wait, the only one of another is next.
	for range 20 {
		b.ready(caller("crowd"))
	}
	b.claim(pipeline.Filter)
	only := b.ready(caller("only"))
	check(b, "task", b.claim(pipeline.Filter).Task().RequestID, nil, only.ID)
	for range 19 {
		b.claim(pipeline.Filter)
	}

	// A task released keeps its turn.
	a := b.ready(caller("a"))
	b.ready(caller("b"))
	b.must(b.claim(pipeline.Filter).GiveBack(b.ctx()))
	check(b, "task", b.claim(pipeline.Filter).Task().RequestID, nil, a.ID)
}

// forgotten checks that nothing is left of done: its id and token are unknown and its session is free, while active is as it was and
// the session of again, which a forgotten request had before, stays taken.
func (b *bench) forgotten(done, active, again pipeline.Request) {
	_, err := b.q.Lookup(b.ctx(), done.ID)
	b.is("Lookup", err, queue.ErrNotFound)
	_, err = b.q.LookupToken(b.ctx(), done.TokenHash)
	b.is("LookupToken", err, queue.ErrNotFound)
	b.state(active.ID)
	b.submit(func(r *pipeline.Request) { r.SessionID = done.SessionID })
	// The session of the canceled request belongs to another by now.
	b.is("Submit", b.q.Submit(b.ctx(), b.request(func(r *pipeline.Request) { r.SessionID = again.SessionID })),
		&queue.DuplicateError{RequestID: again.ID})
}

// threeQueued checks that three requests wait and no ended one is counted.
func (b *bench) threeQueued() {
	counts, err := b.q.StatusCounts(b.ctx())
	check(b, "completed", counts[pipeline.Completed], err, 0)
	check(b, "canceled", counts[pipeline.Canceled], err, 0)
	check(b, "queued", counts[pipeline.Queued], err, 3)
}
