package kernels

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
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

// What ptxas -v says of an entry.
var (
	assembled = regexp.MustCompile(`(?s)Compiling entry function '(\w+)' for '\w+'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers`)
	entries   = regexp.MustCompile(`(?m)^\.visible \.entry (\w+)\(`)
)

// mostRegisters lets a multiprocessor of 65536 hold 512 threads of a kernel.
const mostRegisters = 128

// Where NVIDIA's assembler is at hand it takes the PTX for a T4, an L4 and an H200, and no kernel spills. Its registers are in the log.
func TestNoKernelSpills(t *testing.T) {
	ptxas, err := exec.LookPath("ptxas")
	if err != nil {
		t.Skip("ptxas is not installed (it is in NVIDIA's toolkit and in Debian's non-free nvidia-cuda-toolkit): a card's driver assembles the PTX, and nothing here says how many registers it takes")
	}
	for _, card := range []string{"sm_75", "sm_89", "sm_90"} {
		text, err := exec.Command(ptxas, "-v", "-arch="+card, "-o", filepath.Join(t.TempDir(), "cubin"), "kernels.ptx").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", card, err, text)
		}
		found := assembled.FindAllStringSubmatch(string(text), -1)
		if want := entries.FindAllString(PTX, -1); len(found) != len(want) {
			t.Errorf("%s: registers of %d kernels, the PTX has %d", card, len(found), len(want))
		}
		for _, f := range found {
			registers, err := strconv.Atoi(f[5])
			if err != nil || registers > mostRegisters || f[2] != "0" || f[3] != "0" || f[4] != "0" {
				t.Errorf("%s: %s takes %s registers, %s bytes of stack, spills %s and %s", card, f[1], f[5], f[2], f[3], f[4])
			}
			t.Logf("%s %-26s %3s registers", card, f[1], f[5])
		}
	}
}
