// Package redistest runs a redis-server of a test's own: a child process on a unix socket in a temporary folder, and over TCP if
// asked, which a test may kill and start again. It skips the test when no redis-server is installed.
package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Server is a running redis-server.
type Server struct {
	Socket string // path of its unix socket
	Addr   string // host and port, of one that StartTCP started
	Dir    string // where its append-only file is

	t    testing.TB
	bin  string
	args []string
	cmd  *exec.Cmd
}

// Start runs a server until the test ends. args are added to its command line, for instance "--appendonly", "yes".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	bin, err := lookPath()
	if err != nil {
		t.Skip("needs redis-server or valkey-server in the PATH (Debian: apt-get install redis-server): " + err.Error())
	}
	// A socket's path may have no more than about 100 bytes, so t.TempDir, which repeats the test's name, will not do.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Socket: filepath.Join(dir, "s"), Dir: dir, t: t, bin: bin, args: args}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	s.Run()
	return s
}

// StartTCP is Start for a server that listens on a free port of this machine, too.
func StartTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	s := Start(t, append([]string{"--port", strconv.Itoa(addr.Port)}, args...)...)
	s.Addr = addr.String()
	return s
}

// ServerVariable names an environment variable with the server to test against, where it is not the first of redis-server and
// valkey-server in the PATH.
const ServerVariable = "REDISQ_TEST_SERVER"

func lookPath() (string, error) {
	if bin := os.Getenv(ServerVariable); bin != "" {
		return exec.LookPath(bin)
	}
	if bin, err := exec.LookPath("redis-server"); err == nil {
		return bin, nil
	}
	return exec.LookPath("valkey-server")
}

// URL is what redisq.Connect takes: over TCP where StartTCP started the server.
func (s *Server) URL() string {
	if s.Addr != "" {
		return "redis://" + s.Addr
	}
	return "unix://" + s.Socket
}

// Run starts the server, again after Kill, and returns when it takes connections. It may still be loading its data then.
func (s *Server) Run() {
	s.t.Helper()
	args := append([]string{"--port", "0", "--unixsocket", s.Socket, "--dir", s.Dir, "--save", "", "--daemonize", "no",
		"--maxmemory-policy", "noeviction"}, s.args...)
	s.cmd = exec.Command(s.bin, args...)
	out, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", s.Socket)
		if err == nil {
			c.Close()
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	s.t.Fatal(fmt.Sprintf("redis-server does not answer; its log: %s", log))
}

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended before
	_ = s.cmd.Wait()         // "signal: killed" is what we want
	s.cmd = nil
	_ = os.Remove(s.Socket)
}
