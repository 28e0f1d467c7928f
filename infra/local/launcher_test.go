package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/infra/local"
	"github.com/splatworks/splatworks/pipeline"
)

// TestMain plays the parts of workers when asked to.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_LAUNCHER") != "" {
		l := &local.Launcher{Program: os.Args[0], LogDir: os.TempDir(), Env: []string{"TEST_LAUNCHER="}}
		if err := l.Launch(context.Background(), pipeline.Train); err != nil {
			panic(err)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
		os.Exit(0)
	}
	if part := os.Getenv("TEST_WORKER"); part != "" {
		work(part)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// work says that it is there through the pipe named by TEST_READY, then does its part.
func work(part string) {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if part != "silent" {
		fmt.Println("args", os.Args[1:])
	}
	if part == "stubborn" {
		child := exec.Command("sleep", "1000")
		if err := child.Start(); err != nil {
			panic(err)
		}
		ready(fmt.Sprint(child.Process.Pid))
		for range stop { // until it is stopped
		}
	}
	if part == "messy" { // is killed before it can clear up
		for _, name := range []string{"WORK_DIR", "TMPDIR"} {
			if err := os.WriteFile(filepath.Join(os.Getenv(name), name), []byte("x"), 0o600); err != nil {
				panic(err)
			}
		}
		ready(fmt.Sprint(os.Getpid(), " ", os.Getenv("WORK_DIR")))
		select {}
	}
	ready("ready")
	switch part {
	case "ends":
	case "fails":
		fmt.Println(`{"severity":"INFO","message":"I am ` + os.Getenv("WORKER_NAME") + `"}`)
		os.Exit(3)
	case "silent":
		os.Exit(4)
	case "crashes":
		panic("no more memory")
	case "orphan":
		<-stop
		ready("stopped")
	case "obedient":
		<-stop
		fmt.Println("stopped in good order")
	}
}

func ready(text string) {
	f, err := os.OpenFile(os.Getenv("TEST_READY"), os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString(text + "\n"); err != nil {
		panic(err)
	}
	if err := f.Close(); err != nil {
		panic(err)
	}
}

// stage starts a launcher of one kind of worker; its workers' first words arrive on the channel.
func launcher(t *testing.T, part string) (l *local.Launcher, words func() string, exited chan local.End) {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	exited = make(chan local.End, 10)
	l = &local.Launcher{Program: os.Args[0], LogDir: filepath.Join(t.TempDir(), "logs"), Env: []string{"TEST_WORKER=" + part, "TEST_READY=" + fifo},
		Exited: func(e local.End) { exited <- e }}
	words = func() string {
		body, err := os.ReadFile(fifo)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body))
	}
	return l, words, exited
}

func launch(t *testing.T, l *local.Launcher) {
	t.Helper()
	if err := l.Launch(t.Context(), pipeline.Train); err != nil {
		t.Fatal(err)
	}
}

