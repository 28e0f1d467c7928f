package queuetest

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
	"github.com/splatworks/splatworks/queue/memq"
)

// RunModel plays random schedules of every operation on the implementation and on memq side by side: every answer, every
// state and every request's transitions must be equal. A failing schedule is made short and can be played again with the
// seed that is printed.
func (s Suite) RunModel(t *testing.T, schedules int) {
	if err := flag.Set("rapid.checks", strconv.Itoa(schedules)); err != nil {
		t.Fatal(err)
	}
	operations := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := s.newModel(t, rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":       m.tick,
			"submit": m.submit, "enqueue": m.enqueue, "enqueueNext": m.enqueueNext, "claim": m.claim, "claimNext": m.claim,
			"heartbeat": m.heartbeat, "complete": m.complete, "completeAndClaim": m.completeAndClaim, "fail": m.fail, "giveBack": m.giveBack, "saved": m.saved, "cancel": m.cancel,
			"position": m.position, "advance": m.advance, "reap": m.reap, "slots": m.slots, "announced": m.announced, "restore": m.restore,
			"lost": m.lost, "giveBackAll": m.giveBackAll, "holder": m.holder,
		})
		m.compareAll(rt)
		operations += m.operations
	})
	t.Logf("%d schedules, %d operations", schedules, operations)
}

// model is one schedule: the implementation, the model, and everything that was ever handed out.
type model struct {
	clock      *Clock
	got, want  Queue
	requests   []pipeline.Request
	leases     []pair
	fair       bool
	lossy      bool
	operations int
}

// pair is the lease of one task from both.
type pair struct{ got, want queue.Lease }

func (s Suite) newModel(t *testing.T, rt *rapid.T) *model {
	m := &model{clock: NewClock()}
	chance := rapid.Float64Range(0, 0.99).Draw(rt, "chance")
	cfg := queue.Config{
		Now: m.clock.Now, Rand: func() float64 { return chance }, MaxAttempts: rapid.IntRange(1, 3).Draw(rt, "MaxAttempts"),
		Keep: time.Hour, FairShare: rapid.Bool().Draw(rt, "FairShare"),
	}
	m.got, m.want, m.fair, m.lossy = s.Open(t, cfg), memq.New(cfg), cfg.FairShare, s.Lossy
	return m
}

// tick runs before the first operation and after each.
func (m *model) tick(*rapid.T) {
	if m.lossy {
		m.clock.Advance(time.Millisecond)
	}
}

func (m *model) same(rt *rapid.T, what string, got, want any) {
	rt.Helper()
	m.operations++
	if !reflect.DeepEqual(got, want) {
		rt.Fatalf("%s: got %+v, the model says %+v", what, got, want)
	}
}

// sort of error: two implementations need not use the same words. No other errors are expected of either.
func sort(err error) string {
	for _, known := range []error{queue.ErrNotFound, queue.ErrLeaseLost, queue.ErrCanceled, queue.ErrTerminal} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var duplicate *queue.DuplicateError
	if errors.As(err, &duplicate) {
		return err.Error()
	}
	if err != nil {
		return "other: " + err.Error()
	}
	return "none"
}

func (m *model) compare(rt *rapid.T, id string) {
	got, err := m.got.Lookup(rt.Context(), id)
	want, wantErr := m.want.Lookup(rt.Context(), id)
	m.same(rt, "Lookup error", sort(err), sort(wantErr))
	m.same(rt, "Lookup", got, want)
}

