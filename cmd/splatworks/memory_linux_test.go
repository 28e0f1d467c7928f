//go:build cgo

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/cmd/splatworks/machine"
)

// TestTooLittleMemoryIsSaidBeforeTheStart runs this binary, which holds the program, under limits below what Go's runtime needs for
// itself, below what a command needs, and just enough.
func TestTooLittleMemoryIsSaidBeforeTheStart(t *testing.T) {
	const kB = machine.LeastMemory >> 10
	for limit, enough := range map[int]bool{300_000: false, 800_000: false, 1_500_000: false, kB - 1: false, kB: true} {
		cmd := exec.Command("sh", "-c", fmt.Sprintf("ulimit -v %d && exec \"$0\" -test.run=^$", limit), os.Args[0])
		out, err := cmd.CombinedOutput()
		if enough {
			if strings.Contains(string(out), "ulimit") {
				t.Errorf("%d kB: %s", limit, out)
			}
			continue
		}
		want := fmt.Sprintf("the limit on memory is %d MB (ulimit -v), at least %d MB are needed", limit>>10, machine.LeastMemory>>20)
		if code := cmd.ProcessState.ExitCode(); err == nil || code != exitFailed || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%d kB: exit %d, %s", limit, code, out)
		}
	}
}
