package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	client "github.com/redis/go-redis/v9"

	"github.com/splatworks/splatworks/infra/local/child/childtest"
)

// TestMain plays two parts when asked to: a program that runs a server and is killed, and a redis-server that is slow.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_RUN_REDIS"); dir != "" {
		s, err := Start(context.Background(), dir, Options{})
		if err != nil {
			panic(err)
		}
		fmt.Println(pid(s))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
		os.Exit(0)
	}
	if part := os.Getenv("TEST_FAKE_REDIS"); part != "" {
		fake(part)
	}
	os.Exit(m.Run())
}

// fake is a redis-server that says it is loading for a while, for ever, or ends at once.
func fake(part string) {
	if part == "ends" {
		fmt.Println("Bad directive")
		os.Exit(1)
	}
	var socket string
	for i, arg := range os.Args {
		if arg == "--unixsocket" {
			socket = os.Args[i+1]
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		panic(err)
	}
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			panic(err)
		}
		answer := "-LOADING Redis is loading the dataset in memory\r\n"
		if n >= 3 && part == "loads" {
			answer = "+PONG\r\n"
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			panic(err)
		}
		if err := conn.Close(); err != nil {
			panic(err)
		}
	}
}

func need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
}

func start(t *testing.T, dir string, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, s *Server) *client.Client {
	t.Helper()
	c := client.NewClient(&client.Options{Network: "unix", Addr: s.Addr(), DisableIdentity: true, MaxRetries: 10})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func set(t *testing.T, c *client.Client, value string) {
	t.Helper()
	if err := c.Set(t.Context(), "k", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, c *client.Client, value string) {
	t.Helper()
	if got, err := c.Get(t.Context(), "k").Result(); err != nil || got != value {
		t.Errorf("k is %q, %v; want %q", got, err, value)
	}
}

func TestConfigurationAndGracefulEnd(t *testing.T) {
	need(t)
	dir := t.TempDir()
	s := start(t, dir, Options{})
	c := dial(t, s)
	for key, value := range map[string]string{"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "port": "0", "save": ""} {
		if got, err := c.ConfigGet(t.Context(), key).Result(); err != nil || got[key] != value {
			t.Errorf("%s is %q, %v; want %q", key, got[key], err, value)
		}
	}
	set(t, c, "kept")
	stop(t, s)
	if _, err := os.Stat(s.Addr()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	s = start(t, dir, Options{})
	defer stop(t, s)
	want(t, dial(t, s), "kept")
}

func TestServerIsStartedAgain(t *testing.T) {
	need(t)
	again := make(chan struct{})
	s := start(t, t.TempDir(), Options{Restarted: func() { again <- struct{}{} }})
	defer stop(t, s)
	c := dial(t, s)
	for i := range 2 {
		value := fmt.Sprint(i)
		set(t, c, value)
		before := pid(s)
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-again
		if pid(s) == before || restarts(s) != i+1 {
			t.Errorf("pid %d, before %d, restarts %d", pid(s), before, restarts(s))
		}
		want(t, c, value)
	}
}

func TestServerEndsWithItsProgram(t *testing.T) {
	need(t)
	dir := t.TempDir()
	program := childtest.Start(t, "TEST_RUN_REDIS="+dir)
	set(t, dial(t, &Server{socket: filepath.Join(dir, "redis.sock")}), "from the killed program")
	program.Kill()
	s := start(t, dir, Options{})
	defer stop(t, s)
	want(t, dial(t, s), "from the killed program")
	if old := program.Said; old == fmt.Sprint(pid(s)) {
		t.Errorf("pid %s is still the old server", old)
	}
}

func TestServerThatWasLeftIsEnded(t *testing.T) {
	need(t)
	dir := t.TempDir()
	left := start(t, dir, Options{})
	set(t, dial(t, left), "kept")
	left.stop() // nobody looks after it any more: as after a crash on a system without a parent-death signal
	<-left.ended
	s := start(t, dir, Options{})
	defer stop(t, s)
	<-left.child.Done()
	want(t, dial(t, s), "kept")
}

// damage is what makes a server refuse its data.
var damage = map[string]func(dir string) error{
	"zeros at the end, as after a loss of power": func(dir string) error {
		files, err := filepath.Glob(filepath.Join(dir, dataFolder, "*.incr.aof"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("append-only files %v, %v", files, err)
		}
		body, err := os.ReadFile(files[0])
		if err != nil {
			return err
		}
		return os.WriteFile(files[0], append(body, make([]byte, 4096)...), 0o600)
	},
	"a manifest of garbage": func(dir string) error {
		return os.WriteFile(filepath.Join(dir, dataFolder, "appendonly.aof.manifest"), []byte("xx\n"), 0o600)
	},
	"a base file of another program": func(dir string) error {
		files, err := filepath.Glob(filepath.Join(dir, dataFolder, "*.base.*"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("base files %v, %v", files, err)
		}
		return os.WriteFile(files[0], []byte("no dump at all"), 0o600)
	},
}

func TestDataThatIsRefusedIsMovedAside(t *testing.T) {
	need(t)
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, dir, Options{})
			set(t, dial(t, s), "lost to the server")
			if refused(s) != "" {
				t.Errorf("sound data was moved to %s", refused(s))
			}
			stop(t, s)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			s = start(t, dir, Options{})
			if n, err := dial(t, s).DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Errorf("%d keys, %v", n, err)
			}
			if kept, err := filepath.Glob(filepath.Join(refused(s), dataFolder, "*")); err != nil || len(kept) < 2 || filepath.Dir(refused(s)) != dir {
				t.Errorf("moved to %q: %v, %v", refused(s), kept, err)
			}
			set(t, dial(t, s), "new")
			stop(t, s)
			s = start(t, dir, Options{})
			defer stop(t, s)
			want(t, dial(t, s), "new")
			if refused(s) != "" {
				t.Errorf("sound data was moved to %s", refused(s))
			}
		})
	}
}