// compareAll looks at everything that can be seen.
func (m *model) compareAll(rt *rapid.T) {
	ctx := rt.Context()
	for _, r := range m.requests {
		m.compare(rt, r.ID)
		got, err := m.got.Position(ctx, r.ID)
		want, wantErr := m.want.Position(ctx, r.ID)
		m.same(rt, "Position", []any{got, sort(err)}, []any{want, sort(wantErr)})
	}
	got, err := m.got.StatusCounts(ctx)
	want, wantErr := m.want.StatusCounts(ctx)
	m.same(rt, "StatusCounts", []any{got, sort(err)}, []any{want, sort(wantErr)})
	repeats, err := m.got.Repeats(ctx)
	wantRepeats, wantErr := m.want.Repeats(ctx)
	m.same(rt, "Repeats", []any{repeats, sort(err)}, []any{wantRepeats, sort(wantErr)})
	for stage := range m.counts(rt) {
		m.next(rt, stage, len(m.requests))
	}
	m.same(rt, "transitions", m.transitions(rt, m.got), m.transitions(rt, m.want))
}

func (m *model) counts(rt *rapid.T) map[pipeline.Stage]queue.StageCounts {
	got, err := m.got.Counts(rt.Context())
	want, wantErr := m.want.Counts(rt.Context())
	m.same(rt, "Counts error", sort(err), sort(wantErr))
	for stage, want := range want {
		got := got[stage]
		if m.fair { // Config.FairShare says why
			got.OldestReady, want.OldestReady = time.Time{}, time.Time{}
		}
		m.same(rt, "Counts", got, want)
	}
	return want
}

// transitions by request: what one pass of the reaper does to different requests has no order.
func (m *model) transitions(rt *rapid.T, q Queue) map[string][]queue.Transition {
	all, err := q.After(rt.Context(), "", 10_000, 0)
	if err != nil {
		rt.Fatal(err)
	}
	byID := map[string][]queue.Transition{}
	for _, t := range all {
		t.ID = ""
		byID[t.RequestID] = append(byID[t.RequestID], t)
	}
	return byID
}

func (m *model) anyRequest(rt *rapid.T) pipeline.Request {
	if len(m.requests) == 0 {
		rt.Skip("no request yet")
	}
	return rapid.SampledFrom(m.requests).Draw(rt, "request")
}

var (
	anyStage   = rapid.SampledFrom(pipeline.Stages())
	anyWorker  = rapid.SampledFrom([]string{"a", "b", "ab"})
	anyFailure = rapid.Custom(func(rt *rapid.T) *pipeline.Failure {
		kinds := []pipeline.FailureKind{pipeline.Transient, pipeline.ExhaustedResources, pipeline.Internal, pipeline.InvalidInput}
		return &pipeline.Failure{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"), Code: rapid.SampledFrom([]string{"code", pipeline.DiskFull}).Draw(rt, "code"),
			Message: "Message."}
	})
)

func (m *model) submit(rt *rapid.T) {
	now := m.clock.Now()
	r := Request(now, len(m.requests))
	r.SessionID = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", r.SessionID, r.SessionID, r.SessionID}).Draw(rt, "session")
	r.Caller = rapid.SampledFrom([]string{"", "x", "key:x", "key:y"}).Draw(rt, "caller")
	r.Priority = rapid.SampledFrom([]int{0, 0, 0, 1, pipeline.MaxPriority}).Draw(rt, "priority")
	if s := rapid.IntRange(-100, 300).Draw(rt, "deadline"); s > 0 {
		r.Deadline = now.Add(time.Duration(s) * time.Second)
	}
	err, wantErr := m.got.Submit(rt.Context(), r), m.want.Submit(rt.Context(), r)
	m.same(rt, "Submit", sort(err), sort(wantErr))
	if err == nil {
		m.requests = append(m.requests, r)
		m.compare(rt, r.ID)
	}
}

func (m *model) put(rt *rapid.T, t queue.Task) {
	got, err := m.got.Enqueue(rt.Context(), t)
	want, wantErr := m.want.Enqueue(rt.Context(), t)
	m.same(rt, "Enqueue", []any{got, sort(err)}, []any{want, sort(wantErr)})
	m.compare(rt, t.RequestID)
}

