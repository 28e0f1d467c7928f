package queuetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

var requestTests = []test{
	{"a request comes back as it was submitted", func(b *bench) {
		r := b.request(priority(7), deadline(b.clock.Now().Add(time.Hour)))
		r.Options = pipeline.Options{Preset: pipeline.High, TrainBudgetS: 1234.5, MaxImages: 321, LongEdgePx: 1234, Seed: 1 << 63, Depth: "a-model", Projection: pipeline.ProjectionFlat, Outputs: []string{"sog"}, Sky: pipeline.SkyOn, Cleanup: pipeline.CleanupOff, RefinePoses: true}
		b.must(b.q.Submit(b.ctx(), r))
		want := queue.State{Request: r, Status: pipeline.Queued, UpdatedAt: r.CreatedAt}
		if got := b.state(r.ID); !reflect.DeepEqual(got, want) {
			b.Fatalf("got %+v\nwant %+v", got, want)
		}
		got, err := b.q.LookupToken(b.ctx(), r.TokenHash)
		if err != nil || !reflect.DeepEqual(got, want) {
			b.Fatalf("by token: got %+v, %v", got, err)
		}
	}},
	{"no field of a request is forgotten", func(b *bench) {
		r := b.request()
		fill(b.T, reflect.ValueOf(&r).Elem())
		r.Priority = 3
		b.must(b.q.Submit(b.ctx(), r))
		if got := b.state(r.ID).Request; !reflect.DeepEqual(got, r) {
			b.Fatalf("got %+v\nwant %+v", got, r)
		}
		b.enqueue(r, pipeline.Filter, Upload(r.ID, 1))
		if got := b.claim(pipeline.Filter).Request(); !reflect.DeepEqual(got, r) {
			b.Fatalf("lease: got %+v\nwant %+v", got, r)
		}
	}},
	{"what is unknown is not found", func(b *bench) {
		b.submit()
		_, err := b.q.Lookup(b.ctx(), "nobody")
		b.is("Lookup", err, queue.ErrNotFound)
		_, err = b.q.Lookup(b.ctx(), "")
		b.is("Lookup", err, queue.ErrNotFound)
		_, err = b.q.LookupToken(b.ctx(), pipeline.HashToken("nobody's"))
		b.is("LookupToken", err, queue.ErrNotFound)
		_, err = b.q.LookupToken(b.ctx(), "")
		b.is("LookupToken", err, queue.ErrNotFound)
		_, err = b.q.Position(b.ctx(), "nobody")
		b.is("Position", err, queue.ErrNotFound)
		b.is("Cancel", b.q.Cancel(b.ctx(), "nobody"), queue.ErrNotFound)
		_, err = b.q.Enqueue(b.ctx(), queue.Task{RequestID: "nobody", Stage: pipeline.Filter})
		b.is("Enqueue", err, queue.ErrNotFound)
	}},
	{"what makes no sense is refused", func(b *bench) {
		for name, r := range map[string]pipeline.Request{
			"no id": b.request(func(r *pipeline.Request) { r.ID = "" }), "no session": b.request(func(r *pipeline.Request) { r.SessionID = "" }),
			"negative priority": b.request(priority(-1)), "priority above the largest": b.request(priority(pipeline.MaxPriority + 1)),
		} {
			if b.q.Submit(b.ctx(), r) == nil {
				b.Errorf("%s was submitted", name)
			}
		}
		r := b.submit()
		if _, err := b.q.Enqueue(b.ctx(), queue.Task{RequestID: r.ID, Stage: "cook"}); err == nil {
			b.Error("an unknown stage was enqueued")
		}
		if _, err := b.q.Claim(b.ctx(), "cook", "worker", 1); err == nil {
			b.Error("an unknown stage was claimed")
		}
	}},
	{"a session has one request that is active or completed", func(b *bench) {
		r := b.submit()
		sameSession := func(x *pipeline.Request) { x.SessionID = r.SessionID }
		var duplicate *queue.DuplicateError
		if err := b.q.Submit(b.ctx(), b.request(sameSession)); !errors.As(err, &duplicate) || duplicate.RequestID != r.ID {
			b.Fatalf("active: got %v", err)
		}
		holder, err := b.q.Holder(b.ctx(), b.request(sameSession))
		check(b, "holder while active", holder, err, r.ID)
		_, err = b.q.Holder(b.ctx(), r)
		b.is("holder besides itself", err, queue.ErrNotFound)
		_, err = b.q.Holder(b.ctx(), b.request())
		b.is("holder of a free session", err, queue.ErrNotFound)
		b.complete(r)
		if err := b.q.Submit(b.ctx(), b.request(sameSession)); !errors.As(err, &duplicate) || duplicate.RequestID != r.ID {
			b.Fatalf("completed: got %v", err)
		}
		holder, err = b.q.Holder(b.ctx(), b.request(sameSession))
		check(b, "holder once completed", holder, err, r.ID)
		counts, err := b.q.StatusCounts(b.ctx())
		check(b, "queued", counts[pipeline.Queued], err, 0)
	}},
	{"a token finds one request at a time", func(b *bench) {
		first := b.submit()
		other := b.request(func(x *pipeline.Request) { x.TokenHash = first.TokenHash })
		b.is("another request with the token", b.q.Submit(b.ctx(), other), queue.ErrTokenTaken)
		b.must(b.q.Submit(b.ctx(), first))
		_, err := b.q.Lookup(b.ctx(), other.ID)
		b.is("Lookup of what was refused", err, queue.ErrNotFound)
		b.must(b.q.Cancel(b.ctx(), first.ID))
		b.must(b.q.Submit(b.ctx(), other))
		s, err := b.q.LookupToken(b.ctx(), first.TokenHash)
		check(b, "found by the token", s.ID, err, other.ID)
	}},
	{"callers with an API key have session names of their own", func(b *bench) {
		session := func(c string) func(*pipeline.Request) {
			return func(x *pipeline.Request) { x.SessionID, x.Caller = "customer-1", c }
		}
		own := b.submit(session(pipeline.KeyCaller + "app"))
		shared := b.submit(session("192.0.2.1"))
		b.submit(session(pipeline.KeyCaller + "other"))
		b.is("the key's again", b.q.Submit(b.ctx(), b.request(session(own.Caller))), &queue.DuplicateError{RequestID: own.ID})
		b.is("another address's", b.q.Submit(b.ctx(), b.request(session("192.0.2.2"))), &queue.DuplicateError{RequestID: shared.ID})
		holder, err := b.q.Holder(b.ctx(), b.request(session(own.Caller)))
		check(b, "holder of the key's session", holder, err, own.ID)
		b.must(b.q.Cancel(b.ctx(), own.ID))
		again := b.submit(session(own.Caller))
		b.clock.Advance(b.cfg.Keep + time.Minute) // the first is forgotten, and takes no session with it
		_, err = b.q.Reap(b.ctx())
		b.must(err)
		b.is("after it was forgotten", b.q.Submit(b.ctx(), b.request(session(own.Caller))), &queue.DuplicateError{RequestID: again.ID})
	}},
	{"a session whose request failed or was canceled may try again", func(b *bench) {
		canceled := b.submit()
		b.must(b.q.Cancel(b.ctx(), canceled.ID))
		_, err := b.q.Holder(b.ctx(), b.request(func(x *pipeline.Request) { x.SessionID = canceled.SessionID }))
		b.is("holder once canceled", err, queue.ErrNotFound)
		again := b.submit(func(x *pipeline.Request) { x.SessionID = canceled.SessionID })
		b.enqueue(again, pipeline.Filter, Upload(again.ID, 1))
		_, err = b.claim(pipeline.Filter).Fail(b.ctx(), pipeline.Invalid("bad", "Bad.", "Mend it."))
		b.must(err)
		b.submit(func(x *pipeline.Request) { x.SessionID = canceled.SessionID })
		for _, id := range []string{canceled.ID, again.ID} {
			if s := b.state(id); !s.Status.Terminal() {
				b.Errorf("%s became %s", id, s.Status)
			}
		}
	}},
	{"the same request again changes nothing", func(b *bench) {
		r := b.ready()
		before := b.state(r.ID)
		b.clock.Advance(time.Second)
		b.must(b.q.Submit(b.ctx(), r))
		if after := b.state(r.ID); !reflect.DeepEqual(before, after) {
			b.Fatalf("before %+v\nafter %+v", before, after)
		}
		counts, err := b.q.StatusCounts(b.ctx())
		check(b, "queued", counts[pipeline.Queued], err, 1)
	}},
	{"a request goes through all stages", func(b *bench) {
		r := b.submit()
		input, fence := Upload(r.ID, 1), int64(0)
		for _, stage := range pipeline.Stages() {
			b.clock.Advance(time.Second)
			b.enqueue(r, stage, input)
			if s := b.state(r.ID); s.Stage != stage || s.Attempt != 0 || !s.UpdatedAt.Equal(b.clock.Now()) {
				b.Fatalf("%s enqueued: %+v", stage, s)
			}
			b.clock.Advance(time.Second)
			l := b.claim(stage)
			if l.Task() != (queue.Task{RequestID: r.ID, Stage: stage, Input: input}) || !reflect.DeepEqual(l.Request(), r) ||
				l.Attempt() != 1 || l.Fence() <= fence || l.LastFailure() != nil || !l.ExpiresAt().Equal(b.clock.Now().Add(b.cfg.LeaseFor)) {
				b.Fatalf("lease %+v", l)
			}
			fence = l.Fence()
			if s := b.state(r.ID); s.Status != pipeline.Processing || s.Attempt != 1 || s.StartedAt.IsZero() {
				b.Fatalf("%s claimed: %+v", stage, s)
			}
			input = Manifest(r.ID, stage)
			b.must(l.Complete(b.ctx(), input))
			if s := b.state(r.ID); s.Manifest != input || s.Progress.Percent != 100 || s.Progress.Stage != stage {
				b.Fatalf("%s completed: %+v", stage, s)
			}
		}
		s := b.state(r.ID)
		if s.Status != pipeline.Completed || !s.FinishedAt.Equal(b.clock.Now()) || !s.StartedAt.Equal(r.CreatedAt.Add(2*time.Second)) || s.Stage != pipeline.Export {
			b.Fatalf("at the end: %+v", s)
		}
		counts, err := b.q.StatusCounts(b.ctx())
		check(b, "completed", counts[pipeline.Completed], err, 1)
		check(b, "processing", counts[pipeline.Processing], err, 0)
	}},
}

