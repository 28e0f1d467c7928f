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
// heeded, they would run at the same level again and nobody would know.
func TestLevelsCanBeTurnedOff(t *testing.T) {
	const marker = "levels: "
	if os.Getenv("SIMD_LEVELS_CHILD") != "" {
		for _, level := range Levels() {
			os.Stdout.WriteString(marker + level.String() + "\n")
		}
		return
	}
	for off, want := range map[string][]Level{"cpu.avx512f=off": {Plain, AVX2}, "cpu.avx2=off,cpu.avx512f=off": {Plain}} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLevelsCanBeTurnedOff$")
		cmd.Env = append(os.Environ(), "GODEBUG="+off, "SIMD_LEVELS_CHILD=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, level := range []Level{Plain, AVX2, AVX512} {
			has := strings.Contains(string(out), marker+level.String()+"\n")
			if expected := slices.Contains(want, level) && slices.Contains(Levels(), level); has != expected {
				t.Errorf("with %s the level %v is there: %v, want %v", off, level, has, expected)
			}
		}
	}
}
