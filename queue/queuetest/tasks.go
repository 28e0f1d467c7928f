package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var orderTests = []test{
	{"first in, first out", func(b *bench) {
		var want []string
		for range 20 {
			want = append(want, b.ready().ID)
		}
		b.order(want)
	}},
	{"higher priorities first, whenever they came", func(b *bench) {
		low, high, top := b.ready(), b.ready(priority(10)), b.ready(priority(pipeline.MaxPriority))
		high2, low2, almost := b.ready(priority(10)), b.ready(), b.ready(priority(pipeline.MaxPriority-1))
		b.order([]string{top.ID, almost.ID, high.ID, high2.ID, low.ID, low2.ID})
	}},
	{"the order is that of enqueuing, not of submitting", func(b *bench) {
		first, second := b.submit(), b.submit()
		b.enqueue(second, pipeline.Filter, Upload(second.ID, 1))
		b.enqueue(first, pipeline.Filter, Upload(first.ID, 1))
		b.order([]string{second.ID, first.ID})
	}},
	{"a position is the number of claims until it is one's turn", func(b *bench) {
		a, c := b.ready(), b.ready()
		high := b.ready(priority(1))
		waiting := b.submit()
		for id, want := range map[string]int{high.ID: 1, a.ID: 2, c.ID: 3, waiting.ID: 0} {
			got, err := b.q.Position(b.ctx(), id)
			check(b, "position", got, err, want)
		}
		b.claim(pipeline.Filter)
		got, err := b.q.Position(b.ctx(), high.ID)
		check(b, "position of a leased task", got, err, 0)
		got, err = b.q.Position(b.ctx(), c.ID)
		check(b, "position", got, err, 2)
	}},
	{"who is next is who would be claimed, and looking takes nothing", func(b *bench) {
		b.waiting(pipeline.Filter, 10)
		a, c := b.ready(), b.ready()
		high := b.ready(priority(1))
		b.submit()
		b.waiting(pipeline.Train, 10)
		for n, want := range [][]string{{}, {high.ID}, {high.ID, a.ID}, {high.ID, a.ID, c.ID}, {high.ID, a.ID, c.ID}} {
			b.waiting(pipeline.Filter, n, want...)
		}
		l := b.claim(pipeline.Filter)
		b.waiting(pipeline.Filter, 10, a.ID, c.ID)
		b.must(l.GiveBack(b.ctx()))
		b.waiting(pipeline.Filter, 10, high.ID, a.ID, c.ID)
		b.must(b.q.Cancel(b.ctx(), a.ID))
		b.order([]string{high.ID, c.ID})
		b.waiting(pipeline.Filter, 10)
		if _, err := b.q.Next(b.ctx(), "cook", 1); err == nil {
			b.Error("an unknown stage was looked at")
		}
	}},
	{"a retry whose time has come is waiting at its old place, whatever is asked first", func(b *bench) {
		var first, other, high pipeline.Request
		position := func(of *pipeline.Request, want int) func() {
			return func() {
				b.Helper()
				got, err := b.q.Position(b.ctx(), of.ID)
				check(b, "position", got, err, want)
			}
		}
		waiting := func() { b.waiting(pipeline.Filter, 10, high.ID, first.ID, other.ID) }
		counts := func(ready, delayed int) {
			b.Helper()
			got, err := b.q.Counts(b.ctx())
			check(b, "ready", got[pipeline.Filter].Ready, err, ready)
			check(b, "delayed", got[pipeline.Filter].Delayed, err, delayed)
		}
		asked := []func(){position(&first, 2), position(&other, 3), waiting, func() { counts(3, 0) }}
		for _, ask := range asked {
			first, other = b.ready(), b.ready()
			_, err := b.claim(pipeline.Filter).Fail(b.ctx(), transient)
			b.must(err)
			high = b.ready(priority(1))
			retryAt := b.state(first.ID).RetryAt
			b.clock.Advance(retryAt.Sub(b.clock.Now()) - time.Millisecond)
			position(&first, 0)()
			position(&other, 2)()
			b.waiting(pipeline.Filter, 10, high.ID, other.ID)
			counts(2, 1)
			check(b, "retry at", b.state(first.ID).RetryAt, nil, retryAt)

			b.clock.Advance(time.Millisecond)
			check(b, "retry at", b.state(first.ID).RetryAt, nil, time.Time{})
			ask()
			events := b.events(first.ID)
			check(b, "event", events[len(events)-1], nil, queue.Ready)
			for _, again := range asked {
				again()
			}
			check(b, "made ready by the reaper", b.reap().DelayedReady, nil, 0)
			b.order([]string{high.ID, first.ID, other.ID})
		}
	}},
	{"retries whose time has come are claimed in their old order, not in that of their times", func(b *bench) {
		first, second := b.ready(), b.ready()
		leases := []queue.Lease{b.claim(pipeline.Filter), b.claim(pipeline.Filter)}
		for i := range leases {
			_, err := leases[1-i].Fail(b.ctx(), transient)
			b.must(err)
			b.clock.Advance(time.Second)
		}
		b.clock.Advance(b.cfg.BackoffMax)
		for _, want := range []pipeline.Request{first, second} {
			check(b, "next", b.claim(pipeline.Filter).Task().RequestID, nil, want.ID)
		}
	}},
	{"any number of retries may come due at once", func(b *bench) {
		const n = 600 // more than one call may wake
		for range n {
			b.ready()
		}
		leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", n)
		check(b, "leases", len(leases), err, n)
		for _, l := range leases {
			_, err := l.Fail(b.ctx(), transient)
			b.must(err)
		}
		b.clock.Advance(b.cfg.BackoffMax)
		got, err := b.q.Position(b.ctx(), leases[n-1].Task().RequestID)
		check(b, "position", got, err, n)
	}},
	{"a claim takes no more than asked for and there are", func(b *bench) {
		b.none(pipeline.Filter)
		for range 5 {
			b.ready()
		}
		for _, want := range []int{3, 2, 0} {
			leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", 3)
			check(b, "leases", len(leases), err, want)
			if !slices.IsSortedFunc(leases, func(x, y queue.Lease) int { return int(x.Fence() - y.Fence()) }) {
				b.Fatal("fences do not grow")
			}
		}
	}},
	{"stages have queues of their own", func(b *bench) {
		b.ready()
		b.none(pipeline.Train)
		b.claim(pipeline.Filter)
	}},
	{"counts", func(b *bench) {
		b.clock.Advance(time.Second)
		oldest := b.clock.Now()
		first := b.ready()
		b.clock.Advance(time.Second)
		b.ready(priority(5))
		b.ready(priority(5))
		b.submit()
		counts, err := b.q.Counts(b.ctx())
		check(b, "filter", counts[pipeline.Filter].Ready, err, 3)
		if got := counts[pipeline.Filter].OldestReady; !got.Equal(oldest) {
			b.Fatalf("oldest ready: got %v, want %v", got, oldest)
		}
		check(b, "stages", len(counts), err, len(pipeline.Stages()))
		check(b, "train", counts[pipeline.Train], err, queue.StageCounts{})
		l := b.claim(pipeline.Filter)
		_, err = b.claim(pipeline.Filter).Fail(b.ctx(), transient)
		b.must(err)
		counts, err = b.q.Counts(b.ctx())
		check(b, "filter", counts[pipeline.Filter], err, queue.StageCounts{Ready: 1, Leased: 1, Delayed: 1, OldestReady: oldest})
		b.must(l.GiveBack(b.ctx()))
		b.must(b.q.Cancel(b.ctx(), first.ID))
		counts, err = b.q.Counts(b.ctx())
		if got := counts[pipeline.Filter]; err != nil || got.Ready != 1 || !got.OldestReady.Equal(oldest.Add(time.Second)) {
			b.Fatalf("after releasing and canceling: %+v, %v", got, err)
		}
		statuses, err := b.q.StatusCounts(b.ctx())
		check(b, "queued", statuses[pipeline.Queued], err, 1)
		check(b, "processing", statuses[pipeline.Processing], err, 2)
		check(b, "canceled", statuses[pipeline.Canceled], err, 1)
	}},
}

