// Package capturetest has the pictures that tests of several packages need: made-up ones, and real captures. These are not part of the repository: the environment
// variable SPLATWORKS_CAPTURES names a folder of them, and without it those tests are skipped.
package capturetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Variable is the environment variable that names the folder.
const Variable = "SPLATWORKS_CAPTURES"

// Find returns the path of a capture, such as "fox/fox.mp4", or skips the test and says why.
func Find(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv(Variable)
	if folder == "" {
		t.Skipf("needs the capture %s: set %s to a folder of captures", name, Variable)
	}
	path, err := filepath.Abs(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the folder of %s lacks the capture: %v", Variable, err)
	}
	return path
}

// Thorough skips a proof that is too slow for every run, unless the environment variable SPLATWORKS_THOROUGH is set, as by
// `make thorough`. what says how long it takes.
func Thorough(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("SPLATWORKS_THOROUGH") == "" {
		t.Skipf("%s: make thorough", what)
	}
}
