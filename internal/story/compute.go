package story

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

func (f *facts) story() *Story {
	s := &Story{RequestID: f.request.ID, SessionID: f.request.SessionID, Caller: f.request.Caller, TraceID: f.trace.ID, Status: f.status(), CreatedAt: f.request.CreatedAt, Stages: []Stage{}}
	if s.Status.Terminal() {
		s.FinishedAt = f.finishedAt()
	}
	ready := f.request.CreatedAt
	for _, name := range pipeline.Stages() {
		line, end, reached := f.stage(name, ready, s)
		if !reached {
			break
		}
		s.Stages = append(s.Stages, line)
		ready = end
	}
	s.Now, s.Advice = f.nowIs(s.Status)
	s.sum(f.end(s))
	return s
}

func (s *Story) sum(end time.Time) {
	s.Sum.TotalS = seconds(s.CreatedAt, end)
	for _, line := range s.Stages {
		s.Sum.CostUSD += line.CostUSD
		for _, a := range line.Attempts {
			s.Sum.WaitS += a.WaitS
			s.Sum.LaunchS += a.LaunchS
			s.Sum.WorkS += a.WorkS
		}
	}
	s.Sum.OtherS = max(0, s.Sum.TotalS-s.Sum.WaitS-s.Sum.LaunchS-s.Sum.WorkS)
}

// seconds between two times; 0 where clocks of two machines put them in the other order.
func seconds(from, to time.Time) float64 { return max(0, to.Sub(from).Seconds()) }

func (f *facts) status() pipeline.Status {
	switch {
	case f.state != nil:
		return f.state.Status
	case len(f.history) > 0 && f.history[len(f.history)-1].Stage == pipeline.Last():
		return pipeline.Completed
	case f.outcome != nil:
		return f.outcome.Status
	case len(f.history) > 0 || len(f.reports) > 0:
		return pipeline.Processing
	}
	return pipeline.Queued
}

func (f *facts) finishedAt() time.Time {
	switch {
	case f.state != nil && !f.state.FinishedAt.IsZero():
		return f.state.FinishedAt
	case f.outcome != nil:
		return f.outcome.At
	case len(f.history) > 0:
		return f.history[len(f.history)-1].FinishedAt
	}
	return time.Time{}
}

func (f *facts) end(s *Story) time.Time {
	if s.FinishedAt.IsZero() {
		return f.now
	}
	return s.FinishedAt
}

// try is an attempt as it is known from any source.
type try struct {
	artifacts.Attempt
	report *artifacts.AttemptReport
	works  bool
	lost   bool
}

// stage is the line of a stage whose task could be ready at a time, and when the stage ended; reached is false before there was a task.
func (f *facts) stage(name pipeline.Stage, ready time.Time, s *Story) (line Stage, end time.Time, reached bool) {
	line = Stage{Stage: name, State: Waits, Attempts: []Attempt{}}
	if at := f.eventAt(name, queue.Enqueued, ready); name == pipeline.First() && !at.IsZero() {
		ready = at // the time before it was the client's
	}
	record := f.record(name)
	tries := f.tries(name, record)
	current := f.state != nil && f.state.Stage == name && !s.Status.Terminal()
	if record == nil && len(tries) == 0 && !current {
		return line, ready, false
	}
	due := ready
	for _, t := range tries {
		a, done := f.attempt(t, ready, due, s)
		if due = done; t.Outcome == artifacts.Failed { // its retry waited
			due = f.eventAt(name, queue.Ready, done)
		}
		line.Attempts, ready = append(line.Attempts, a), done
		line.CostUSD += a.CostUSD
		line.Programs = addPrograms(line.Programs, t.Programs)
	}
	switch {
	case record != nil:
		line.State, line.Steps = Done, stepsOf(record)
	case s.Status.Terminal():
		line.State = Ended
	case len(tries) > 0 && tries[len(tries)-1].works:
		line.State = Works
	case current:
		line.Attempts = append(line.Attempts, Attempt{Attempt: len(tries) + 1, Outcome: string(Waits), FromS: seconds(s.CreatedAt, ready), WaitS: seconds(ready, f.now)})
	}
	return line, ready, true
}

