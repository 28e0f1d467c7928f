// Package childtest lets a test run itself as a program that can be killed: TestMain serves when an environment variable asks
// it to.
package childtest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Process is this test's program, run once more.
type Process struct {
	Said string // its first line: where it answers
	Pid  int

	cmd  *exec.Cmd
	once sync.Once
}

// Start runs the program with further environment, NAME=VALUE, and waits for its first line. It is killed at the end of
// the test; its standard input is open until then.
func Start(t *testing.T, environment ...string) *Process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: cmd, Pid: cmd.Process.Pid}
	t.Cleanup(p.Kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the process did not start: %v", err)
	}
	p.Said = strings.TrimSpace(line)
	return p
}

// Kill ends the process at once, as a loss of power would.
func (p *Process) Kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // gone is as good
		_ = p.cmd.Wait()         // it was killed: an error by design
	})
}
