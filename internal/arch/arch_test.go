// Package arch holds no code: its test makes the direction of imports a rule that fails the build.
//
// Functions react, the queue orders, services do, engines know, artifacts remain; pipeline is the vocabulary of all.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/splatworks/splatworks/"

// layers says what the packages below a top-level folder may import of ours: all below a folder, or one package. A package not
// listed here fails the test: a new layer is a decision, not an accident.
var layers = map[string][]string{
	"pipeline":  {},
	"queue":     {"pipeline", "queue"},
	"artifacts": {"pipeline", "artifacts"},
	"engines":   {"engines"},
	"internal":  {"pipeline", "queue", "artifacts", "internal", "engines/fault", "engines/tool"},
	"functions": {"pipeline", "queue", "artifacts", "internal", "functions", "client"},
	"services":  {"pipeline", "queue", "artifacts", "engines", "internal", "web"}, // export puts the viewer into a file
	"client":    {"pipeline", "client"},
	"web":       {"web", "artifacts"},
	"infra":     {"pipeline", "queue", "artifacts", "engines", "internal", "infra"},
	"adapters":  {"pipeline", "internal", "adapters"},
	"app":       {"pipeline", "queue", "artifacts", "internal", "functions", "adapters", "web"},
}

// engineOrder lists the engines from the bottom up: one may import only what comes before it.
var engineOrder = []string{"capturetest", "choose", "tool", "fault", "simd", "sheet", "scene", "splat", "raster", "gpu", "trainer", "clean", "mesh", "posed", "frames", "colmap", "depth", "sample"}

// adapters speak to the outside world. Only a main and app, where programs are wired, may name one; infra/local offers the same
// things on one machine.
var adapters = []string{"queue/redisq", "artifacts/gcs", "adapters", "infra"}

// outside are the libraries that speak to the outside world: who imports one is an adapter.
var outside = []string{"github.com/redis/", "cloud.google.com/go/", "google.golang.org/api/", "google.golang.org/grpc"}

// arithmetic packages see numbers alone: no file, no program, no picture format.
var arithmetic = map[string][]string{"engines/choose": {"cmp", "math", "slices"}}

// standardOnly may import nothing but the standard library.
var standardOnly = []string{"pipeline"}

type pkg struct {
	ImportPath string
	Imports    []string // not those of tests: a test may wire anything
	Standard   bool
}

func TestImportDirection(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("only %d packages listed: the check would prove nothing", len(packages))
	}
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, module)
		if p.ImportPath+"/" == module {
			checkRoot(t, p)
			continue
		}
		if isMain(from) {
			continue
		}
		layer := top(from)
		allowed, known := layers[layer]
		if !known {
			t.Errorf("%s: no rule for layer %q; add one to layers", from, layer)
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			only, pure := arithmetic[from]
			switch {
			case pure && !slices.Contains(only, imported):
				t.Errorf("%s imports %s: it may import only %v", from, imported, only)
			case imported+"/" == module:
				t.Errorf("%s imports the package at the root: only a main does", from)
			case !ours && slices.Contains(standardOnly, layer) && strings.Contains(strings.SplitN(imported, "/", 2)[0], "."):
				t.Errorf("%s imports %s: it may import only the standard library", from, imported)
			case !ours && speaksOutside(imported) && layer != "app" && !adapter(from):
				t.Errorf("%s imports %s: only an adapter does, and they are %v", from, imported, adapters)
			case !ours:
			case isMain(to):
				t.Errorf("%s imports %s: nobody imports a main", from, to)
			case !slices.Contains(allowed, top(to)) && !slices.Contains(allowed, to):
				t.Errorf("%s imports %s: layer %s may import only %v", from, to, layer, allowed)
			case layer == "services" && top(to) == "services" && sibling(from) != sibling(to):
				t.Errorf("%s imports %s: a service knows no other service", from, to)
			case layer == "engines" && engineRank(to) > engineRank(from):
				t.Errorf("%s imports %s: engines import only what comes before them in %v", from, to, engineOrder)
			case layer != "app" && adapter(to) && !adapter(from):
				t.Errorf("%s imports %s: only mains and app name an adapter", from, to)
			}
		}
	}
}

// checkRoot: the package at the root is what a main is, for hosts that bring their own main.
func checkRoot(t *testing.T, p pkg) {
	for _, imported := range p.Imports {
		if to, ours := strings.CutPrefix(imported, module); ours && to != "app" {
			t.Errorf("the package at the root imports %s: it may import only app", to)
		}
	}
}

// top is the layer of a package: its first folder.
func top(p string) string { return strings.SplitN(p, "/", 2)[0] }

func sibling(p string) string {
	parts := strings.Split(p, "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func speaksOutside(imported string) bool {
	return slices.ContainsFunc(outside, func(library string) bool { return strings.HasPrefix(imported, library) })
}

// isMain says whether a package is a program or a part of one alone, as cmd/splatworks/laptop is.
func isMain(p string) bool {
	return slices.Contains(strings.Split(p, "/"), "cmd")
}

func adapter(p string) bool {
	return slices.ContainsFunc(adapters, func(a string) bool { return p == a || strings.HasPrefix(p, a+"/") })
}

func engineRank(p string) int {
	return slices.Index(engineOrder, path.Base(sibling(p)))
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// TestEveryEngineIsRanked keeps engineOrder true.
func TestEveryEngineIsRanked(t *testing.T) {
	for _, p := range list(t) {
		if from := strings.TrimPrefix(p.ImportPath, module); top(from) == "engines" && engineRank(from) < 0 {
			t.Errorf("%s has no place in engineOrder", from)
		}
	}
}