func TestDataThatIsNotAtFaultStays(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, dataFolder, "appendonly.aof.manifest")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_FAKE_REDIS", "ends")
	if _, err := Start(t.Context(), dir, Options{Path: os.Args[0]}); !errors.Is(err, errEnded) {
		t.Errorf("a server that ends at once: %v", err)
	}
	if body, err := os.ReadFile(file); err != nil || string(body) != "data" {
		t.Errorf("the data is %q, %v", body, err)
	}
	if aside, err := filepath.Glob(filepath.Join(dir, "refused-*")); err != nil || len(aside) != 0 {
		t.Errorf("left behind: %v, %v", aside, err)
	}
}

func TestLongPath(t *testing.T) {
	need(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	s := start(t, dir, Options{})
	set(t, dial(t, s), "x")
	stop(t, s)
	if _, err := os.Stat(filepath.Dir(s.Addr())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the socket is still there: %v", err)
	}
}

func TestReadiness(t *testing.T) {
	t.Setenv("TEST_FAKE_REDIS", "loads")
	s := start(t, t.TempDir(), Options{Path: os.Args[0]})
	stop(t, s)

	t.Setenv("TEST_FAKE_REDIS", "ends")
	if _, err := Start(t.Context(), t.TempDir(), Options{Path: os.Args[0]}); err == nil || !strings.Contains(err.Error(), "redis.log") {
		t.Errorf("a server that ends at once: %v", err)
	}

	t.Setenv("TEST_FAKE_REDIS", "loads for ever")
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	failed := make(chan error)
	go func() {
		_, err := Start(ctx, dir, Options{Path: os.Args[0]})
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a start that was canceled: %v", err)
	}

	if _, err := Start(t.Context(), t.TempDir(), Options{Path: "no-such-redis"}); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "install") {
		t.Errorf("without the program: %v", err)
	}
}

func pid(s *Server) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child.Pid
}

// refused is the folder into which data was moved that the server would not load; empty when there was none.
func refused(s *Server) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// restarts is how often the server had to be started again.
func restarts(s *Server) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}