func (f *facts) record(name pipeline.Stage) *artifacts.StageRecord {
	i := slices.IndexFunc(f.history, func(r artifacts.StageRecord) bool { return r.Stage == name })
	if i < 0 {
		return nil
	}
	return &f.history[i]
}

// eventAt is when a kind of event of a stage came for the first time after a time; zero where it is not known.
func (f *facts) eventAt(name pipeline.Stage, kind queue.Kind, after time.Time) time.Time {
	for _, e := range f.events {
		if e.Stage == name && e.Kind == kind && !e.At.Before(after.Truncate(time.Millisecond)) {
			return e.At
		}
	}
	return time.Time{}
}

// tries are all attempts at a stage in the order of their claims: those that a manifest or a report knows, and those of which only the
// queue's events are left.
func (f *facts) tries(name pipeline.Stage, record *artifacts.StageRecord) []try {
	var tries []try
	add := func(a artifacts.Attempt, report *artifacts.AttemptReport) {
		i := slices.IndexFunc(tries, func(t try) bool { return t.Fence == a.Fence })
		switch {
		case i < 0:
			tries = append(tries, try{Attempt: a, report: report})
		case report != nil:
			tries[i].report = report
		}
	}
	if record != nil {
		for _, a := range record.Earlier {
			add(a, nil)
		}
		claimed := record.ClaimedAt
		if claimed.IsZero() { // of an older version
			claimed = record.StartedAt
		}
		if claimed.IsZero() {
			claimed = record.FinishedAt
		}
		add(artifacts.Attempt{Attempt: record.Attempt, Fence: record.Fence, WorkerAt: record.WorkerAt, ClaimedAt: claimed, FinishedAt: record.FinishedAt,
			Outcome: artifacts.Finished, CostUSD: record.CostUSD, Programs: record.Programs}, nil)
	}
	for i, r := range f.reports {
		if r.Stage == name {
			add(r.Attempt, &f.reports[i])
		}
	}
	tries = append(tries, f.silent(name, tries)...)
	slices.SortStableFunc(tries, func(a, b try) int { return a.ClaimedAt.Compare(b.ClaimedAt) })
	return tries
}

// silent are attempts that left no report: the one at work, and those whose worker is gone.
func (f *facts) silent(name pipeline.Stage, known []try) (found []try) {
	var events []queue.Transition
	for _, e := range f.events {
		if e.Stage == name {
			events = append(events, e)
		}
	}
	heard := map[int]bool{} // claims that a report or manifest knows: the worker's clock is the claim's, too
	for _, t := range known {
		last := -1
		for i, e := range events {
			if e.Kind == queue.Claimed && !e.At.After(t.ClaimedAt) {
				last = i
			}
		}
		heard[last] = true
	}
	number := 0
	for i, e := range events {
		if e.Kind != queue.Claimed {
			continue
		}
		if number++; heard[i] {
			continue
		}
		t := try{works: true, Attempt: artifacts.Attempt{Attempt: number, ClaimedAt: e.At, FinishedAt: f.now}}
		if i+1 < len(events) {
			next := events[i+1]
			t.works, t.lost, t.FinishedAt, t.Code = false, true, next.At, next.Code
		}
		found = append(found, t)
	}
	return found
}

// attempt is one with the wait before it, which began at ready; due is when a worker was wanted for it, zero where that is not known. done is when the
// next one could begin.
func (f *facts) attempt(t try, ready, due time.Time, s *Story) (a Attempt, done time.Time) {
	a = Attempt{Attempt: t.Attempt.Attempt, Outcome: string(t.Outcome), FromS: seconds(s.CreatedAt, ready), WorkS: seconds(t.ClaimedAt, t.FinishedAt),
		Kind: t.Kind, Code: t.Code, CostUSD: t.CostUSD}
	wait := seconds(ready, t.ClaimedAt)
	if !due.IsZero() && !t.WorkerAt.IsZero() {
		a.LaunchS = min(seconds(due, t.WorkerAt), seconds(due, t.ClaimedAt))
	}
	a.WaitS = max(0, wait-a.LaunchS)
	switch {
	case t.works:
		a.Outcome = working
	case t.lost:
		a.Outcome = lost
	}
	if t.report == nil {
		return a, t.FinishedAt
	}
	a.Worker, a.Cause = t.report.Worker, t.report.Cause
	if t.report.Failure != nil {
		a.Message = t.report.Failure.Message
		if t.report.Log != "" {
			lines := strings.Split(t.report.Log, "\n")
			a.Log = lines[max(0, len(lines)-logLines):]
		}
	}
	return a, t.FinishedAt
}

