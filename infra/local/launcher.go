package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/infra/local/child"
	"github.com/splatworks/splatworks/pipeline"
)

// errClosed reports a launch after Close.
var errClosed = errors.New("local: the launcher is closed")

// Launcher starts workers as child processes: what "run this job" is on Google Cloud. It starts each once; a worker that
// dies is the queue's business.
type Launcher struct {
	Program string        // os.Executable when empty
	Env     []string      // added to the environment of this process, as is WORKER_NAME
	LogDir  string        // STAGE.log in it gets what a worker prints
	WorkDir string        // every worker gets a folder in it, as WORK_DIR and TMPDIR, which goes when it ended; none when empty
	Grace   time.Duration // between SIGTERM and SIGKILL when closing; 10 s, as on Cloud Run
	Exited  func(End)     // called when a worker ended; may be nil
	Log     *slog.Logger  // silent when nil

	mu      sync.Mutex
	closed  bool
	running map[*child.Process]bool
	ended   sync.WaitGroup // what waits for them
}

// End is how a worker ended.
type End struct {
	Stage   pipeline.Stage
	Worker  string // its WORKER_NAME
	Err     error  // nil: in good order; else see exec.Cmd.Wait
	Words   string // what it printed last besides its log, see lastWords; often nothing
	Closing bool   // the launcher was closing and stopped it
}

const defaultGrace = 10 * time.Second

// Launch starts a worker and returns at once.
func (l *Launcher) Launch(ctx context.Context, stage pipeline.Stage) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	cmd, logFile, err := l.command(stage)
	if err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	defer logFile.Close() // the child has its own
	begin, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	name := string(stage) + "-" + rand.Text()[:13]
	cmd.Env = append(cmd.Env, "WORKER_NAME="+name)
	folder, err := l.folder(stage)
	if err != nil {
		return fmt.Errorf("launch %s worker: %w", stage, err)
	}
	if folder != "" {
		cmd.Env = append(cmd.Env, "WORK_DIR="+folder, "TMPDIR="+folder)
	}
	worker, err := child.Start(cmd)
	if err != nil {
		return errors.Join(fmt.Errorf("launch %s worker: %w", stage, err), os.RemoveAll(folder))
	}
	if l.running == nil {
		l.running = map[*child.Process]bool{}
	}
	l.running[worker] = true
	l.ended.Go(func() { l.await(End{Stage: stage, Worker: name}, worker, folder, logFile.Name(), begin) })
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
	if err := os.MkdirAll(l.LogDir, 0o700); err != nil {
		return nil, nil, err
	}
	logFile, err := openLog(filepath.Join(l.LogDir, string(stage)+".log"))
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(program, "worker", "--stage", string(stage))
	cmd.Env = append(os.Environ(), l.Env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile // a file needs no draining
	return cmd, logFile, nil
}

// folder makes a worker's own: one that is killed cannot clear up after itself.
func (l *Launcher) folder(stage pipeline.Stage) (string, error) {
	if l.WorkDir == "" {
		return "", nil
	}
	root, err := filepath.Abs(l.WorkDir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(root, string(stage)+"-")
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

// await waits for the end of a worker whose output begins somewhere in a log.
func (l *Launcher) await(e End, worker *child.Process, folder, log string, begin int64) {
	<-worker.Done()
	if e.Err = worker.Err(); e.Err != nil {
		e.Words = lastWords(log, begin)
	}
	if err := os.RemoveAll(folder); err != nil && l.Log != nil { // what the worker started may still be ending; the next start clears the rest
		l.Log.Warn("the folder of a worker that ended stays", "folder", folder, "error", err.Error())
	}
	l.mu.Lock()
	delete(l.running, worker)
	e.Closing = l.closed
	l.mu.Unlock()
	if l.Log != nil {
		l.Log.Info("worker ended", "stage", e.Stage, "worker", e.Worker, "error", e.Err, "words", e.Words)
	}
	if l.Exited != nil {
		l.Exited(e)
	}
}

// Close stops every worker, waits for Grace, and kills what is left with everything it started.
func (l *Launcher) Close() error {
	grace := l.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	l.mu.Lock()
	l.closed = true
	var ending errgroup.Group
	for worker := range l.running {
		ending.Go(func() error { return worker.End(grace) })
	}
	l.mu.Unlock()
	err := ending.Wait()
	l.ended.Wait()
	if err != nil {
		return fmt.Errorf("stop workers: %w", err)
	}
	return nil
}