func (m *model) enqueue(rt *rapid.T) {
	r := m.anyRequest(rt)
	stage := anyStage.Draw(rt, "stage")
	input := Upload(r.ID, rapid.Int64Range(1, 3).Draw(rt, "generation"))
	if previous, ok := stage.Previous(); ok {
		input = Manifest(r.ID, previous)
	}
	m.put(rt, queue.Task{RequestID: r.ID, Stage: stage, Input: input})
}

// enqueueNext is what an event would do: random stages would soon leave nothing to do.
func (m *model) enqueueNext(rt *rapid.T) {
	r := m.anyRequest(rt)
	s, err := m.want.Lookup(rt.Context(), r.ID)
	if err != nil {
		rt.Skip("forgotten")
	}
	t := queue.Task{RequestID: r.ID, Stage: pipeline.Filter, Input: Upload(r.ID, 1)}
	if next, ok := s.Stage.Next(); ok {
		t.Stage, t.Input = next, Manifest(r.ID, s.Stage)
	}
	m.put(rt, t)
}

func (m *model) claim(rt *rapid.T) {
	// A stage that has something to do, if there is one.
	counts := m.counts(rt)
	stage := anyStage.Draw(rt, "stage")
	for _, s := range pipeline.Stages() {
		if counts[stage].Ready+counts[stage].Delayed == 0 {
			stage = s
		}
	}
	n := rapid.IntRange(1, 3).Draw(rt, "n")
	m.next(rt, stage, n)
	worker := anyWorker.Draw(rt, "worker")
	got, err := m.got.Claim(rt.Context(), stage, worker, n)
	want, wantErr := m.want.Claim(rt.Context(), stage, worker, n)
	m.same(rt, "Claim", []any{len(got), sort(err)}, []any{len(want), sort(wantErr)})
	for i := range got {
		m.claimed(rt, pair{got[i], want[i]})
	}
}

func (m *model) next(rt *rapid.T, stage pipeline.Stage, n int) {
	got, err := m.got.Next(rt.Context(), stage, n)
	want, wantErr := m.want.Next(rt.Context(), stage, n)
	m.same(rt, "Next", fmt.Sprint(got, sort(err)), fmt.Sprint(want, sort(wantErr)))
}

// claimed compares what was claimed, and keeps it.
func (m *model) claimed(rt *rapid.T, p pair) {
	g, w := p.got, p.want
	m.same(rt, "lease", []any{g.Task(), g.Request(), g.Attempt(), g.LastFailure(), g.ExpiresAt()},
		[]any{w.Task(), w.Request(), w.Attempt(), w.LastFailure(), w.ExpiresAt()})
	for _, earlier := range m.leases {
		if earlier.got.Task().RequestID == g.Task().RequestID && g.Fence() <= earlier.got.Fence() {
			rt.Fatalf("fence %d after %d", g.Fence(), earlier.got.Fence())
		}
	}
	m.leases = append(m.leases, p)
	m.compare(rt, g.Task().RequestID)
}

// anyLease is one of those ever given out, more often a late one.
func (m *model) anyLease(rt *rapid.T) pair {
	if len(m.leases) == 0 {
		rt.Skip("no lease yet")
	}
	back := min(rapid.IntRange(0, len(m.leases)-1).Draw(rt, "lease"), rapid.IntRange(0, len(m.leases)-1).Draw(rt, "or lease"))
	return m.leases[len(m.leases)-1-back]
}

func (m *model) heartbeat(rt *rapid.T) {
	l := m.anyLease(rt)
	p := pipeline.Progress{Stage: l.want.Task().Stage, Percent: float64(rapid.IntRange(0, 2).Draw(rt, "percent")) * 50}
	if code := rapid.SampledFrom([]string{"", "", "blurred", "dark"}).Draw(rt, "warning"); code != "" {
		p.Warning = &pipeline.Warning{Code: code}
	}
	err, wantErr := l.got.Heartbeat(rt.Context(), p), l.want.Heartbeat(rt.Context(), p)
	m.same(rt, "Heartbeat", sort(err), sort(wantErr))
	m.same(rt, "ExpiresAt", l.got.ExpiresAt(), l.want.ExpiresAt())
	m.compare(rt, l.want.Task().RequestID)
}