// complete takes a submitted request through all its stages.
func (b *bench) complete(r pipeline.Request) {
	b.Helper()
	input := Upload(r.ID, 1)
	for _, stage := range pipeline.Stages() {
		b.enqueue(r, stage, input)
		input = Manifest(r.ID, stage)
		b.must(b.claim(stage).Complete(b.ctx(), input))
	}
}

// fill sets every field that is zero, so that a new field of a type is tested without being named here.
func fill(t *testing.T, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.IsZero() && f.Kind() != reflect.Struct {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString("some " + v.Type().Field(i).Name)
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(1234 + i))
		case reflect.Uint64, reflect.Uint32:
			f.SetUint(uint64(1234 + i))
		case reflect.Float64:
			f.SetFloat(12.5 + float64(i))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			for j := range f.Len() {
				f.Index(j).SetString(fmt.Sprintf("some %s %d", v.Type().Field(i).Name, j))
			}
		case reflect.Struct:
			if f.Type() == reflect.TypeFor[time.Time]() {
				if f.IsZero() {
					f.Set(reflect.ValueOf(time.UnixMilli(1_790_000_000_123).UTC()))
				}
				continue
			}
			fill(t, f)
		default:
			t.Fatalf("field %s of %s has a kind that this test cannot fill: teach it", v.Type().Field(i).Name, v.Type())
		}
	}
}
