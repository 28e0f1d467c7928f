package tool

import (
	"io"
	"slices"
	"sync"
	"testing"
)

type seen struct {
	mu    sync.Mutex
	lines []string
	ended []string
}

func (s *seen) Printed(program, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, program+": "+line)
}

func (s *seen) Ended(program string, u Usage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how := "ended"
	if err != nil {
		how = "failed"
	}
	if u.Wall > 0 {
		program += " after a while"
	}
	s.ended = append(s.ended, program+" "+how)
}

func TestWatcherSeesEveryProgram(t *testing.T) {
	w := new(seen)
	ctx := Watched(t.Context(), w)
	if _, err := Run(ctx, Command{Path: "sh", Args: []string{"-c", "echo result; echo one >&2; echo two >&2"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Stream(ctx, Command{Path: "/bin/sh", Name: "shell", Args: []string{"-c", "echo data; echo three >&2; exit 3"}}, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}); err == nil {
		t.Fatal("no error")
	}
	if _, err := Run(ctx, Command{Path: "no-such-program-anywhere"}); err == nil {
		t.Fatal("no error")
	}
	if want := []string{"sh: one", "sh: two", "shell: three"}; !slices.Equal(w.lines, want) {
		t.Errorf("%q, want %q", w.lines, want)
	}
	if want := []string{"sh after a while ended", "shell after a while failed"}; !slices.Equal(w.ended, want) {
		t.Errorf("%q, want %q", w.ended, want)
	}
}
