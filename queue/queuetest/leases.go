package queuetest

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var (
	transient = &pipeline.Failure{Kind: pipeline.Transient, Code: "flaky", Message: "Something was away.", Advice: "Wait.", Err: errors.New("cause")}
	exhausted = &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: "out_of_memory", Message: "Too big.", Advice: "Make it smaller."}
)

// lost makes sure that a lease can do nothing any more, for the reason given.
func (b *bench) lost(l queue.Lease, want error) {
	b.Helper()
	id := l.Task().RequestID
	before := b.state(id)
	b.is("Heartbeat", l.Heartbeat(b.ctx(), pipeline.Progress{Step: "too late"}), want)
	b.is("Complete", l.Complete(b.ctx(), Manifest(id, l.Task().Stage)), want)
	next, err := l.CompleteAndClaim(b.ctx(), Manifest(id, l.Task().Stage))
	b.is("CompleteAndClaim", err, want)
	check(b, "claimed by a lost lease", next != nil, nil, false)
	_, err = l.Fail(b.ctx(), transient)
	b.is("Fail", err, want)
	b.is("GiveBack", l.GiveBack(b.ctx()), want)
	b.is("Saved", l.Saved(b.ctx()), want)
	if after := b.state(id); !reflect.DeepEqual(before, after) {
		b.Fatalf("a lost lease changed the state from %+v\nto %+v", before, after)
	}
}