func logOf(t *testing.T, l *local.Launcher) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(l.LogDir, "train.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestLaunchedWorkersRunTheirStage(t *testing.T) {
	l, words, exited := launcher(t, "ends")
	for range 2 {
		launch(t, l)
		words()
		if e := <-exited; e.Err != nil || e.Words != "" {
			t.Errorf("worker: %+v", e)
		}
	}
	if text := logOf(t, l); text != "args [worker --stage train]\nargs [worker --stage train]\n" {
		t.Errorf("log %q", text)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Launch(t.Context(), pipeline.Train); err == nil {
		t.Error("launched after close")
	}
}

func TestExitStatusIsTold(t *testing.T) {
	l, words, exited := launcher(t, "fails")
	launch(t, l)
	words()
	var status *exec.ExitError
	e := <-exited
	if !errors.As(e.Err, &status) || status.ExitCode() != 3 || e.Words != "args [worker --stage train]" || e.Stage != pipeline.Train || e.Closing {
		t.Errorf("worker: %+v, want exit status 3", e)
	}
	if text := logOf(t, l); !strings.Contains(text, e.Worker) || e.Worker == "" {
		t.Errorf("the worker is named %q, and printed %q", e.Worker, text)
	}
	l.Program = filepath.Join(t.TempDir(), "missing")
	if err := l.Launch(t.Context(), pipeline.Train); err == nil {
		t.Error("launched a program that is not there")
	}
}

func TestReasonOfACrashIsTold(t *testing.T) {
	l, words, exited := launcher(t, "crashes")
	for range 2 {
		launch(t, l)
		words()
		e := <-exited
		if e.Err == nil || e.Err.Error() != "exit status 2" || e.Words != "panic: no more memory" {
			t.Errorf("worker: %+v", e)
		}
	}
	l.Env[0] = "TEST_WORKER=silent"
	launch(t, l)
	words()
	if e := <-exited; e.Err == nil || e.Words != "" {
		t.Errorf("a worker that printed nothing: %+v", e)
	}
}

func TestGracefulClose(t *testing.T) {
	l, words, exited := launcher(t, "obedient")
	for range 2 {
		launch(t, l)
		words()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if e := <-exited; e.Err != nil || e.Words != "" {
			t.Errorf("worker: %+v", e)
		}
	}
	if n := strings.Count(logOf(t, l), "stopped in good order"); n != 2 {
		t.Errorf("%d workers stopped in good order", n)
	}
}

func TestStubbornWorkerIsKilledWithItsChildren(t *testing.T) {
	l, words, exited := launcher(t, "stubborn")
	l.Grace = time.Millisecond
	launch(t, l)
	grandchild, err := strconv.Atoi(words())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("close: %v", err)
	}
	if e := <-exited; e.Err == nil || !e.Closing {
		t.Errorf("a worker that was killed at the end: %+v", e)
	}
	if running(grandchild) {
		t.Errorf("process %d is left", grandchild)
	}
}

func TestFolderOfAKilledWorkerGoes(t *testing.T) {
	l, words, exited := launcher(t, "messy")
	l.WorkDir = filepath.Join(t.TempDir(), "work")
	var pid [2]int
	var folder [2]string
	for i := range 2 {
		launch(t, l)
		if _, err := fmt.Sscan(words(), &pid[i], &folder[i]); err != nil {
			t.Fatal(err)
		}
	}
	if folder[0] == folder[1] || filepath.Dir(folder[0]) != l.WorkDir {
		t.Errorf("folders %v in %s", folder, l.WorkDir)
	}
	if err := syscall.Kill(pid[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := <-exited; e.Err == nil || e.Err.Error() != "signal: killed" {
		t.Errorf("a killed worker: %+v", e)
	}
	if _, err := os.Stat(folder[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a killed worker is still there: %v", err)
	}
	if files, err := os.ReadDir(folder[1]); err != nil || len(files) != 2 {
		t.Errorf("the folder of a worker at work holds %v, %v", files, err)
	}
	l.Grace = time.Millisecond
	_ = l.Close() // it had to be killed
	<-exited
	if left, err := os.ReadDir(l.WorkDir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWorkersStopWhenTheirLauncherDies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	l, words, _ := launcher(t, "orphan")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(l.Env, "TEST_LAUNCHER=1", "TMPDIR="+t.TempDir())...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := words(); got != "ready" {
		t.Errorf("the worker says %q", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed: an error by design
	if got := words(); got != "stopped" {
		t.Errorf("the worker says %q", got)
	}
}

func TestLargeLogIsPutAside(t *testing.T) {
	l, words, exited := launcher(t, "ends")
	if err := os.MkdirAll(l.LogDir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.LogDir, "train.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 17<<20); err != nil {
		t.Fatal(err)
	}
	launch(t, l)
	words()
	<-exited
	if text := logOf(t, l); !strings.HasPrefix(text, "args ") {
		t.Errorf("log begins with %.20q", text)
	}
	if info, err := os.Stat(path + ".old"); err != nil || info.Size() != 17<<20 {
		t.Errorf("old log %v, %v", info, err)
	}
}

// running says whether a process runs; one that ended and that nobody waited for yet does not.
func running(pid int) bool {
	stat, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	defer stat.Close()
	text, err := io.ReadAll(stat)
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}
