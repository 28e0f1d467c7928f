package queuetest

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

func records(list ...queue.Record) iter.Seq2[queue.Record, error] {
	return func(yield func(queue.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (b *bench) rebuild(list ...queue.Record) queue.Rebuilt {
	b.Helper()
	did, err := queue.Rebuild(b.ctx(), b.q, records(list...))
	b.must(err)
	return did
}

// processed is the record of a request whose stages up to the given one have manifests.
func processed(r pipeline.Request, done pipeline.Stage, at time.Time) queue.Record {
	return queue.Record{Request: r, Upload: Upload(r.ID, 1), Done: done, Manifest: Manifest(r.ID, done), At: at}
}

var rebuildTests = []test{
	{"an empty queue is whole when it was rebuilt", func(b *bench) {
		whole, err := b.q.Whole(b.ctx())
		check(b, "whole", whole, err, false)
		b.submit() // somebody may come before the rebuild
		whole, err = b.q.Whole(b.ctx())
		check(b, "whole", whole, err, false)
		b.rebuild()
		whole, err = b.q.Whole(b.ctx())
		check(b, "whole", whole, err, true)
	}},
	{"everybody is where they were", func(b *bench) {
		at := b.clock.Now().Add(-time.Hour)
		waiting, uploaded, failed, canceled := b.request(), b.request(priority(3)), b.request(), b.request()
		failure := pipeline.Invalid("dark", "Too dark.", "Light it.")
		list := []queue.Record{
			{Request: waiting},
			{Request: uploaded, Upload: Upload(uploaded.ID, 4)},
			{Request: failed, Upload: Upload(failed.ID, 1), Outcome: &queue.Outcome{Status: pipeline.Failed, Failure: failure, At: at}},
			{Request: canceled, Done: pipeline.Filter, Manifest: Manifest(canceled.ID, pipeline.Filter),
				Outcome: &queue.Outcome{Status: pipeline.Canceled, At: at}},
		}
		byStage := map[pipeline.Stage]pipeline.Request{}
		stages, last := pipeline.Stages(), pipeline.Last()
		for _, stage := range stages {
			byStage[stage] = b.request()
			list = append(list, processed(byStage[stage], stage, at))
		}
		tasks := 1 + len(stages) - 1 // of the upload, and of every manifest but the last
		check(b, "rebuilt", b.rebuild(list...), nil, queue.Rebuilt{Records: len(list), Requests: len(list), Tasks: tasks})

		check(b, "waiting", b.state(waiting.ID).Status, nil, pipeline.Queued)
		check(b, "failed", b.state(failed.ID).Status, nil, pipeline.Failed)
		check(b, "failure", *b.state(failed.ID).Failure, nil, *failure)
		check(b, "canceled", b.state(canceled.ID).Status, nil, pipeline.Canceled)
		check(b, "end", b.state(canceled.ID).FinishedAt.Equal(at), nil, true)
		done := b.state(byStage[last].ID)
		if done.Status != pipeline.Completed || !done.FinishedAt.Equal(at) || done.Manifest != Manifest(done.ID, last) {
			b.Fatalf("completed: %+v", done)
		}
		first := pipeline.First()
		check(b, "task", b.claim(first).Task(), nil, queue.Task{RequestID: uploaded.ID, Stage: first, Input: Upload(uploaded.ID, 4)})
		for _, stage := range stages[:len(stages)-1] {
			r := byStage[stage]
			next, _ := stage.Next()
			s := b.state(r.ID)
			if s.Status != pipeline.Processing || s.Stage != next || s.Manifest != Manifest(r.ID, stage) {
				b.Fatalf("after %s: %+v", stage, s)
			}
			check(b, "task", b.claim(next).Task(), nil, queue.Task{RequestID: r.ID, Stage: next, Input: Manifest(r.ID, stage)})
		}
		got, err := b.q.LookupToken(b.ctx(), uploaded.TokenHash)
		check(b, "by token", got.ID, err, uploaded.ID)
		b.is("Submit", b.q.Submit(b.ctx(), b.request(func(r *pipeline.Request) { r.SessionID = uploaded.SessionID })),
			&queue.DuplicateError{RequestID: uploaded.ID})
		b.submit(func(r *pipeline.Request) { r.SessionID = failed.SessionID })
		counts, err := b.q.StatusCounts(b.ctx())
		check(b, "completed", counts[pipeline.Completed], err, 1)
		check(b, "queued", counts[pipeline.Queued], err, 2)
		check(b, "processing", counts[pipeline.Processing], err, tasks)
	}},
	{"twice is as good as once, and nothing that is known is taken back", func(b *bench) {
		r := b.ready()
		b.must(b.claim(pipeline.Filter).Complete(b.ctx(), Manifest(r.ID, pipeline.Filter)))
		b.enqueue(r, pipeline.Preprocess, Manifest(r.ID, pipeline.Filter))
		l := b.claim(pipeline.Preprocess)
		old := queue.Record{Request: r, Upload: Upload(r.ID, 1)}
		for range 2 {
			check(b, "rebuilt", b.rebuild(old), nil, queue.Rebuilt{Records: 1})
			check(b, "rebuilt", b.rebuild(processed(r, pipeline.Filter, r.CreatedAt)), nil, queue.Rebuilt{Records: 1})
		}
		b.must(l.Heartbeat(b.ctx(), pipeline.Progress{}))
		check(b, "rebuilt", b.rebuild(processed(r, pipeline.Preprocess, r.CreatedAt)), nil, queue.Rebuilt{Records: 1, Tasks: 1})
		b.must(l.Complete(b.ctx(), Manifest(r.ID, pipeline.Preprocess)))
		b.claim(pipeline.Depth)
		b.must(b.q.Cancel(b.ctx(), r.ID))
		check(b, "rebuilt", b.rebuild(processed(r, pipeline.Depth, r.CreatedAt)), nil, queue.Rebuilt{Records: 1})
		check(b, "status", b.state(r.ID).Status, nil, pipeline.Canceled)
	}},
	{"a deadline and an end are remembered", func(b *bench) {
		late, done := b.request(deadline(b.clock.Now().Add(time.Minute))), b.request()
		b.rebuild(queue.Record{Request: late}, processed(done, pipeline.Last(), b.clock.Now().Add(-b.cfg.Keep+time.Minute)))
		b.clock.Advance(time.Minute)
		reaped := b.reap()
		check(b, "past deadline", reaped.PastDeadline, nil, 1)
		check(b, "forgotten", reaped.Forgotten, nil, 1)
	}},
	{"recent ends are announced again", func(b *bench) {
		recent, old, called := b.request(), b.request(), b.request()
		canceled := queue.Record{Request: called, Outcome: &queue.Outcome{Status: pipeline.Canceled, At: b.clock.Now().Add(-time.Minute)}}
		for range 2 {
			b.rebuild(processed(recent, pipeline.Last(), b.clock.Now().Add(-queue.Recent+time.Millisecond)),
				processed(old, pipeline.Last(), b.clock.Now().Add(-queue.Recent)), canceled)
		}
		if got, want := b.reap().Unannounced, []string{recent.ID, called.ID}; !slices.Equal(got, want) {
			b.Fatalf("unannounced: got %v, want %v", got, want)
		}
	}},
	{"many", func(b *bench) {
		var list []queue.Record
		var ids []string
		for range 1100 {
			r := b.request()
			list = append(list, queue.Record{Request: r, Upload: Upload(r.ID, 1)})
			ids = append(ids, r.ID)
		}
		check(b, "rebuilt", b.rebuild(list...), nil, queue.Rebuilt{Records: 1100, Requests: 1100, Tasks: 1100})
		leases, err := b.q.Claim(b.ctx(), pipeline.Filter, "worker", 2000)
		b.must(err)
		var got []string
		for _, l := range leases {
			got = append(got, l.Task().RequestID)
		}
		if !slices.Equal(got, ids) {
			b.Fatal("the order is not that of the requests")
		}
	}},
	{"records that cannot be read stop it", func(b *bench) {
		unreadable := errors.New("unreadable")
		_, err := queue.Rebuild(b.ctx(), b.q, func(yield func(queue.Record, error) bool) { yield(queue.Record{}, unreadable) })
		b.is("Rebuild", err, unreadable)
	}},
}
