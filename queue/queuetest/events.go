package queuetest

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var eventTests = []test{
	{"every transition once, in order", func(b *bench) {
		r := b.request()
		b.must(b.q.Submit(b.ctx(), r))
		b.enqueue(r, pipeline.Filter, Upload(r.ID, 1))
		b.known(r, pipeline.Filter, Upload(r.ID, 1))
		b.must(b.q.Submit(b.ctx(), r))
		l := b.claim(pipeline.Filter)
		p := pipeline.Progress{Stage: pipeline.Filter, Step: "scoring frames", Percent: 40}
		b.must(l.Heartbeat(b.ctx(), p))
		b.must(l.Heartbeat(b.ctx(), p)) // no news
		_, err := l.Fail(b.ctx(), transient)
		b.must(err)
		b.clock.Advance(b.cfg.BackoffMax)
		b.reap()
		b.must(b.claim(pipeline.Filter).GiveBack(b.ctx()))
		b.claim(pipeline.Filter)
		b.clock.Advance(b.cfg.LeaseFor)
		b.reap()
		last := b.claim(pipeline.Filter)
		b.must(last.Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.must(b.q.Cancel(b.ctx(), r.ID))

		events, err := b.q.After(b.ctx(), "", 100, 0)
		b.must(err)
		type brief struct {
			kind   queue.Kind
			stage  pipeline.Stage
			status pipeline.Status
			code   string
		}
		var got []brief
		for _, e := range events {
			if e.RequestID != r.ID || e.ID == "" || e.At.IsZero() {
				b.Fatalf("event %+v", e)
			}
			if (e.Kind == queue.Progress) != (e.Progress != nil) || e.Progress != nil && !reflect.DeepEqual(*e.Progress, p) {
				b.Fatalf("progress of %+v", e)
			}
			got = append(got, brief{e.Kind, e.Stage, e.Status, e.Code})
		}
		f := pipeline.Filter
		want := []brief{
			{queue.Submitted, "", pipeline.Queued, ""}, {queue.Enqueued, f, pipeline.Queued, ""}, {queue.Claimed, f, pipeline.Processing, ""},
			{queue.Progress, f, pipeline.Processing, ""}, {queue.Retry, f, pipeline.Processing, "flaky"}, {queue.Ready, f, pipeline.Processing, ""},
			{queue.Claimed, f, pipeline.Processing, ""}, {queue.GivenBack, f, pipeline.Processing, ""}, {queue.Claimed, f, pipeline.Processing, ""},
			{queue.Expired, f, pipeline.Processing, ""}, {queue.Claimed, f, pipeline.Processing, ""}, {queue.Completed, f, pipeline.Processing, ""},
			{queue.Canceled, f, pipeline.Canceled, ""},
		}
		if !slices.Equal(got, want) {
			b.Fatalf("got  %v\nwant %v", got, want)
		}
		if !events[len(events)-1].At.Equal(b.clock.Now()) {
			b.Fatalf("time of the last: %v", events[len(events)-1].At)
		}
	}},
	{"failures carry their code", func(b *bench) {
		r := b.ready()
		_, err := b.claim(pipeline.Filter).Fail(b.ctx(), pipeline.Invalid("no_frames", "No frames.", "Send a video."))
		b.must(err)
		lost := b.ready()
		for range b.cfg.MaxAttempts {
			b.claim(pipeline.Filter)
			b.clock.Advance(b.cfg.LeaseFor)
			b.reap()
		}
		late := b.submit(deadline(b.clock.Now().Add(time.Second)))
		b.clock.Advance(time.Second)
		b.reap()
		last := map[string]queue.Transition{}
		events, err := b.q.After(b.ctx(), "", 100, 0)
		b.must(err)
		for _, e := range events {
			last[e.RequestID] = e
		}
		for id, code := range map[string]string{r.ID: "no_frames", lost.ID: "worker_lost", late.ID: "deadline_exceeded"} {
			if e := last[id]; e.Kind != queue.Failed || e.Code != code || e.Status != pipeline.Failed {
				b.Fatalf("event %+v, want code %s", e, code)
			}
		}
	}},
	{"a cursor continues where it was", func(b *bench) {
		cursor, err := b.q.Newest(b.ctx())
		b.must(err)
		events, err := b.q.After(b.ctx(), cursor, 10, 0)
		check(b, "events of an empty queue", len(events), err, 0)
		var want []string
		for range 7 {
			want = append(want, b.submit().ID)
		}
		var got []string
		for {
			events, err := b.q.After(b.ctx(), cursor, 3, 0)
			b.must(err)
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				got = append(got, e.RequestID)
				cursor = e.ID
			}
		}
		if !slices.Equal(got, want) {
			b.Fatalf("got  %v\nwant %v", got, want)
		}
		newest, err := b.q.Newest(b.ctx())
		check(b, "newest", newest, err, cursor)
	}},
	{"a reader may wait", func(b *bench) {
		cursor, err := b.q.Newest(b.ctx())
		b.must(err)
		r := b.request()
		go func() { _ = b.q.Submit(context.Background(), r) }() // seen below, or not
		events, err := b.q.After(b.ctx(), cursor, 10, time.Minute)
		if err != nil || len(events) != 1 || events[0].RequestID != r.ID {
			b.Fatalf("events %v, %v", events, err)
		}
		events, err = b.q.After(b.ctx(), events[0].ID, 10, time.Millisecond)
		check(b, "nothing came", len(events), err, 0)
	}},
	{"a waiting reader can be stopped", func(b *bench) {
		ctx, cancel := context.WithTimeout(b.ctx(), 10*time.Millisecond)
		defer cancel()
		events, err := b.q.After(ctx, "", 10, time.Minute)
		if len(events) != 0 || err == nil {
			b.Fatalf("events %v, %v", events, err)
		}
	}},
}
