package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLogLinesAboutARequest: a line that names a request is written with a context, from which it has its trace, and names the stage, too.
// A webhook's request has ended.
func TestLogLinesAboutARequest(t *testing.T) {
	seen := 0
	for _, root := range []string{"app", "functions", "internal", "adapters"} {
		err := filepath.WalkDir(filepath.Join("..", "..", root), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				method, names := logCall(call)
				if method == "" || !slices.Contains(names, "request_id") {
					return true
				}
				seen++
				if !strings.HasSuffix(method, "Context") {
					t.Errorf("%s: %s has no context, and so no trace", files.Position(call.Pos()), method)
				}
				if !slices.Contains(names, "stage") && !strings.Contains(path, filepath.Join("functions", "notify")) {
					t.Errorf("%s: a line with request_id lacks stage", files.Position(call.Pos()))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 10 {
		t.Errorf("%d lines found: the check would prove little", seen)
	}
}

var logMethods = []string{"Debug", "Info", "Warn", "Error"}

// logCall is the method of slog that a call is of, and the names of its attributes; "" for any other call.
func logCall(call *ast.CallExpr) (method string, names []string) {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(logMethods, strings.TrimSuffix(f.Sel.Name, "Context")) {
		return "", nil
	}
	for _, a := range call.Args {
		if text, ok := a.(*ast.BasicLit); ok {
			names = append(names, strings.Trim(text.Value, `"`))
		}
	}
	return f.Sel.Name, names
}
