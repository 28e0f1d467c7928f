package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/splatworks/splatworks/pipeline"
)

// ErrFull reports that as many workers run as the launcher allows.
var ErrFull = errors.New("local: as many workers run as are allowed")

// errClosed reports a launch after Close.
var errClosed = errors.New("local: the launcher is closed")

// Launcher starts workers as child processes: what "run this job" is on Google Cloud. It starts each once; a worker that
// dies is the queue's business.
type Launcher struct {
	Program string                                // os.Executable when empty
	Args    func(stage pipeline.Stage) []string   // worker --stage STAGE when nil
	Env     []string                              // added to the environment of this process
	LogDir  string                                // STAGE.log in it gets what a worker prints
	Limit   int                                   // workers at a time; 0: no limit
	Grace   time.Duration                         // between SIGTERM and SIGKILL when closing; 10 s, as on Cloud Run
	Exited  func(stage pipeline.Stage, err error) // told when a worker ended; may be nil
	Log     *slog.Logger                          // silent when nil

	mu      sync.Mutex
	closed  bool
	running map[int]chan struct{} // by process id
	wg      sync.WaitGroup
}

const defaultGrace = 10 * time.Second

// Launch starts a worker and returns at once. It fails with ErrFull when there are enough.
func (l *Launcher) Launch(ctx context.Context, stage pipeline.Stage) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errClosed
	case l.Limit > 0 && len(l.running) >= l.Limit:
		return ErrFull
	}
	cmd, logFile, err := l.command(stage)
	if err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	defer logFile.Close() // the child has its own
	done := make(chan struct{})
	started := make(chan error)
	l.wg.Go(func() {
		// The kernel sends the parent-death signal when the thread that started the child ends: keep it till then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			l.await(stage, cmd, done)
		}
	})
	if err := <-started; err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	if l.running == nil {
		l.running = map[int]chan struct{}{}
	}
	l.running[cmd.Process.Pid] = done
	return nil
}

func (l *Launcher) command(stage pipeline.Stage) (*exec.Cmd, *os.File, error) {
	program := l.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	args := []string{"worker", "--stage", string(stage)}
	if l.Args != nil {
		args = l.Args(stage)
	}
	if err := os.MkdirAll(l.LogDir, 0o700); err != nil {
		return nil, nil, err
	}
	logFile, err := openLog(filepath.Join(l.LogDir, string(stage)+".log"))
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), l.Env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile // a file needs no draining
	cmd.SysProcAttr = workerAttributes()
	return cmd, logFile, nil
}

// maxLogBytes is how large a log may be before a new one is begun; one old one is kept.
const maxLogBytes = 16 << 20

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (l *Launcher) await(stage pipeline.Stage, cmd *exec.Cmd, done chan struct{}) {
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what the worker left behind; none is as good
	l.mu.Lock()
	delete(l.running, cmd.Process.Pid)
	l.mu.Unlock()
	close(done)
	if l.Log != nil {
		l.Log.Info("worker ended", "stage", stage, "error", err)
	}
	if l.Exited != nil {
		l.Exited(stage, err)
	}
}

// Running counts the workers.
func (l *Launcher) Running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.running)
}

// Close tells every worker to stop, waits for Grace, and kills what is left with everything it started.
func (l *Launcher) Close() error {
	l.mu.Lock()
	l.closed = true
	workers := make(map[int]chan struct{}, len(l.running))
	for pid, done := range l.running {
		workers[pid] = done
		_ = syscall.Kill(-pid, syscall.SIGTERM) // gone is as good
	}
	l.mu.Unlock()
	grace := l.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	killed := 0
	expired := false
	for pid, done := range workers {
		if !expired {
			select {
			case <-done:
				continue
			case <-timer.C:
				expired = true
			}
		}
		select {
		case <-done:
		default:
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			killed++
		}
	}
	l.wg.Wait()
	if killed > 0 {
		return fmt.Errorf("%d workers did not stop in %v and were killed", killed, grace)
	}
	return nil
}