// waiting looks at the first n of a stage's queue.
func (b *bench) waiting(stage pipeline.Stage, n int, want ...string) {
	b.Helper()
	got, err := b.q.Next(b.ctx(), stage, n)
	if err != nil || !slices.Equal(got, want) {
		b.Fatalf("next %d: %v, %v, want %v", n, got, err, want)
	}
}

// order claims everything of the first stage and compares.
func (b *bench) order(want []string) {
	b.Helper()
	var got []string
	for range want {
		got = append(got, b.claim(pipeline.Filter).Task().RequestID)
	}
	b.none(pipeline.Filter)
	if !slices.Equal(got, want) {
		b.Fatalf("got  %v\nwant %v", got, want)
	}
}

var handoverTests = []test{
	{"the same event twice adds one task", func(b *bench) {
		r := b.ready()
		for range 3 {
			b.known(r, pipeline.Filter, Upload(r.ID, 1))
		}
		l := b.claim(pipeline.Filter)
		b.known(r, pipeline.Filter, Upload(r.ID, 1))
		b.must(l.Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.known(r, pipeline.Filter, Upload(r.ID, 1))
		b.none(pipeline.Filter)
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		b.known(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		b.must(b.q.Cancel(b.ctx(), r.ID))
		b.is("Enqueue", func() error {
			_, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: Upload(r.ID, 1)})
			return err
		}(), queue.ErrTerminal)
		repeats, err := b.q.Repeats(b.ctx())
		check(b, "filter's repeats", repeats[pipeline.Filter], err, 5)
		check(b, "preprocess's repeats", repeats[pipeline.Preprocess], err, 1)
		check(b, "stages", len(repeats), err, len(pipeline.Stages()))
	}},
	{"a stage at or before one that is known is not begun again", func(b *bench) {
		r := b.submit()
		b.enqueue(r, pipeline.Depth, Manifest(r.ID, pipeline.Preprocess))
		b.known(r, pipeline.Filter, Upload(r.ID, 9))
		b.known(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		b.must(b.claim(pipeline.Depth).Complete(b.ctx(), Manifest(r.ID, pipeline.Depth)))
		b.known(r, pipeline.Depth, Manifest(r.ID, pipeline.Preprocess))
		b.enqueue(r, pipeline.Train, Manifest(r.ID, pipeline.Depth))
	}},
	{"a newer generation replaces the input, for the next attempt", func(b *bench) {
		r := b.ready()
		b.known(r, pipeline.Filter, Upload(r.ID, 3))
		b.known(r, pipeline.Filter, Upload(r.ID, 2)) // late and older
		l := b.claim(pipeline.Filter)
		check(b, "input", l.Task().Input, nil, Upload(r.ID, 3))
		b.known(r, pipeline.Filter, Upload(r.ID, 10))
		other := Upload(r.ID, 99)
		other.Name = r.ID + "/another.mp4"
		b.known(r, pipeline.Filter, other) // not the same object
		b.must(l.GiveBack(b.ctx()))
		check(b, "input", b.claim(pipeline.Filter).Task().Input, nil, Upload(r.ID, 10))
	}},
	{"an ended request takes no task", func(b *bench) {
		r := b.ready()
		b.must(b.q.Cancel(b.ctx(), r.ID))
		_, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: pipeline.Preprocess, Input: Manifest(r.ID, pipeline.Filter)})
		b.is("Enqueue", err, queue.ErrTerminal)
		done := b.submit()
		b.complete(done)
		_, err = b.q.Enqueue(b.ctx(), queue.Task{RequestID: done.ID, Stage: pipeline.Filter, Input: Upload(done.ID, 2)})
		b.is("Enqueue", err, queue.ErrTerminal)
	}},
	{"a manifest's event may come before its writer's Complete", func(b *bench) {
		r := b.ready()
		l := b.claim(pipeline.Filter)
		manifest := Manifest(r.ID, pipeline.Filter)
		b.enqueue(r, pipeline.Preprocess, manifest)
		if s := b.state(r.ID); s.Stage != pipeline.Preprocess || s.Manifest != manifest || s.Attempt != 0 {
			b.Fatalf("state %+v", s)
		}
		b.is("Heartbeat", l.Heartbeat(b.ctx(), pipeline.Progress{}), queue.ErrLeaseLost)
		next := b.claim(pipeline.Preprocess)
		b.must(l.Complete(b.ctx(), manifest))
		b.is("second Complete", l.Complete(b.ctx(), manifest), queue.ErrLeaseLost)
		if s := b.state(r.ID); s.Stage != pipeline.Preprocess || s.Attempt != 1 {
			b.Fatalf("state %+v", s)
		}
		b.must(next.Complete(b.ctx(), Manifest(r.ID, pipeline.Preprocess)))
		want := []queue.Kind{queue.Submitted, queue.Enqueued, queue.Claimed, queue.Completed, queue.Enqueued, queue.Claimed, queue.Completed}
		if got := b.events(r.ID); !slices.Equal(got, want) {
			b.Fatalf("events %v", got)
		}
	}},
	{"a manifest completes a task that waits for a retry or a worker", func(b *bench) {
		for i, wait := range []func(l queue.Lease) error{
			func(l queue.Lease) error { _, err := l.Fail(b.ctx(), transient); return err },
			func(l queue.Lease) error { return l.GiveBack(b.ctx()) },
		} {
			r := b.ready()
			l := b.claim(pipeline.Filter)
			b.must(wait(l))
			b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
			b.clock.Advance(time.Hour)
			b.none(pipeline.Filter)
			s := b.state(r.ID)
			check(b, fmt.Sprintf("case %d: status, failure, retry", i), s.Status == pipeline.Processing && s.Failure == nil && s.RetryAt.IsZero(), nil, true)
			check(b, "claimed", b.claim(pipeline.Preprocess).Task().RequestID, nil, r.ID)
		}
	}},
	{"odd object names survive", func(b *bench) {
		for _, name := range []string{"x", "%s/", "%s/a b~c/ü 日本.mp4", "other/%s/video", "%s/" + string(make([]byte, 300, 300))} {
			r := b.submit()
			o := Upload(r.ID, 1)
			o.Name = name
			if name[0] == '%' {
				o.Name = fmt.Sprintf(name, r.ID)
			}
			o.Generation = 1<<63 - 1
			b.enqueue(r, pipeline.Filter, o)
			check(b, "input", b.claim(pipeline.Filter).Task().Input, nil, o)
		}
	}},
}

// known makes sure that a task is not added.
func (b *bench) known(r pipeline.Request, stage pipeline.Stage, input pipeline.Object) {
	b.Helper()
	added, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: stage, Input: input})
	check(b, "added", added, err, false)
}
