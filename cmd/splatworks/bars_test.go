package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestALineNeverFillsTheTerminal(t *testing.T) {
	message := strings.Repeat("Größe ", 20)
	for columns := range 200 {
		line := narrowLine(columns, "preprocess", 42, message)
		if n := utf8.RuneCountInString(line); n > max(columns-1, 0) {
			t.Errorf("%d columns: a line of %d: %q", columns, n, line)
		}
		if columns >= 16 && !strings.HasPrefix(line, " 42% preprocess") {
			t.Errorf("%d columns: %q", columns, line)
		}
	}
}
