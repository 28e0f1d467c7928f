package toolchain

import (
	"os/exec"
	"strings"
	"testing"
)

// What was skipped and why comes before the runner's own line; what a failed package wrote is kept, what a passed one wrote is not.
func TestLines(t *testing.T) {
	const verbose = `=== RUN   TestFox
    fox_test.go:12: an earlier line
    fox_test.go:31: needs the capture fox: set X
--- SKIP: TestFox (0.00s)
=== RUN   TestMany
=== RUN   TestMany/one
    many_test.go:3: long
=== RUN   TestMany/two
    many_test.go:3: long
=== RUN   TestMany/three
    many_test.go:9: it took a second
--- PASS: TestMany (1.20s)
    --- SKIP: TestMany/one (0.00s)
    --- SKIP: TestMany/two (0.00s)
    --- PASS: TestMany/three (1.20s)
PASS
ok  	example/a	1.3s
=== RUN   TestOnly
=== RUN   TestOnly/case
    only_test.go:3: no disk
--- PASS: TestOnly (0.00s)
    --- SKIP: TestOnly/case (0.00s)
PASS
ok  	example/b	(cached)
?   	example/c	[no test files]
=== RUN   TestBad
    bad_test.go:1: 1 is not 2
--- FAIL: TestBad (0.00s)
FAIL
FAIL	example/d	0.1s
=== RUN   TestFine
--- PASS: TestFine (0.00s)
PASS
ok  	example/e	0.2s
FAIL
`
	const want = `skip	TestFox: needs the capture fox: set X
skip	TestMany (2 cases): long
ok  	example/a	1.3s
skip	TestOnly/case: no disk
ok  	example/b	(cached)
?   	example/c	[no test files]
=== RUN   TestBad
    bad_test.go:1: 1 is not 2
--- FAIL: TestBad (0.00s)
FAIL
FAIL	example/d	0.1s
ok  	example/e	0.2s
FAIL
`
	awk := exec.Command("awk", "-f", "lines.awk")
	awk.Stdin = strings.NewReader(verbose)
	out, err := awk.CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