func (m *model) complete(rt *rapid.T) {
	l := m.anyLease(rt)
	t := l.want.Task()
	manifest := Manifest(t.RequestID, t.Stage)
	err, wantErr := l.got.Complete(rt.Context(), manifest), l.want.Complete(rt.Context(), manifest)
	m.same(rt, "Complete", sort(err), sort(wantErr))
	m.compare(rt, t.RequestID)
}

func (m *model) completeAndClaim(rt *rapid.T) {
	l := m.anyLease(rt)
	t := l.want.Task()
	manifest := Manifest(t.RequestID, t.Stage)
	got, err := l.got.CompleteAndClaim(rt.Context(), manifest)
	want, wantErr := l.want.CompleteAndClaim(rt.Context(), manifest)
	m.same(rt, "CompleteAndClaim", []any{got != nil, sort(err)}, []any{want != nil, sort(wantErr)})
	m.compare(rt, t.RequestID)
	if got != nil {
		m.claimed(rt, pair{got, want})
	}
}

func (m *model) fail(rt *rapid.T) {
	l := m.anyLease(rt)
	f := anyFailure.Draw(rt, "failure")
	got, err := l.got.Fail(rt.Context(), f)
	want, wantErr := l.want.Fail(rt.Context(), f)
	m.same(rt, "Fail", []any{got, sort(err)}, []any{want, sort(wantErr)})
	m.compare(rt, l.want.Task().RequestID)
}

// lost is the end of a worker of a stage that has a lease, if there is one.
func (m *model) lost(rt *rapid.T) {
	stage, worker, f := anyStage.Draw(rt, "stage"), anyWorker.Draw(rt, "worker"), anyFailure.Draw(rt, "failure")
	counts := m.counts(rt)
	for _, s := range pipeline.Stages() {
		if counts[stage].Leased == 0 {
			stage = s
		}
	}
	got, err := m.got.Lost(rt.Context(), stage, worker, f)
	want, wantErr := m.want.Lost(rt.Context(), stage, worker, f)
	slices.Sort(got) // in any order
	slices.Sort(want)
	m.same(rt, "Lost", []any{got, sort(err)}, []any{want, sort(wantErr)})
	for _, r := range m.requests {
		m.compare(rt, r.ID)
	}
}

func (m *model) giveBackAll(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "workers") > 0 {
		rt.Skip("workers are left")
	}
	got, err := m.got.GiveBackAll(rt.Context())
	want, wantErr := m.want.GiveBackAll(rt.Context())
	if m.lossy {
		got, want = 0, 0
	}
	m.same(rt, "GiveBackAll", []any{got, sort(err)}, []any{want, sort(wantErr)})
	for _, r := range m.requests {
		m.compare(rt, r.ID)
	}
}

func (m *model) holder(rt *rapid.T) {
	r := m.anyRequest(rt)
	r.ID = "another"
	got, err := m.got.Holder(rt.Context(), r)
	want, wantErr := m.want.Holder(rt.Context(), r)
	m.same(rt, "Holder", []any{got, sort(err)}, []any{want, sort(wantErr)})
}

func (m *model) saved(rt *rapid.T) {
	l := m.anyLease(rt)
	err, wantErr := l.got.Saved(rt.Context()), l.want.Saved(rt.Context())
	m.same(rt, "Saved", []any{sort(err), l.got.Attempt()}, []any{sort(wantErr), l.want.Attempt()})
	m.compare(rt, l.want.Task().RequestID)
}

func (m *model) giveBack(rt *rapid.T) {
	l := m.anyLease(rt)
	err, wantErr := l.got.GiveBack(rt.Context()), l.want.GiveBack(rt.Context())
	m.same(rt, "GiveBack", sort(err), sort(wantErr))
	m.compare(rt, l.want.Task().RequestID)
}