var leaseTests = []test{
	{"a lease ends unless it is extended", func(b *bench) {
		b.ready()
		l := b.claim(pipeline.Filter)
		for range 5 {
			b.clock.Advance(b.cfg.LeaseFor - time.Millisecond)
			b.must(l.Heartbeat(b.ctx(), pipeline.Progress{}))
			if want := b.clock.Now().Add(b.cfg.LeaseFor); !l.ExpiresAt().Equal(want) {
				b.Fatalf("expires at %v, want %v", l.ExpiresAt(), want)
			}
		}
		b.clock.Advance(b.cfg.LeaseFor - time.Millisecond)
		check(b, "expired", b.reap().ExpiredLeases, nil, 0)
		b.clock.Advance(time.Millisecond)
		check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		b.lost(l, queue.ErrLeaseLost)
	}},
	{"time alone takes no lease", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		b.clock.Advance(3 * b.cfg.LeaseFor)
		b.must(l.Heartbeat(b.ctx(), pipeline.Progress{}))
		check(b, "expired", b.reap().ExpiredLeases, nil, 0)
		b.clock.Advance(3 * b.cfg.LeaseFor)
		b.must(l.Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
	}},
	{"an expired lease is refused after another took over, too", func(b *bench) {
		b.ready()
		old := b.claim(pipeline.Filter)
		b.clock.Advance(b.cfg.LeaseFor)
		check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		b.lost(old, queue.ErrLeaseLost)
		l := b.claim(pipeline.Filter)
		check(b, "attempt", l.Attempt(), nil, 2)
		if l.Fence() <= old.Fence() {
			b.Fatalf("fence %d after %d", l.Fence(), old.Fence())
		}
		b.lost(old, queue.ErrLeaseLost)
		b.must(l.Complete(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter)))
	}},
	{"a finished lease is over", func(b *bench) {
		for _, finish := range []func(l queue.Lease) error{
			func(l queue.Lease) error { return l.Complete(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter)) },
			func(l queue.Lease) error {
				_, err := l.CompleteAndClaim(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter))
				return err
			},
			func(l queue.Lease) error { _, err := l.Fail(b.ctx(), transient); return err },
			func(l queue.Lease) error { _, err := l.Fail(b.ctx(), pipeline.Invalid("bad", "", "")); return err },
			func(l queue.Lease) error { return l.GiveBack(b.ctx()) },
		} {
			r := b.ready()
			l := b.claim(pipeline.Filter)
			b.must(finish(l))
			b.lost(l, queue.ErrLeaseLost)
			if !b.state(r.ID).Status.Terminal() {
				b.must(b.q.Cancel(b.ctx(), r.ID))
			}
		}
	}},
	{"completing may claim the worker's next task in the same step", func(b *bench) {
		first, low, high := b.ready(), b.ready(), b.ready(priority(7))
		elsewhere := b.submit(priority(9))
		b.enqueue(elsewhere, pipeline.Depth, Manifest(elsewhere.ID, pipeline.Preprocess))
		check(b, "highest priority", b.claim(pipeline.Filter).Task().RequestID, nil, high.ID)
		l := b.claim(pipeline.Filter)
		check(b, "task", l.Task().RequestID, nil, first.ID)
		b.clock.Advance(time.Second)
		next, err := l.CompleteAndClaim(b.ctx(), Manifest(first.ID, pipeline.Filter))
		b.must(err)
		check(b, "next task", next.Task(), nil, queue.Task{RequestID: low.ID, Stage: pipeline.Filter, Input: Upload(low.ID, 1)})
		check(b, "attempt", next.Attempt(), nil, 1)
		check(b, "lease until", next.ExpiresAt().Equal(b.clock.Now().Add(b.cfg.LeaseFor)), nil, true)
		s := b.state(first.ID)
		check(b, "completed", s.Status == pipeline.Processing && s.Manifest == Manifest(first.ID, pipeline.Filter), nil, true)
		b.lost(l, queue.ErrLeaseLost)
		last, err := next.CompleteAndClaim(b.ctx(), Manifest(low.ID, pipeline.Filter))
		check(b, "nothing left", last == nil, err, true)
		check(b, "completed", b.state(low.ID).Manifest, nil, Manifest(low.ID, pipeline.Filter))
		b.enqueue(first, pipeline.Preprocess, Manifest(first.ID, pipeline.Filter))
		want := []queue.Kind{queue.Submitted, queue.Enqueued, queue.Claimed, queue.Completed}
		if got := b.events(low.ID); !slices.Equal(got, want) {
			b.Fatalf("events %v", got)
		}
	}},
	{"completing the last stage may claim the next task, too", func(b *bench) {
		for range 2 {
			r := b.submit()
			b.enqueue(r, pipeline.Export, Manifest(r.ID, pipeline.Train))
		}
		l := b.claim(pipeline.Export)
		next, err := l.CompleteAndClaim(b.ctx(), Manifest(l.Task().RequestID, pipeline.Export))
		b.must(err)
		check(b, "status", b.state(l.Task().RequestID).Status, nil, pipeline.Completed)
		b.must(next.Heartbeat(b.ctx(), pipeline.Progress{}))
		b.must(next.Complete(b.ctx(), Manifest(next.Task().RequestID, pipeline.Export)))
	}},
	{"a retry that is due is claimed with a completion", func(b *bench) {
		again := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), transient)
		b.must(err)
		b.ready()
		l := b.claim(pipeline.Filter)
		b.clock.Advance(b.state(again.ID).RetryAt.Sub(b.clock.Now()))
		next, err := l.CompleteAndClaim(b.ctx(), Manifest(l.Task().RequestID, pipeline.Filter))
		b.must(err)
		check(b, "task", next.Task().RequestID, nil, again.ID)
		check(b, "attempt", next.Attempt(), nil, 2)
		check(b, "failure", next.LastFailure() != nil && next.LastFailure().Code == "flaky", nil, true)
	}},
	{"who may not complete does not claim", func(b *bench) {
		canceled, expired, waiting := b.ready(), b.ready(), b.ready()
		first, second := b.claim(pipeline.Filter), b.claim(pipeline.Filter)
		b.must(b.q.Cancel(b.ctx(), canceled.ID))
		b.lost(first, queue.ErrCanceled)
		b.clock.Advance(b.cfg.LeaseFor)
		check(b, "expired", b.reap().ExpiredLeases, nil, 1)
		b.lost(second, queue.ErrLeaseLost)
		check(b, "the first that is ready", b.claim(pipeline.Filter).Task().RequestID, nil, expired.ID)
		b.lost(second, queue.ErrLeaseLost)
		check(b, "the next", b.claim(pipeline.Filter).Task().RequestID, nil, waiting.ID)
	}},
	{"a manifest's event may come before its writer completes and claims", func(b *bench) {
		r, waiting := b.ready(), b.ready()
		l := b.claim(pipeline.Filter)
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		next, err := l.CompleteAndClaim(b.ctx(), Manifest(r.ID, pipeline.Filter))
		b.must(err)
		check(b, "task", next.Task().RequestID, nil, waiting.ID)
		check(b, "stage of the other", b.state(r.ID).Stage, nil, pipeline.Preprocess)
		again, err := l.CompleteAndClaim(b.ctx(), Manifest(r.ID, pipeline.Filter))
		b.is("again", err, queue.ErrLeaseLost)
		check(b, "claimed again", again == nil, nil, true)
	}},
	{"released, a task is at its old place with its attempt", func(b *bench) {
		first := b.ready()
		b.ready()
		for range b.cfg.MaxAttempts + 2 {
			b.clock.Advance(time.Second)
			l := b.claim(pipeline.Filter)
			check(b, "task", l.Task().RequestID, nil, first.ID)
			check(b, "attempt", l.Attempt(), nil, 1)
			b.must(l.GiveBack(b.ctx()))
			check(b, "attempt", b.state(first.ID).Attempt, nil, 0)
			position, err := b.q.Position(b.ctx(), first.ID)
			check(b, "position", position, err, 1)
		}
	}},
	{"progress and warnings are kept", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		blurred := &pipeline.Warning{Code: "blurred", Stage: pipeline.Filter, Message: "Many frames are \"blurred\" <b>\n&c."}
		dark := &pipeline.Warning{Code: "dark", Stage: pipeline.Filter, Message: "Dark."}
		p := pipeline.Progress{Stage: pipeline.Filter, Step: "scoring", Done: 3, Total: 10, Percent: 30, Metrics: map[string]float64{"sharp": 0.5}}
		b.clock.Advance(time.Second)
		for _, w := range []*pipeline.Warning{blurred, nil, dark, blurred, dark, nil} {
			p.Warning = w
			b.must(l.Heartbeat(b.ctx(), p))
		}
		s := b.state(r.ID)
		if !reflect.DeepEqual(s.Progress, p) || !reflect.DeepEqual(s.Warnings, []pipeline.Warning{*blurred, *dark}) || !s.UpdatedAt.Equal(b.clock.Now()) {
			b.Fatalf("state %+v", s)
		}
		b.must(l.Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		s = b.state(r.ID)
		if !reflect.DeepEqual(s.Progress, pipeline.Progress{}) || len(s.Warnings) != 2 {
			b.Fatalf("next stage: %+v", s)
		}
	}},
	{"warnings are bounded", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		for i := range queue.MaxWarnings + 5 {
			b.must(l.Heartbeat(b.ctx(), pipeline.Progress{Warning: &pipeline.Warning{Code: "w", Message: string(rune('0' + i))}}))
		}
		check(b, "warnings", len(b.state(r.ID).Warnings), nil, queue.MaxWarnings)
	}},
}

