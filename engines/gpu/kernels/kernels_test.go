package kernels

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// header is the value of a comment line at the head of the PTX.
func header(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(PTX[:300]) {
		if value, found := strings.CutPrefix(line, "// "+name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("kernels.ptx does not say its %s", name)
	return ""
}

// The committed PTX was made from this source.
func TestPTXIsOfTheSource(t *testing.T) {
	if got, want := header(t, "source"), fmt.Sprintf("%x", sha256.Sum256([]byte(preludePTX+source()))); got != want {
		t.Errorf("kernels.ptx was made from source %s, it is %s: run go generate ./engines/gpu/kernels", got, want)
	}
}

// Where the compiler is at hand, it writes the committed file to the byte.
func TestCompilerWritesTheCommittedPTX(t *testing.T) {
	version, err := exec.Command("clang-19", "-dumpversion").Output()
	if err != nil {
		t.Skip("clang-19 is not installed: the committed PTX is tested as it is")
	}
	if got, want := strings.TrimSpace(string(version)), header(t, "compiler"); got != want {
		t.Skipf("clang %s is installed, the PTX is of %s", got, want)
	}
	out := filepath.Join(t.TempDir(), "kernels.ptx")
	if text, err := exec.Command("./generate.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, []byte(PTX)) {
		t.Error("generate.sh writes another file than the committed kernels.ptx")
	}
}

// Nothing is left for a library that no card has, and nothing spills to memory of its own in what clang wrote.
func TestPTXIsSelfContained(t *testing.T) {
	for _, word := range []string{".extern", ".local", "call"} {
		for i, line := range strings.Split(PTX, "\n") {
			line, _, _ = strings.Cut(line, "//")
			for _, field := range strings.Fields(line) {
				if field == word || strings.HasPrefix(field, word+".") {
					t.Errorf("kernels.ptx, line %d: %s", i+1, line)
				}
			}
		}
	}
}
