// Package redis runs the redis-server that holds the queue on a laptop: one child process on a unix socket in the data
// folder, with an append-only file, started again when it dies. It speaks no more Redis than it needs to know that the
// server is ready; clients use their own library on Addr.
package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/splatworks/splatworks/infra/local/child"
	"github.com/splatworks/splatworks/infra/local/socket"
)

// Options of a Server.
type Options struct {
	Path      string       // of the program; "redis-server" in PATH when empty
	Restarted func()       // called when a server that died answers again; may be nil
	Log       *slog.Logger // silent when nil
}

// Server is a running redis-server and what keeps it running.
type Server struct {
	dir    string
	socket string
	path   string
	log    *slog.Logger
	again  func()
	stop   context.CancelFunc
	ended  chan struct{}

	removeSocket func() error

	mu       sync.Mutex
	child    *child.Process
	restarts int
	refused  string // where data went that no server would load
}

const (
	loadTimeout = 60 * time.Second // 408 k keys took 7 s
	stopTimeout = 15 * time.Second
	poll        = 10 * time.Millisecond
	restartMin  = 100 * time.Millisecond
	restartMax  = 10 * time.Second
)

// Start brings up the server with its data in dir and returns when it answers. One that a crashed process left behind is
// ended first: a lock that the server itself holds shows it.
func Start(ctx context.Context, dir string, o Options) (*Server, error) {
	if o.Path == "" {
		o.Path = "redis-server"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	path, err := exec.LookPath(o.Path)
	if err != nil {
		return nil, fmt.Errorf("find redis-server: %w; install the package redis-server", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if o.Restarted == nil {
		o.Restarted = func() {}
	}
	s := &Server{dir: dir, path: path, log: o.Log, again: o.Restarted, ended: make(chan struct{})}
	if s.socket, s.removeSocket, err = socket.Place(dir, "redis.sock"); err != nil {
		return nil, err
	}
	c, err := s.bringUp(ctx)
	if err != nil {
		return nil, errors.Join(err, s.removeSocket())
	}
	s.child = c
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.supervise(runCtx)
	return s, nil
}

// Addr is the path of the unix socket.
func (s *Server) Addr() string { return s.socket }

// errEnded reports a server that ended of its own accord instead of answering.
var errEnded = errors.New("redis-server ended at once")

// dataFolder is where the server keeps its append-only file.
const dataFolder = "appendonlydir"

// bringUp launches the server on its data. One that ends of its own accord, and does not when its data is away, will not load
// that data, which a loss of power or a newer version made: it is kept aside, and the server begins empty.
func (s *Server) bringUp(ctx context.Context) (*child.Process, error) {
	c, err := s.launch(ctx)
	data := filepath.Join(s.dir, dataFolder)
	if !errors.Is(err, errEnded) {
		return c, err
	}
	if _, missing := os.Stat(data); missing != nil {
		return c, err
	}
	aside, asideErr := os.MkdirTemp(s.dir, "refused-")
	if asideErr == nil {
		asideErr = os.Rename(data, filepath.Join(aside, dataFolder))
	}
	if asideErr != nil {
		return nil, errors.Join(err, asideErr)
	}
	c, again := s.launch(ctx)
	if again != nil { // the data was not the reason
		return nil, errors.Join(err, os.RemoveAll(data), os.Rename(filepath.Join(aside, dataFolder), data), os.Remove(aside))
	}
	s.log.Error("redis: the server does not load its data, which was moved aside; it begins empty", "moved_to", aside, "log", s.logPath(), "error", err.Error())
	s.mu.Lock()
	s.refused = aside
	s.mu.Unlock()
	return c, nil
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "redis.log") }

// launch starts the server and waits until it answers.
func (s *Server) launch(ctx context.Context) (*child.Process, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child has its own: the lock ends with the last of them
	logFile, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of redis-server: %w", err)
	}
	defer logFile.Close()
	cmd := exec.Command(s.path, "--port", "0", "--unixsocket", s.socket, "--unixsocketperm", "700", "--dir", s.dir,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--daemonize", "no", "--pidfile", "", "--logfile", "")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{lock}
	c, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	if err := s.ready(ctx, c); err != nil {
		return nil, errors.Join(err, c.End(stopTimeout))
	}
	return c, nil
}

// lock takes the lock that a running server holds; one that is still there is asked to go.
func (s *Server) lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "redis.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of redis-server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for asked := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock redis folder: %w", err), f.Close())
		}
		if !asked {
			s.log.Warn("redis: ending a server that an earlier run left", "socket", s.socket)
			_, err := s.command(ctx, "SHUTDOWN NOSAVE")
			asked = err == nil || errors.Is(err, errGone)
		}
		if err := sleep(ctx, poll); err != nil {
			return nil, errors.Join(fmt.Errorf("another redis-server still uses %s: %w", s.dir, err), f.Close())
		}
	}
}

// ready waits until the server answers and has loaded its data.
func (s *Server) ready(ctx context.Context, c *child.Process) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	for {
		answer, err := s.command(ctx, "PING")
		if err == nil && answer == "+PONG" {
			return nil
		}
		select {
		case <-c.Done():
			var exit *exec.ExitError
			if errors.As(c.Err(), &exit) && exit.Exited() {
				return fmt.Errorf("%w (%v): see %s", errEnded, c.Err(), s.logPath())
			}
			return fmt.Errorf("redis-server was ended (%v): see %s", c.Err(), s.logPath())
		default:
		}
		if err := sleep(ctx, poll); err != nil {
			return fmt.Errorf("wait for redis-server (last answer %q): %w; see %s", answer, err, s.logPath())
		}
	}
}

var errGone = errors.New("the server closed the connection")

// command sends one inline command and returns the first line of the answer.
func (s *Server) command(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", errors.Join(errGone, err)
	}
	return strings.TrimSpace(answer), nil
}

// supervise starts the server again when it dies, more and more slowly while it does not stay.
func (s *Server) supervise(ctx context.Context) {
	defer close(s.ended)
	wait := restartMin
	for {
		s.mu.Lock()
		c := s.child
		s.mu.Unlock()
		begin := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-c.Done():
		}
		if time.Since(begin) > restartMax {
			wait = restartMin
		}
		s.log.Error("redis: server died", "error", c.Err(), "again_in", wait)
		for {
			if sleep(ctx, wait) != nil {
				return
			}
			wait = min(2*wait, restartMax)
			next, err := s.bringUp(ctx)
			if err == nil {
				s.mu.Lock()
				s.child = next
				s.restarts++
				s.mu.Unlock()
				s.again()
				break
			}
			if ctx.Err() != nil {
				return
			}
			s.log.Error("redis: server does not start", "error", err, "again_in", wait)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Close ends the server gracefully: what it accepted is on disk.
func (s *Server) Close() error {
	s.stop()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.child.End(stopTimeout), s.removeSocket())
}
