package stage

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/tool"
	"github.com/splatworks/splatworks/queue"
)

// journal is what an attempt leaves about how it went, whatever comes of it. It is the tool.Watcher of the attempt.
type journal struct {
	artifacts.Attempt
	task queue.Task

	mu       sync.Mutex
	programs []artifacts.ProgramTime
	largest  int64 // resident set of any program, in bytes
	log      tail
}

func (w *Worker) journalOf(lease queue.Lease) *journal {
	a := &journal{task: lease.Task()}
	a.Attempt = artifacts.Attempt{Attempt: lease.Attempt(), Fence: lease.Fence(), WorkerAt: w.since, ClaimedAt: w.Now()}
	return a
}

// Printed implements tool.Watcher.
func (a *journal) Printed(program, line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.log.add(program + ": " + line)
}

// Ended implements tool.Watcher.
func (a *journal) Ended(program string, u tool.Usage, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.programs, func(p artifacts.ProgramTime) bool { return p.Name == program })
	if i < 0 {
		i, a.programs = len(a.programs), append(a.programs, artifacts.ProgramTime{Name: program})
	}
	a.largest = max(a.largest, u.MaxRSSBytes)
	p := &a.programs[i]
	p.Runs++
	p.WallS += u.Wall.Seconds()
	p.CPUS += u.CPU.Seconds()
}

func (a *journal) programTimes() []artifacts.ProgramTime {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.programs)
}

func (a *journal) largestProgram() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.largest
}

// tail keeps the last lines of a text, at most artifacts.MaxLogBytes of it.
type tail struct {
	lines []string
	bytes int
}

// maxLogLine is where a line is cut: a program's progress display may be one long line.
const maxLogLine = 1000

func (t *tail) add(line string) {
	if len(line) > maxLogLine {
		line = strings.ToValidUTF8(line[:maxLogLine], "")
	}
	t.lines = append(t.lines, line)
	t.bytes += len(line) + 1
	for t.bytes > artifacts.MaxLogBytes {
		t.bytes -= len(t.lines[0]) + 1
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }

// leaveTime bounds the write of an attempt's report: the lease is running, and a worker that stops has seconds.
const leaveTime = 2 * time.Second

// maxCause bounds what is kept of an error's own words: a panic's hold a stack.
const maxCause = 8 << 10

// leave writes the report of an attempt, before the queue hears how it ended. What cannot be written is missed by operators only.
func (w *Worker) leave(ctx context.Context, a *journal, cause error, stopping bool, log *slog.Logger) {
	if ctx.Err() != nil && !stopping {
		return // abandoned, as Run promises
	}
	a.FinishedAt = w.Now()
	a.CostUSD = a.FinishedAt.Sub(a.ClaimedAt).Seconds() * w.USDPerS
	a.Programs = a.programTimes()
	a.Outcome = artifacts.Finished
	report := artifacts.AttemptReport{Stage: a.task.Stage, Worker: w.ID, Log: a.log.String()}
	switch {
	case cause == nil && report.Log == "":
		return // the manifest says all of it
	case cause == nil:
	case errors.Is(cause, queue.ErrLeaseLost) || errors.Is(cause, queue.ErrCanceled):
		a.Outcome = artifacts.Dropped
	case released(cause, stopping):
		a.Outcome = artifacts.Released
	default:
		a.Outcome = artifacts.Failed
		report.Failure = w.failureOf(cause, a.task.Stage)
		report.Cause = cause.Error()
		report.Cause = strings.ToValidUTF8(report.Cause[:min(len(report.Cause), maxCause)], "")
		a.Kind, a.Code = report.Failure.Kind, report.Failure.Code
	}
	report.Attempt = a.Attempt
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := artifacts.WriteAttempt(ctx, w.Store, w.Buckets, a.task.RequestID, report); err != nil {
		log.WarnContext(ctx, "report of the attempt not written", "error", err.Error())
	}
}

// released says whether an attempt ended because its worker has to stop.
func released(cause error, stopping bool) bool {
	return errors.Is(cause, ErrStopped) || stopping && errors.Is(cause, context.Canceled)
}

// earlierTime bounds the look for earlier attempts: the lease is running.
const earlierTime = 5 * time.Second

// earlier lists the attempts of a task that left no manifest. Without it the work continues.
func (w *Worker) earlier(ctx context.Context, t queue.Task) (earlier []artifacts.Attempt) {
	look, cancel := context.WithTimeout(ctx, earlierTime)
	defer cancel()
	reports, err := artifacts.ReadAttempts(look, w.Store, w.Buckets, artifacts.StagePrefix(t.RequestID, t.Stage))
	if err != nil {
		w.Log.WarnContext(ctx, "earlier attempts not read", "request_id", t.RequestID, "stage", t.Stage, "error", err.Error())
	}
	for _, r := range reports {
		earlier = append(earlier, r.Attempt)
	}
	return earlier
}
