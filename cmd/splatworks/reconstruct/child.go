package reconstruct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/splatworks/splatworks/infra/local/child"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/queue"
)

// ChildCommand is the argument that makes this program the process of one attempt: it calls Child.
const ChildCommand = "attempt"

// The process of an attempt calls its parent over a pair of sockets, whose end is this descriptor there: JSON-RPC, with the methods
// of parent. The other descriptor is the lock of the folder: while the process saves its state nobody else works in there.
const pipe, locked = 3, 4

const service = "Run"

// inChild attempts a stage in a process of its own, and is the queue to it.
func (r *Reconstruction) inChild(ctx context.Context, a Attempt, held queue.Lease) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("start %s: %w", a.Task.Stage, err)
	}
	process, printed, err := r.start(a, theirs)
	err = errors.Join(err, theirs.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", a.Task.Stage, err), ours.Close())
	}
	server := rpc.NewServer()
	if err := server.RegisterName(service, &parent{a, held}); err != nil {
		return errors.Join(err, ours.Close(), process.End(0))
	}
	served := make(chan struct{})
	go func() { defer close(served); server.ServeCodec(jsonrpc.NewServerCodec(ours)) }()
	select {
	case <-process.Done():
	case <-ctx.Done():
		if err := process.End(grace + time.Second); err != nil {
			r.Log.Warn("stage stopped", "stage", a.Task.Stage, "error", err.Error())
		}
	}
	<-served                                     // what it said last is heard
	if err := os.RemoveAll(r.work); err != nil { // what a stage that was killed left
		r.Log.Warn("work folder stays", "error", err.Error())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.settle(ctx, held, process.Err(), printed)
}

// start starts this program on an attempt. printed is where its output begins in Options.Output.
func (r *Reconstruction) start(a Attempt, socket *os.File) (process *child.Process, printed int64, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	output := r.Output
	if output == nil {
		output = os.Stderr
	}
	if info, err := output.Stat(); err == nil {
		printed = info.Size()
	}
	if err := os.MkdirAll(r.work, 0o700); err != nil {
		return nil, 0, err
	}
	cmd := exec.Command(program, ChildCommand)
	cmd.Env = append(os.Environ(), "TMPDIR="+r.work)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, []*os.File{socket, r.lock}
	process, err = child.Start(cmd)
	return process, printed, err
}

// socketPair is two ends of one stream.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, end := range ends {
		syscall.CloseOnExec(end)
	}
	mine := os.NewFile(uintptr(ends[0]), "run")
	defer mine.Close() // net.FileConn has its own
	theirs = os.NewFile(uintptr(ends[1]), ChildCommand)
	if ours, err = net.FileConn(mine); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// settle gives the queue the failure of an attempt whose process ended without an outcome. With an outcome the lease is over.
func (r *Reconstruction) settle(ctx context.Context, held queue.Lease, exit error, printed int64) error {
	f := died(held.Task().Stage, exit, held.LastFailure(), r.printedSince(printed))
	_, err := held.Fail(ctx, f)
	if errors.Is(err, queue.ErrLeaseLost) {
		return nil
	}
	if err == nil {
		r.Log.Warn("stage died", "stage", f.Stage, "code", f.Code, "error", f.Error())
	}
	return err
}

// printedSince is the end of what was printed since a place, for a look at why a process died.
func (r *Reconstruction) printedSince(printed int64) []byte {
	const most = 64 << 10
	if r.Output == nil {
		return nil
	}
	info, err := r.Output.Stat()
	if err != nil {
		return nil
	}
	from := max(printed, info.Size()-most)
	f, err := os.Open(r.Output.Name())
	if err != nil {
		return nil
	}
	defer f.Close()
	text, _ := io.ReadAll(io.NewSectionReader(f, from, max(info.Size()-from, 0))) // what can be read of it
	return text
}

// stageDied is the code of a stage whose process ended without saying why.
const stageDied = "worker_lost"