func addPrograms(sum, more []artifacts.ProgramTime) []artifacts.ProgramTime {
	for _, p := range more {
		i := slices.IndexFunc(sum, func(q artifacts.ProgramTime) bool { return q.Name == p.Name })
		if i < 0 {
			sum = append(sum, p)
			continue
		}
		sum[i].Runs += p.Runs
		sum[i].WallS += p.WallS
		sum[i].CPUS += p.CPUS
	}
	return sum
}

// stepSuffixes end the names of metrics that are seconds of a step.
var stepSuffixes = []string{"_wall_s", "_s"}

// stepsOf are the steps that a stage measured, the longest first.
func stepsOf(record *artifacts.StageRecord) (steps []Step) {
	for name, v := range record.Metrics {
		for _, suffix := range stepSuffixes {
			if step, ok := strings.CutSuffix(name, suffix); ok && !strings.HasSuffix(step, "_per") {
				steps = append(steps, Step{step, v})
				break
			}
		}
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Or(cmp.Compare(b.WallS, a.WallS), strings.Compare(a.Name, b.Name)) })
	return steps
}

// nowIs says in one sentence what the request waits for or why it ended without a result.
func (f *facts) nowIs(status pipeline.Status) (sentence, advice string) {
	failure := f.failure()
	switch status {
	case pipeline.Completed:
		return "", ""
	case pipeline.Canceled:
		return "It was canceled.", ""
	case pipeline.Failed:
		if failure == nil {
			return "It failed, and the failure is not known any more.", ""
		}
		return fmt.Sprintf("It failed in %s with %s: %s", stageName(failure.Stage), failure.Code, failure.Message), failure.Advice
	}
	if f.state == nil {
		return "The queue does not know it: it waits for a rebuild, or was interrupted.", ""
	}
	return f.waits(failure), ""
}

// waits says what a request is at that has not ended.
func (f *facts) waits(failure *pipeline.Failure) string {
	s := f.state
	switch {
	case s.Stage == "":
		return "It waits for its upload."
	case !s.RetryAt.IsZero() && failure != nil:
		return fmt.Sprintf("It waits to be retried: attempt %d of %s failed with %s (%s) The retry is due at %s.", s.Attempt, s.Stage, failure.Code, failure.Message, s.RetryAt.UTC().Format(time.RFC3339))
	case f.position > 0 && f.slots > 0:
		return fmt.Sprintf("It waits for a worker of %s: it is number %d of %d in the queue, and %d of %d slots are taken.", s.Stage, f.position, f.counts.Ready, f.counts.Slots, f.slots)
	case f.position > 0:
		return fmt.Sprintf("It waits for a worker of %s: it is number %d of %d in the queue.", s.Stage, f.position, f.counts.Ready)
	case f.record(s.Stage) != nil || s.Manifest.Name != "" && s.Progress.Percent >= 100:
		return fmt.Sprintf("%s is done, and the event that starts the next stage is on its way.", s.Stage)
	case s.Progress.Step != "":
		return fmt.Sprintf("A worker is at %s, attempt %d: %s, %.0f %%.", s.Stage, s.Attempt, s.Progress.Step, s.Progress.Percent)
	}
	return fmt.Sprintf("A worker is at %s, attempt %d.", s.Stage, s.Attempt)
}

func (f *facts) failure() *pipeline.Failure {
	if f.state != nil {
		return f.state.Failure
	}
	if f.outcome != nil {
		return f.outcome.Failure
	}
	return nil
}

func stageName(s pipeline.Stage) string {
	if s == "" {
		return "upload"
	}
	return string(s)
}
