package tool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The programs under test are this test binary itself: TestMain plays the role that the first argument names.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "role-") {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "role-echo": // each further argument: "1text" to stdout, "2text" to stderr
		for _, arg := range os.Args[2:] {
			if arg[0] == '1' {
				fmt.Print(arg[1:])
			} else {
				fmt.Fprint(os.Stderr, arg[1:])
			}
		}
	case "role-exit":
		code, _ := strconv.Atoi(os.Args[2])
		fmt.Fprintln(os.Stderr, "the reason")
		os.Exit(code)
	case "role-copy": // standard input to standard output
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "role-chatty": // 2 MB on each pipe, alternating, so that one undrained pipe blocks both
		line := strings.Repeat("x", 1023) + "\n"
		for range 2048 {
			fmt.Print(line)
			fmt.Fprint(os.Stderr, line)
		}
	case "role-stubborn": // ignores SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour) // an empty select would be called a deadlock
	case "role-polite": // ends on SIGTERM with status 7
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		<-stop
		os.Exit(7)
	case "role-parent": // starts a grandchild that ignores SIGTERM and prints its process id; then waits or leaves
		grandchild := exec.Command(os.Args[0], "role-stubborn")
		out, _ := grandchild.StdoutPipe()
		grandchild.Stderr = os.Stderr // holds the pipe open
		if err := grandchild.Start(); err != nil {
			os.Exit(1)
		}
		_, _ = bufio.NewReader(out).ReadString('\n')
		fmt.Println(grandchild.Process.Pid)
		if os.Args[2] == "waits" {
			_ = grandchild.Wait()
		}
	case "role-frames": // endless binary output
		frame := make([]byte, 1000)
		for i := 0; ; i++ {
			for j := range frame {
				frame[j] = byte(i)
			}
			if _, err := os.Stdout.Write(frame); err != nil {
				os.Exit(0)
			}
		}
	case "role-spin": // uses CPU time and memory
		held := make([]byte, 64<<20)
		for i := range held {
			held[i] = byte(i)
		}
		var usage syscall.Rusage
		for {
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
			if time.Duration(usage.Utime.Nano()+usage.Stime.Nano()) > 100*time.Millisecond {
				break
			}
		}
		fmt.Println(held[len(held)-1])
	case "role-orphan": // runs a stubborn program through this package and is then killed by the test
		_, _ = Run(context.Background(), Command{Path: os.Args[0], Args: []string{"role-tellpid"}, OnStdout: func(line string) { fmt.Println(line) }})
	case "role-tellpid":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(os.Getpid())
		select {}
	}
	os.Exit(0)
}

// role makes a Command that plays a role. The safety timeout turns a hang into a failure.
func role(t *testing.T, args ...string) Command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Command{Path: self, Args: args, Timeout: time.Minute}
}

func TestLinesOfBothPipes(t *testing.T) {
	var stdout, stderr []string
	c := role(t, "role-echo", "1one\ntwo\r", "2progress 1\rprogress 2\r\n", "1three", "2\n\n")
	c.OnStdout = func(line string) { stdout = append(stdout, line) }
	c.OnStderr = func(line string) { stderr = append(stderr, line) }
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "two", "three"}; !reflect.DeepEqual(stdout, want) {
		t.Errorf("stdout %q, want %q", stdout, want)
	}
	if want := []string{"progress 1", "progress 2"}; !reflect.DeepEqual(stderr, want) {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
}