var retryTests = []test{
	{"a transient failure is retried after a backoff that doubles", func(b *bench) {
		r := b.ready()
		b.ready()                       // does not matter
		want := 7500 * time.Millisecond // half of 10 s, and half of the rest by the suite's chance
		for attempt := 1; attempt < b.cfg.MaxAttempts; attempt++ {
			l := b.claim(pipeline.Filter)
			check(b, "task", l.Task().RequestID, nil, r.ID)
			check(b, "attempt", l.Attempt(), nil, attempt)
			retry, err := l.Fail(b.ctx(), transient)
			check(b, "retry", retry, err, true)
			s := b.state(r.ID)
			if s.Status != pipeline.Processing || s.Failure == nil || s.Failure.Code != "flaky" || s.Failure.Err != nil || s.Failure.Stage != pipeline.Filter {
				b.Fatalf("state %+v", s)
			}
			if got := s.RetryAt.Sub(b.clock.Now()); got != want {
				b.Fatalf("attempt %d: retry in %v, want %v", attempt, got, want)
			}
			position, err := b.q.Position(b.ctx(), r.ID)
			check(b, "position while delayed", position, err, 0)
			b.clock.Advance(want - time.Millisecond)
			check(b, "too early", b.reap().DelayedReady, nil, 0)
			b.clock.Advance(time.Millisecond)
			want *= 2
		}
		l := b.claim(pipeline.Filter)
		if l.LastFailure() == nil || l.LastFailure().Code != "flaky" {
			b.Fatalf("last failure %v", l.LastFailure())
		}
		retry, err := l.Fail(b.ctx(), transient)
		check(b, "retry", retry, err, false)
		s := b.state(r.ID)
		if s.Status != pipeline.Failed || s.Failure == nil || s.Failure.Code != "flaky" || s.Attempt != b.cfg.MaxAttempts || !s.FinishedAt.Equal(b.clock.Now()) {
			b.Fatalf("state %+v", s)
		}
	}},
	{"the backoff has a ceiling and its jitter stays within", func(b *bench) {
		cfg := b.cfg
		for _, chance := range []float64{0, 0.5, 0.999999} {
			cfg.Rand = func() float64 { return chance }
			for attempt := 1; attempt < 80; attempt++ {
				whole := min(cfg.BackoffMax, cfg.BackoffMin<<min(attempt-1, 10))
				if d := cfg.Backoff(attempt); d < whole/2 || d > whole {
					b.Fatalf("attempt %d: %v is not within %v and %v", attempt, d, whole/2, whole)
				}
			}
		}
	}},
	{"a due retry is claimed without the reaper, at its old place", func(b *bench) {
		first := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), transient)
		b.must(err)
		b.ready()
		b.clock.Advance(b.cfg.BackoffMin)
		check(b, "task", b.claim(pipeline.Filter).Task().RequestID, nil, first.ID)
		if s := b.state(first.ID); !s.RetryAt.IsZero() {
			b.Fatalf("state %+v", s)
		}
	}},
	{"invalid input, a missing tool and cancellation are not retried", func(b *bench) {
		for _, kind := range []pipeline.FailureKind{pipeline.InvalidInput, pipeline.MissingTool, pipeline.CanceledByClient} {
			r := b.ready()
			retry, err := b.claim(pipeline.Filter).Fail(b.ctx(), &pipeline.Failure{Kind: kind, Code: "no", Message: "No."})
			check(b, "retry", retry, err, false)
			check(b, "status", b.state(r.ID).Status, nil, pipeline.Failed)
		}
	}},
	{"what waits for people is retried until then, and uses up no attempt", func(b *bench) {
		r := b.ready()
		full := &pipeline.Failure{Kind: pipeline.Transient, Code: pipeline.DiskFull, Message: "Full."}
		for range 2 * b.cfg.MaxAttempts {
			l := b.claim(pipeline.Filter)
			check(b, "attempt", l.Attempt(), nil, 1)
			retry, err := l.Fail(b.ctx(), full)
			check(b, "retry", retry, err, true)
			s := b.state(r.ID)
			check(b, "failure", s.Status == pipeline.Processing && s.Failure != nil && s.Failure.Waits(), nil, true)
			if pause := s.RetryAt.Sub(b.clock.Now()); pause < b.cfg.BackoffMin/2 || pause > b.cfg.BackoffMax {
				b.Fatalf("waits for %v", pause)
			}
			b.clock.Advance(s.RetryAt.Sub(b.clock.Now()))
		}
		for i := range b.cfg.MaxAttempts {
			l := b.claim(pipeline.Filter)
			check(b, "attempt", l.Attempt(), nil, i+1)
			retry, err := l.Fail(b.ctx(), transient)
			check(b, "retry", retry, err, i+1 < b.cfg.MaxAttempts)
			b.clock.Advance(b.cfg.BackoffMax)
		}
	}},
	{"exhausted resources are retried once", func(b *bench) {
		r := b.ready()
		retry, err := b.claim(pipeline.Filter).Fail(b.ctx(), exhausted)
		check(b, "retry", retry, err, true)
		b.clock.Advance(b.cfg.BackoffMax)
		l := b.claim(pipeline.Filter)
		if l.LastFailure() == nil || l.LastFailure().Kind != pipeline.ExhaustedResources {
			b.Fatalf("last failure %v", l.LastFailure())
		}
		retry, err = l.Fail(b.ctx(), exhausted)
		check(b, "retry", retry, err, false)
		check(b, "status", b.state(r.ID).Status, nil, pipeline.Failed)
	}},
	{"the next stage starts with all its attempts", func(b *bench) {
		r := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), exhausted)
		b.must(err)
		b.clock.Advance(b.cfg.BackoffMax)
		b.must(b.claim(pipeline.Filter).Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		l := b.claim(pipeline.Preprocess)
		if l.Attempt() != 1 || l.LastFailure() != nil {
			b.Fatalf("attempt %d after %v", l.Attempt(), l.LastFailure())
		}
		_, err = l.Fail(b.ctx(), transient)
		b.must(err)
		b.clock.Advance(b.cfg.BackoffMax)
		retry, err := b.claim(pipeline.Preprocess).Fail(b.ctx(), exhausted) // the first of this stage
		check(b, "retry", retry, err, true)
	}},
}

