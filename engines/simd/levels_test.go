//go:build !noasm

package simd

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The tests run once for each level, which GODEBUG takes away from the fastest on (infra/toolchain/test.sh). Were it not
// heeded, they would run at the same level again and nobody would know. What the processor has is asked of a process
// without GODEBUG: this one may itself be a run for a slower level.
func TestLevelsCanBeTurnedOff(t *testing.T) {
	const marker = "levels: "
	if os.Getenv("SIMD_LEVELS_CHILD") != "" {
		for _, level := range Levels() {
			os.Stdout.WriteString(marker + level.String() + "\n")
		}
		return
	}
	levelsWith := func(godebug string) []Level {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLevelsCanBeTurnedOff$")
		cmd.Env = append(os.Environ(), "GODEBUG="+godebug, "SIMD_LEVELS_CHILD=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc([]Level{Plain, AVX2, AVX512}, func(level Level) bool {
			return !strings.Contains(string(out), marker+level.String()+"\n")
		})
	}
	processor := levelsWith("")
	for off, left := range map[string][]Level{"cpu.avx512f=off": {Plain, AVX2}, "cpu.avx2=off,cpu.avx512f=off": {Plain}} {
		want := left[:min(len(left), len(processor))]
		if got := levelsWith(off); !slices.Equal(got, want) {
			t.Errorf("with %s the levels are %v, want %v", off, got, want)
		}
	}
}
