package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// TestKnownFaultsHaveTheirTests: the design that came before this one had nine faults. Each has a test by name that fails if
// it comes back; this one fails if such a test goes.
func TestKnownFaultsHaveTheirTests(t *testing.T) {
	for fault, where := range map[string][2]string{
		"looking at the queue counted as taking":        {"functions/operators/operators_test.go", "TestPeekTakesNothing"},
		"COMPLETED because a folder exists":             {"functions/trigger/status_test.go", "TestCompletedNeedsTheFinalManifest"},
		"deduplication that poisons a failed request":   {"functions/trigger/submit_test.go", "TestFailedRequestDoesNotPoisonItsSession"},
		"a rate limit that reads, decides, then writes": {"adapters/ratelimit/ratelimit_test.go", "TestInstancesShareTheLimit"},
		"404 turned into 500":                           {"functions/trigger/status_test.go", "TestUnknownIsNotAFault"},
		"PUT /status open to anybody":                   {"functions/trigger/status_test.go", "TestNobodyCanSetAStatus"},
		"work after the answer":                         {"functions/trigger/submit_test.go", "TestNoWorkAfterTheAnswer"},
		"a workflow that succeeds on failure":           {"internal/stage/outcome_test.go", "TestFailedStageIsNoSuccess"},
		"a child's pipe that nobody drains":             {"engines/tool/tool_test.go", "TestChattyProgramIsDrained"},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", where[0]), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			found = found || (ok && f.Name.Name == where[1])
		}
		if !found {
			t.Errorf("%s: %s is not in %s", fault, where[1], where[0])
		}
	}
}
