package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var directive = regexp.MustCompile(`(?m)^//go:generate go -C internal/gen run \. (.*)$`)

// TestCommittedAssemblyIsWhatTheGeneratorWrites runs every go:generate line of package simd with its files in a temporary folder.
func TestCommittedAssemblyIsWhatTheGeneratorWrites(t *testing.T) {
	dir := t.TempDir()
	gen := filepath.Join(dir, "gen")
	if out, err := exec.Command("go", "build", "-o", gen, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	source, err := os.ReadFile("../../simd.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := directive.FindAllStringSubmatch(string(source), -1)
	if len(lines) != len(kernels) {
		t.Errorf("%d go:generate lines in simd.go, %d kernels", len(lines), len(kernels))
	}
	for _, line := range lines {
		args := strings.Fields(line[1])
		var files []string
		for i, a := range args {
			if strings.HasPrefix(a, "../../") {
				files = append(files, a)
				args[i] = filepath.Join(dir, filepath.Base(a))
			}
		}
		if len(files) != 2 {
			t.Errorf("%q names %d files, want an assembly file and its stubs", line[1], len(files))
		}
		if out, err := exec.Command(gen, args...).CombinedOutput(); err != nil {
			t.Fatalf("gen %s: %v\n%s", args, err, out)
		}
		for _, file := range files {
			committed, written := body(t, file), body(t, filepath.Join(dir, filepath.Base(file)))
			if !bytes.Equal(committed, written) {
				t.Errorf("%s differs from what the generator writes; run go generate in engines/simd", filepath.Base(file))
			}
		}
	}
}

// body is a generated file without its first line, which quotes the command with its paths.
func body(t *testing.T, path string) []byte {
	t.Helper()
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(all, []byte("\n"))
	return rest
}
