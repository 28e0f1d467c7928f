// Package tool runs one native program and nothing else: in its own process group, with both pipes drained, killed as a
// whole when the caller cancels, and with its last words kept for the error.
//
// engines/frames drives ffmpeg through it, engines/colmap COLMAP. It knows neither of them: options, output formats and
// what a failure means stand there.
package tool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultGrace is how long a program may take to end after SIGTERM before it is killed. COLMAP has been seen to ignore
// SIGTERM for minutes inside a matching block; Cloud Run leaves 10 s in all.
const DefaultGrace = 3 * time.Second

// tailLines is how many of the last lines on standard error an Error keeps.
const tailLines = 20

// Command is one run of a program.
type Command struct {
	// Path is the program: a file, or a name that is looked up in PATH.
	Path string
	Args []string
	// Name is what a [Watcher] calls the program; empty is the base of Path.
	Name string
	// Dir is the working folder; empty is the caller's.
	Dir string
	// Env is added to the caller's environment.
	Env []string
	// Stdin is what the program reads; nil is an empty input. A Read must not block for long: the run ends only after
	// the last one has returned.
	Stdin io.Reader
	// Timeout ends the run after that long; 0 leaves it to the context.
	Timeout time.Duration
	// MaxMemoryBytes bounds the memory that the program may reserve for data; beyond it, its allocations fail. 0 is no
	// bound. Linux only.
	MaxMemoryBytes int64
	// Grace is the time between SIGTERM and SIGKILL; 0 is DefaultGrace, negative kills at once.
	Grace time.Duration
	// OnStdout and OnStderr receive each line without its end. Carriage returns end lines too, since progress displays
	// use them. Never called concurrently. A callback that blocks holds the program up.
	OnStdout, OnStderr func(line string)
}

// Usage is what a run cost.
type Usage struct {
	Wall        time.Duration
	CPU         time.Duration // user and system time of the program and the children it waited for
	MaxRSSBytes int64         // largest resident set of any one of them
}

// Stop is returned by the reader of [Stream] when it has seen enough: the program is ended and the run is no failure.
var Stop = errors.New("enough was read")

// Run runs a program to its end. The error is an [*Error]; Usage is valid with it too, unless the program never started.
func Run(ctx context.Context, c Command) (Usage, error) {
	return run(ctx, c, func(stdout io.Reader, call func(func(string), string)) error {
		scanLines(stdout, func(line string) { call(c.OnStdout, line) })
		return nil
	})
}

// Stream runs a program and hands its standard output to read, which runs concurrently with the program. What read
// leaves unread is discarded. When read fails the program is ended and that failure is returned as it is; [Stop] ends it
// without one. c.OnStdout is not used.
func Stream(ctx context.Context, c Command, read func(stdout io.Reader) error) (Usage, error) {
	return run(ctx, c, func(stdout io.Reader, _ func(func(string), string)) error { return read(stdout) })
}

func run(ctx context.Context, c Command, consume func(stdout io.Reader, call func(func(string), string)) error) (u Usage, err error) {
	if err := ctx.Err(); err != nil {
		return Usage{}, &Error{Program: c.Path, Cause: err}
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	child, err := start(c)
	if err != nil {
		return Usage{}, &Error{Program: c.Path, Cause: err}
	}
	c.Name = cmp.Or(c.Name, filepath.Base(c.Path))
	watcher := watcherOf(ctx)
	defer func() { watcher.Ended(c.Name, u, err) }()
	out := child.drain(c, consume, stop, watcher)
	outcome := child.wait(ctx, graceOf(c))
	child.expirePipes()
	out.readers.Wait()
	child.closePipes()

	cause := context.Cause(ctx)
	switch {
	case out.readErr != nil && errors.Is(out.readErr, Stop):
		return outcome.usage, nil
	case out.readErr != nil && errors.Is(cause, out.readErr):
		return outcome.usage, out.readErr
	case outcome.exitCode == 0 && outcome.signal == 0 && outcome.err == nil:
		// It finished its work, perhaps in the moment of the cancellation: the run is a success if the reader's is.
		return outcome.usage, out.readErr
	}
	e := &Error{Program: c.Path, ExitCode: outcome.exitCode, Signal: outcome.signal, Tail: out.tail.lines(), Cause: outcome.err}
	if cause != nil {
		e.Cause = cause
	}
	return outcome.usage, e
}

// output is what the pipes of a program are read into. The fields are complete when readers has ended.
type output struct {
	readers sync.WaitGroup
	calls   sync.Mutex // callbacks are never called concurrently
	tail    lastLines  // of standard error
	readErr error      // of the reader of standard output
}

func (o *output) call(callback func(string), line string) {
	if callback != nil {
		o.calls.Lock()
		defer o.calls.Unlock()
		callback(line)
	}
}

// drain reads both pipes to their ends. A failure of consume, which reads standard output, stops the program.
func (p *process) drain(c Command, consume func(stdout io.Reader, call func(func(string), string)) error, stop context.CancelCauseFunc, watcher Watcher) *output {
	o := new(output)
	o.readers.Go(func() {
		scanLines(p.stderr, func(line string) {
			o.tail.add(line)
			watcher.Printed(c.Name, line)
			o.call(c.OnStderr, line)
		})
	})
	o.readers.Go(func() {
		// A reader that only saw the output end leaves the cause to the program.
		if o.readErr = consume(p.stdout, o.call); o.readErr != nil && !outputEnded(o.readErr) {
			stop(o.readErr)
		}
		// A full pipe would block the program for ever.
		_, _ = io.Copy(io.Discard, p.stdout)
	})
	return o
}

// wait waits for the program's end, which it brings about when ctx ends: with SIGTERM, and SIGKILL after a time of grace.
func (p *process) wait(ctx context.Context, grace time.Duration) outcome {
	ended := make(chan struct{})
	killer := make(chan struct{})
	go func() {
		defer close(killer)
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		if grace > 0 {
			p.signalGroup(syscall.SIGTERM)
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case <-ended:
				return
			case <-timer.C:
			}
		}
		p.signalGroup(syscall.SIGKILL)
	}()
	outcome := <-p.outcome
	close(ended)
	<-killer
	// A grandchild that the program left behind would hold the pipes open, and the machine.
	p.signalGroup(syscall.SIGKILL)
	return outcome
}

