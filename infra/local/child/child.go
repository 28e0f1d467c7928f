// Package child starts long-lived child processes: each leads a process group of its own, so that a Ctrl-C in the
// terminal reaches it only through us, and on Linux gets SIGTERM when this process dies without a chance to send it.
// engines/tool is for programs that run to their end; this is for those that run until they are stopped.
package child

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a started child.
type Process struct {
	Pid  int
	done chan struct{}
	err  error
}

// Start starts cmd, which must have files for its output: nothing drains pipes here.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = attributes()
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that started the child ends: keep it till then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind; none is as good
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.Pid = cmd.Process.Pid
	return p, nil
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the child ended (see exec.Cmd.Wait), after Done.
func (p *Process) Err() error { return p.err }

// Terminate asks the child and everything it started to end.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// signal goes to the whole group while its leader was not waited for, so that the id cannot be another's.
func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.Pid, s) // gone is as good
	}
}

// End asks the child to end, kills it with everything it started when it has not after the grace, and waits for it. The
// error says that it had to be killed.
func (p *Process) End(grace time.Duration) error {
	p.Terminate()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	return fmt.Errorf("process %d did not end in %v and was killed", p.Pid, grace)
}
