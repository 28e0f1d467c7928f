package load

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// What `make load` sets: the whole table, and how large it is.
var (
	heavy    = flag.Bool("load", false, "put the whole load under every fault of TestLoad: an hour on two cores")
	requests = flag.Int("requests", 2000, "requests of a load")
	atOnce   = flag.Int("at-once", 50, "requests at a time")
)

// The small load that is a part of every run of the tests.
const (
	fewRequests = 12
	fewAtOnce   = 6
)

// TestLoad sends requests as clients do, with a fault over the middle third of them. Whatever it is: every request ends once, with one
// manifest a stage and one kind of webhook; nothing is lost, doubled or orphaned.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("a load takes seconds")
	}
	var table strings.Builder
	table.WriteString(tableHead)
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			n, at := *requests, *atOnce
			if !*heavy {
				if !f.quick {
					t.Skip("make load runs it")
				}
				n, at = fewRequests, fewAtOnce
			}
			r := newRig(t, small)
			before := cpu(syscall.RUSAGE_SELF) + cpu(syscall.RUSAGE_CHILDREN)
			members := r.run(n, at, f)
			r.settle(members)
			a := r.check(f, members)
			a.platformMS = 1000 * (cpu(syscall.RUSAGE_SELF) + cpu(syscall.RUSAGE_CHILDREN) - before) / float64(n)
			table.WriteString(a.row())
			a.judge(t)
		})
	}
	if *heavy {
		fmt.Fprintf(os.Stdout, "\n%s\n", table.String())
	}
}

const tableHead = `| fault over the middle third | requests | times it struck | COMPLETED | FAILED | lost | doubled | orphaned | spare objects |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

func (a *account) row() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", a.fault, a.requests, a.struck, a.completed, a.failed, a.lost, a.doubled, a.orphaned, a.spare)
}

// TestDocumentedTable compares the rows of the table in docs/operations.md with the faults: every request of each has ended, and none
// is lost, doubled or orphaned.
func TestDocumentedTable(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), tableHead)
	table, _, ended := strings.Cut(table, "<!-- end -->")
	if !found || !ended {
		t.Fatal("docs/operations.md has no table of this form")
	}
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) != len(faults) {
		t.Fatalf("%d rows of %d faults", len(rows), len(faults))
	}
	for i, row := range rows {
		a := account{fault: faults[i].name}
		form := "| " + strings.ReplaceAll(a.fault, "%", "%%") + " | %d | %d | %d | %d | %d | %d | %d | %d |"
		if _, err := fmt.Sscanf(row, form, &a.requests, &a.struck, &a.completed, &a.failed, &a.lost, &a.doubled, &a.orphaned, &a.spare); err != nil {
			t.Errorf("row %q is not of %q: %v", row, a.fault, err)
			continue
		}
		if a.requests < 200 || a.completed+a.failed != a.requests || a.lost > 0 || a.doubled > 0 || a.orphaned > 0 || a.struck == 0 && i > 0 {
			t.Errorf("row %q does not add up", row)
		}
	}
}

// judge fails the test where something is not as it must be.
func (a *account) judge(t *testing.T) {
	t.Helper()
	t.Logf("%s%.0f CPU ms a request of this process and its children; spare: %v", a.row(), a.platformMS, a.spareKinds)
	if a.struck == 0 && a.fault != "nothing" {
		t.Error("the fault did not strike")
	}
	if a.completed != a.requests || a.lost > 0 || a.doubled > 0 || a.orphaned > 0 {
		t.Errorf("of %d requests %d completed, %d failed:\n%s", a.requests, a.completed, a.failed, strings.Join(a.problems, "\n"))
	}
}

// cpu is what a process has used, in seconds.
func cpu(who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