// outputEnded recognises a reader's failure that says no more than that the output ended early.
func outputEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func graceOf(c Command) time.Duration {
	if c.Grace == 0 {
		return DefaultGrace
	}
	return c.Grace
}

// process is a started program.
type process struct {
	group          int // process group = process id of the program
	stdout, stderr *os.File
	outcome        chan outcome
}

type outcome struct {
	exitCode int
	signal   syscall.Signal
	usage    Usage
	err      error // the program could not be waited for
}

// start starts the program and a goroutine that waits for it.
func start(c Command) (*process, error) {
	path, err := exec.LookPath(c.Path)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, c.Args...)
	cmd.Dir = c.Dir
	if len(c.Env) > 0 {
		cmd.Env = append(os.Environ(), c.Env...)
	}
	cmd.Stdin = c.Stdin
	cmd.SysProcAttr = processAttributes()
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stderr, stderrWriter, err := os.Pipe()
	if err != nil {
		_ = stdout.Close()
		_ = stdoutWriter.Close()
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = stdoutWriter, stderrWriter

	child := &process{stdout: stdout, stderr: stderr, outcome: make(chan outcome, 1)}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that started the child ends: it must not, before
		// the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		begin := time.Now()
		err := cmd.Start()
		if err == nil && c.MaxMemoryBytes > 0 {
			limitMemory(cmd.Process.Pid, c.MaxMemoryBytes)
		}
		_ = stdoutWriter.Close()
		_ = stderrWriter.Close()
		started <- err
		if err != nil {
			return
		}
		child.outcome <- wait(cmd, begin)
	}()
	if err := <-started; err != nil {
		child.closePipes()
		return nil, err
	}
	child.group = cmd.Process.Pid
	return child, nil
}

func wait(cmd *exec.Cmd, begin time.Time) outcome {
	err := cmd.Wait()
	o := outcome{usage: Usage{Wall: time.Since(begin)}}
	state := cmd.ProcessState
	if state == nil {
		o.err = err
		return o
	}
	o.exitCode = state.ExitCode()
	o.usage.CPU = state.UserTime() + state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		o.usage.MaxRSSBytes = int64(usage.Maxrss) * maxRSSUnit
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		o.signal = status.Signal()
	}
	return o
}

// signalGroup signals the program and everything it started. The group may be gone already.
func (p *process) signalGroup(signal syscall.Signal) { _ = syscall.Kill(-p.group, signal) }

// expirePipes ends reads that would wait for a process that escaped the group; what is already in the pipes is still
// read first when that takes less than a second.
func (p *process) expirePipes() {
	deadline := time.Now().Add(time.Second)
	_ = p.stdout.SetReadDeadline(deadline)
	_ = p.stderr.SetReadDeadline(deadline)
}

func (p *process) closePipes() {
	_ = p.stdout.Close()
	_ = p.stderr.Close()
}

// Error says how a run ended that did not succeed. Unwrap gives the context's error after a cancellation or a timeout,
// and exec.ErrNotFound or the system's error when the program could not be started.
type Error struct {
	Program  string
	ExitCode int            // -1 after a signal
	Signal   syscall.Signal // 0 unless a signal ended it; SIGKILL without a cancellation usually means out of memory
	Tail     []string       // the last lines on standard error
	Cause    error
}

func (e *Error) Unwrap() error { return e.Cause }

// fullDisk is how programs report ENOSPC: by the text of the C library, or of SQLite in COLMAP.
var fullDisk = []string{"No space left on device", "Disk quota exceeded", "database or disk is full"}

// SaysFullDisk says whether a line that a program printed complains of a full disk.
func SaysFullDisk(line string) bool {
	return slices.ContainsFunc(fullDisk, func(text string) bool { return strings.Contains(line, text) })
}

// Is reports what the machine lacked: syscall.ENOSPC when the last lines of the program complain of a full disk, and
// syscall.ENOMEM when it was killed without a cancellation, as the kernel does when memory runs out.
func (e *Error) Is(target error) bool {
	switch target {
	case syscall.ENOSPC:
		return slices.ContainsFunc(e.Tail, SaysFullDisk)
	case syscall.ENOMEM:
		return e.Signal == syscall.SIGKILL && e.Cause == nil
	}
	return false
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Program)
	switch {
	case errors.Is(e.Cause, context.DeadlineExceeded):
		b.WriteString(": did not finish in time and was ended")
	case errors.Is(e.Cause, context.Canceled):
		b.WriteString(": was canceled")
	case e.Cause != nil:
		fmt.Fprintf(&b, ": %v", e.Cause)
	case e.Signal != 0:
		fmt.Fprintf(&b, ": was ended by signal %d (%v)", int(e.Signal), e.Signal)
	default:
		fmt.Fprintf(&b, ": exit status %d", e.ExitCode)
	}
	if len(e.Tail) > 0 {
		b.WriteString("; last output: ")
		b.WriteString(e.Tail[len(e.Tail)-1])
	}
	return b.String()
}