var cancelTests = []test{
	{"waiting for its upload", func(b *bench) {
		r := b.submit()
		b.canceled(r, nil)
	}},
	{"ready", func(b *bench) {
		r := b.ready()
		b.canceled(r, nil)
	}},
	{"leased", func(b *bench) {
		r := b.ready()
		b.canceled(r, b.claim(pipeline.Filter))
	}},
	{"delayed", func(b *bench) {
		r := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), transient)
		b.must(err)
		b.canceled(r, nil)
	}},
	{"between two stages", func(b *bench) {
		r := b.ready()
		b.must(b.claim(pipeline.Filter).Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.canceled(r, nil)
		check(b, "lost handovers", len(b.reap().LostHandovers), nil, 0)
	}},
	{"an ended request cannot be canceled", func(b *bench) {
		r := b.submit()
		b.complete(r)
		b.is("Cancel", b.q.Cancel(b.ctx(), r.ID), queue.ErrTerminal)
	}},
	{"a worker whose lease had ended before learns that instead", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		b.clock.Advance(b.cfg.LeaseFor)
		b.reap()
		b.must(b.q.Cancel(b.ctx(), r.ID))
		b.lost(l, queue.ErrLeaseLost)
	}},
}

// canceled cancels and makes sure that nothing of the request is left to do. l is the lease of its worker, if it has one.
func (b *bench) canceled(r pipeline.Request, l queue.Lease) {
	b.Helper()
	b.clock.Advance(time.Second)
	b.must(b.q.Cancel(b.ctx(), r.ID))
	if s := b.state(r.ID); s.Status != pipeline.Canceled || !s.FinishedAt.Equal(b.clock.Now()) || s.Failure != nil || !s.RetryAt.IsZero() {
		b.Fatalf("state %+v", s)
	}
	b.is("Cancel", b.q.Cancel(b.ctx(), r.ID), queue.ErrTerminal)
	if l != nil {
		b.lost(l, queue.ErrCanceled)
	}
	b.clock.Advance(time.Hour)
	b.reap()
	b.none(pipeline.Filter)
	counts, err := b.q.Counts(b.ctx())
	check(b, "counts", counts[pipeline.Filter], err, queue.StageCounts{})
	if kinds := b.events(r.ID); kinds[len(kinds)-1] != queue.Canceled || slices.Index(kinds, queue.Canceled) != len(kinds)-1 {
		b.Fatalf("events %v", kinds)
	}
}