func TestStdinIsCopiedWhole(t *testing.T) {
	const lines = 50_000
	got := 0
	_, err := Run(t.Context(), Command{Path: os.Args[0], Args: []string{"role-copy"},
		Stdin: strings.NewReader(strings.Repeat("a line\n", lines)), OnStdout: func(string) { got++ }})
	if err != nil || got != lines {
		t.Errorf("%d lines came back, want %d; error %v", got, lines, err)
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestProgramMayLeaveStdinUnread(t *testing.T) {
	_, err := Run(t.Context(), Command{Path: os.Args[0], Args: []string{"role-exit", "3"}, Stdin: endless{}})
	var failed *Error
	if !errors.As(err, &failed) || failed.ExitCode != 3 {
		t.Errorf("got %v, want exit status 3", err)
	}
}

func TestChattyProgramIsDrained(t *testing.T) {
	bytesOut, bytesErr := 0, 0
	c := role(t, "role-chatty")
	c.OnStdout = func(line string) { bytesOut += len(line) + 1 }
	c.OnStderr = func(line string) { bytesErr += len(line) + 1 }
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if bytesOut != 2<<20 || bytesErr != 2<<20 {
		t.Errorf("%d and %d bytes, want 2 MiB each", bytesOut, bytesErr)
	}
	// Without callbacks, and with a reader that reads nothing, the pipes are drained too.
	if _, err := Run(t.Context(), role(t, "role-chatty")); err != nil {
		t.Fatal(err)
	}
	if _, err := Stream(t.Context(), role(t, "role-chatty"), func(io.Reader) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestFailureKeepsCodeAndLastWords(t *testing.T) {
	_, err := Run(t.Context(), role(t, "role-exit", "3"))
	var failure *Error
	if !errors.As(err, &failure) || failure.ExitCode != 3 || failure.Signal != 0 || !reflect.DeepEqual(failure.Tail, []string{"the reason"}) {
		t.Fatalf("%#v", err)
	}
	if !strings.Contains(err.Error(), "exit status 3; last output: the reason") {
		t.Errorf("message %q", err)
	}

	_, err = Run(t.Context(), Command{Path: "sh", Args: []string{"-c", "kill -ABRT $$"}})
	if !errors.As(err, &failure) || failure.Signal != syscall.SIGABRT {
		t.Fatalf("%#v", err)
	}

	_, err = Run(t.Context(), Command{Path: "no-such-program-anywhere"})
	if !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a missing program gave %v", err)
	}
	_, err = Run(t.Context(), Command{Path: filepath.Join(t.TempDir(), "missing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var l lastLines
	if l.lines() != nil {
		t.Error("nothing has lines")
	}
	for i := range 53 {
		l.add(strconv.Itoa(i))
	}
	l.add(strings.Repeat("é", 5000))
	got := l.lines()
	if len(got) != tailLines || got[0] != "34" || got[tailLines-2] != "52" || len(got[tailLines-1]) > 1100 {
		t.Errorf("%q", got)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var lengths []int
	scanLines(strings.NewReader(strings.Repeat("x", maxLine+10)+"\nend"), func(line string) { lengths = append(lengths, len(line)) })
	if !reflect.DeepEqual(lengths, []int{maxLine, 10, 3}) {
		t.Errorf("lengths %v", lengths)
	}
}

func TestCancelTerminates(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := role(t, "role-polite")
	c.OnStdout = func(string) { cancel() }
	c.Grace = time.Minute // it ends before that
	_, err := Run(ctx, c)
	var failure *Error
	if !errors.As(err, &failure) || failure.ExitCode != 7 || !errors.Is(err, context.Canceled) {
		t.Fatalf("%#v", err)
	}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled context gave %v", err)
	}
}

func TestCancelKillsTheStubborn(t *testing.T) {
	for _, grace := range []time.Duration{20 * time.Millisecond, -1} {
		ctx, cancel := context.WithCancel(t.Context())
		c := role(t, "role-stubborn")
		c.OnStdout = func(string) { cancel() }
		c.Grace = grace
		_, err := Run(ctx, c)
		var failure *Error
		if !errors.As(err, &failure) || failure.Signal != syscall.SIGKILL || !errors.Is(err, context.Canceled) {
			t.Fatalf("%#v", err)
		}
	}
}

func TestTimeout(t *testing.T) {
	c := role(t, "role-stubborn")
	c.Timeout, c.Grace = 50*time.Millisecond, -1
	_, err := Run(t.Context(), c)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not finish in time") {
		t.Errorf("%v", err)
	}
}

// A grandchild dies with the run: after a cancellation, and when the program leaves it behind. It ignores SIGTERM and
// holds the pipe open, so a run that did not kill the group would hang.
func TestGrandchildDies(t *testing.T) {
	for _, behaviour := range []string{"waits", "leaves"} {
		ctx, cancel := context.WithCancel(t.Context())
		pid := 0
		c := role(t, "role-parent", behaviour)
		c.Grace = 20 * time.Millisecond
		c.OnStdout = func(line string) {
			pid, _ = strconv.Atoi(line)
			if behaviour == "waits" {
				cancel()
			}
		}
		_, err := Run(ctx, c)
		if (behaviour == "leaves") != (err == nil) {
			t.Errorf("%s: %v", behaviour, err)
		}
		if pid == 0 {
			t.Fatalf("%s: no grandchild was reported", behaviour)
		}
		waitGone(t, pid)
		cancel()
	}
}

// A program dies with this process, even when that is killed.
func TestProgramDiesWithItsParent(t *testing.T) {
	if !hasParentDeathSignal() {
		t.Skip("this system has no parent-death signal")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "role-orphan")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitGone(t, pid)
}

// waitGone waits until a process no longer runs. A killed process that nobody has reaped yet is gone too; its death is
// asynchronous, hence the wait for it.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Fatalf("process %d still runs", pid)
}

func TestStream(t *testing.T) {
	// The reader stops early: no failure, and the endless program is ended.
	frames := 0
	c := role(t, "role-frames")
	c.Grace = -1
	_, err := Stream(t.Context(), c, func(stdout io.Reader) error {
		frame := make([]byte, 1000)
		for ; frames < 500; frames++ {
			if _, err := io.ReadFull(stdout, frame); err != nil {
				return err
			}
			if frame[0] != byte(frames) || frame[999] != byte(frames) {
				return fmt.Errorf("frame %d holds %d and %d", frames, frame[0], frame[999])
			}
		}
		return fmt.Errorf("after 500 frames: %w", Stop)
	})
	if err != nil || frames != 500 {
		t.Fatalf("%d frames, %v", frames, err)
	}

	broken := errors.New("broken reader")
	if _, err := Stream(t.Context(), c, func(io.Reader) error { return broken }); err != broken {
		t.Errorf("the reader's failure came back as %v", err)
	}

	// The program's own failure is not hidden by a reader that only saw its output end.
	for _, read := range []func(io.Reader) error{
		func(stdout io.Reader) error { _, err := io.Copy(io.Discard, stdout); return err },
		func(stdout io.Reader) error { _, err := io.ReadFull(stdout, make([]byte, 10)); return err },
	} {
		_, err = Stream(t.Context(), role(t, "role-exit", "4"), read)
		var failure *Error
		if !errors.As(err, &failure) || failure.ExitCode != 4 || failure.Cause != nil {
			t.Errorf("%#v", err)
		}
	}
}

func TestUsage(t *testing.T) {
	usage, err := Run(t.Context(), role(t, "role-spin"))
	if err != nil {
		t.Fatal(err)
	}
	if usage.CPU < 100*time.Millisecond || usage.Wall <= 0 || usage.MaxRSSBytes < 64<<20 {
		t.Errorf("%+v for a program that used 100 ms and held 64 MiB", usage)
	}
}

func TestDirAndEnv(t *testing.T) {
	dir := t.TempDir()
	var lines []string
	_, err := Run(t.Context(), Command{Path: "sh", Args: []string{"-c", "pwd -P; echo $COLOUR; echo ${PATH:+kept}"}, Dir: dir,
		Env: []string{"COLOUR=blue"}, OnStdout: func(line string) { lines = append(lines, line) }})
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{real, "blue", "kept"}; !reflect.DeepEqual(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

// What the machine lacked can be asked of the error.
func TestErrorSaysWhatTheMachineLacked(t *testing.T) {
	for name, c := range map[string]struct {
		script       string
		disk, memory bool
	}{
		"full disk": {"echo '/tmp/x.png: No space left on device' >&2; echo Conversion failed >&2; exit 1", true, false},
		"sqlite":    {"echo 'SQLite error [13]: database or disk is full' >&2; exit 1", true, false},
		"killed":    {"kill -9 $$", false, true},
		"another":   {"echo no >&2; exit 1", false, false},
	} {
		_, err := Run(t.Context(), Command{Path: "sh", Args: []string{"-c", c.script}})
		if err == nil || errors.Is(err, syscall.ENOSPC) != c.disk || errors.Is(err, syscall.ENOMEM) != c.memory {
			t.Errorf("%s: %v: disk %v, memory %v", name, err, errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM))
		}
	}
}