// died says what a process that ended without an outcome is taken for. The Go runtime says when memory ran out. The kernel says
// nothing and kills; so may anybody, so it is believed the second time.
func died(s pipeline.Stage, exit error, before *pipeline.Failure, printed []byte) *pipeline.Failure {
	why := "exit status 0"
	if exit != nil {
		why = exit.Error()
	}
	var ended *exec.ExitError
	killed := false
	if errors.As(exit, &ended) {
		status, ok := ended.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	again := before != nil && (before.Code == stageDied || before.Code == pipeline.OutOfMemory)
	if killed && again || bytes.Contains(printed, []byte("out of memory")) || bytes.Contains(printed, []byte("cannot allocate memory")) {
		return &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: pipeline.OutOfMemory, Stage: s, Err: exit,
			Message: fmt.Sprintf("The memory of the machine did not suffice: the process of this stage died (%s).", why),
			Advice:  "Use fewer images (--max-images) or smaller ones (--long-edge), close other programs, or use a machine with more memory."}
	}
	return &pipeline.Failure{Kind: pipeline.Transient, Code: stageDied, Stage: s, Err: exit,
		Message: fmt.Sprintf("The process of this stage died without reporting why (%s).", why),
		Advice:  "The same command continues from the last finished stage. If it dies again, look at the end of splatworks.log."}
}

// parent is what the process of an attempt may call: its lease.
type parent struct {
	attempt Attempt
	lease   queue.Lease
}

type nothing = struct{}

func (p *parent) Attempt(_ nothing, a *Attempt) error { *a = p.attempt; return nil }

func (p *parent) Heartbeat(progress pipeline.Progress, _ *nothing) error {
	return p.lease.Heartbeat(context.Background(), progress)
}

func (p *parent) Saved(nothing, *nothing) error { return p.lease.Saved(context.Background()) }

func (p *parent) Complete(manifest pipeline.Object, _ *nothing) error {
	return p.lease.Complete(context.Background(), manifest)
}

func (p *parent) Fail(f pipeline.Failure, retry *bool) (err error) {
	*retry, err = p.lease.Fail(context.Background(), &f)
	return err
}

func (p *parent) GiveBack(nothing, *nothing) error { return p.lease.GiveBack(context.Background()) }

// Child is the process of an attempt, from its start to its end.
func Child(ctx context.Context, define func(pipeline.Stage) (stage.Definition, error), log *slog.Logger) error {
	syscall.CloseOnExec(pipe) // the stage's tools have no part in them
	syscall.CloseOnExec(locked)
	socket := os.NewFile(pipe, ChildCommand)
	conn, err := net.FileConn(socket)
	if err := errors.Join(err, socket.Close()); err != nil {
		return fmt.Errorf("this command is started by 'splatworks run' alone: %w", err)
	}
	client := jsonrpc.NewClient(conn)
	defer client.Close()
	var a Attempt
	if err := client.Call(service+".Attempt", nothing{}, &a); err != nil {
		return fmt.Errorf("ask for the attempt: %w", err)
	}
	return work(ctx, a, remote{client}, define, log)
}

// remote is the outcome of an attempt, said to the parent.
type remote struct{ client *rpc.Client }

func (r remote) call(method string, argument, reply any) error {
	err := r.client.Call(service+"."+method, argument, reply)
	var refused rpc.ServerError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused): // the parent is gone
		return fmt.Errorf("%w: %w", queue.ErrLeaseLost, err)
	}
	for _, known := range []error{queue.ErrLeaseLost, queue.ErrCanceled} {
		if string(refused) == known.Error() {
			return known
		}
	}
	return err
}

func (r remote) Heartbeat(_ context.Context, p pipeline.Progress) error {
	return r.call("Heartbeat", p, &nothing{})
}

func (r remote) Saved(context.Context) error { return r.call("Saved", nothing{}, &nothing{}) }

func (r remote) Complete(_ context.Context, manifest pipeline.Object) error {
	return r.call("Complete", manifest, &nothing{})
}

func (r remote) Fail(_ context.Context, f *pipeline.Failure) (retry bool, err error) {
	err = r.call("Fail", f, &retry)
	return retry, err
}

func (r remote) GiveBack(context.Context) error { return r.call("GiveBack", nothing{}, &nothing{}) }