func (m *model) cancel(rt *rapid.T) {
	r := m.anyRequest(rt)
	err, wantErr := m.got.Cancel(rt.Context(), r.ID), m.want.Cancel(rt.Context(), r.ID)
	m.same(rt, "Cancel", sort(err), sort(wantErr))
	m.compare(rt, r.ID)
}

func (m *model) position(rt *rapid.T) {
	r := m.anyRequest(rt)
	got, err := m.got.Position(rt.Context(), r.ID)
	want, wantErr := m.want.Position(rt.Context(), r.ID)
	m.same(rt, "Position", []any{got, sort(err)}, []any{want, sort(wantErr)})
}

func (m *model) advance(rt *rapid.T) {
	ms := rapid.SampledFrom([]int{1, 1000, 20_000, 59_999, 60_000, 120_000, 3_600_000}).Draw(rt, "ms")
	m.clock.Advance(time.Duration(ms) * time.Millisecond)
}

func (m *model) reap(rt *rapid.T) {
	got, err := m.got.Reap(rt.Context())
	want, wantErr := m.want.Reap(rt.Context())
	m.same(rt, "Reap error", sort(err), sort(wantErr))
	if !m.lossy {
		m.same(rt, "Reap", got, want)
	}
	m.same(rt, "Ended", got.Ended, want.Ended)
	for _, r := range m.requests {
		m.compare(rt, r.ID)
	}
}

func (m *model) announced(rt *rapid.T) {
	r := m.anyRequest(rt)
	err, wantErr := m.got.Announced(rt.Context(), r.ID), m.want.Announced(rt.Context(), r.ID)
	m.same(rt, "Announced", sort(err), sort(wantErr))
}

func (m *model) slots(rt *rapid.T) {
	ctx := rt.Context()
	worker := anyWorker.Draw(rt, "worker")
	do := map[string]func(q Queue) (bool, error){
		"reserve": func(q Queue) (bool, error) { return q.Reserve(ctx, pipeline.Train, 2, 2*time.Minute) },
		"adopt":   func(q Queue) (bool, error) { return q.Adopt(ctx, pipeline.Train, worker, 2) },
		"keep":    func(q Queue) (bool, error) { return false, q.Keep(ctx, pipeline.Train, worker) },
		"release": func(q Queue) (bool, error) { return false, q.Release(ctx, pipeline.Train, worker) },
	}[rapid.SampledFrom([]string{"reserve", "adopt", "keep", "release"}).Draw(rt, "operation")]
	got, err := do(m.got)
	want, wantErr := do(m.want)
	m.same(rt, "slots", []any{got, sort(err)}, []any{want, sort(wantErr)})
}

func (m *model) restore(rt *rapid.T) {
	// Of a request that is known, or of one that was lost and has a session of its own.
	var r pipeline.Request
	if rapid.Bool().Draw(rt, "lost") {
		r = Request(m.clock.Now(), len(m.requests))
		m.requests = append(m.requests, r)
	} else {
		r = m.anyRequest(rt)
	}
	record := queue.Record{Request: r, At: m.clock.Now()}
	if rapid.Bool().Draw(rt, "uploaded") {
		record.Upload = Upload(r.ID, 1)
	}
	if rapid.Bool().Draw(rt, "processed") {
		record.Done = anyStage.Draw(rt, "done")
		record.Manifest = Manifest(r.ID, record.Done)
	}
	if rapid.IntRange(0, 4).Draw(rt, "ended") == 0 {
		record.Outcome = &queue.Outcome{Status: pipeline.Canceled, At: m.clock.Now()}
	}
	got, err := m.got.Restore(rt.Context(), []queue.Record{record})
	want, wantErr := m.want.Restore(rt.Context(), []queue.Record{record})
	if m.lossy {
		got, want = queue.Rebuilt{}, queue.Rebuilt{}
	}
	m.same(rt, "Restore", fmt.Sprint(got, sort(err)), fmt.Sprint(want, sort(wantErr)))
	m.compare(rt, r.ID)
}
