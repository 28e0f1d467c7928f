package local

import (
	"bufio"
	"io"
	"os"
	"strings"

	"github.com/splatworks/splatworks/engines/tool"
)

// maxWords bounds what is quoted of a worker's output, in bytes.
const maxWords = 200

// lastWords is what a worker printed last into a log from an offset on, besides JSON lines: those are its log. Go ends a crash with
// the stacks of all goroutines, so there it is the line that says why. Workers of one stage that run at the same time write into the
// same log, so it may be another's; on a laptop there is one at a time.
func lastWords(path string, begin int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(begin, io.SeekStart); err != nil {
		return ""
	}
	lines, last := bufio.NewReader(f), ""
	for {
		text, cut, err := lines.ReadLine()
		line := tool.Printable(strings.TrimSpace(string(text[:min(len(text), maxWords)])))
		switch {
		case line == "" || strings.HasPrefix(line, "{"):
		case crashed(line):
			return line
		default:
			last = line
		}
		for cut && err == nil { // the rest of a line that is longer than the buffer
			_, cut, err = lines.ReadLine()
		}
		if err != nil {
			return last
		}
	}
}

// crashed says whether a line begins the account of a crash by Go's runtime (runtime/panic.go).
func crashed(line string) bool {
	for _, prefix := range []string{"panic: ", "fatal error: ", "runtime: ", "runtime/cgo: ", "SIG"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
