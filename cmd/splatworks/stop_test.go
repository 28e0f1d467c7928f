package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/splatworks/splatworks/engines/frames"
)

// A terminal that is closed ends the program in good order, as Ctrl-C does, unless nohup says that it continues.
func TestSignalsThatEndTheProgram(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) { // the tests themselves run under nohup
			continue
		}
		ctx, stop := signal.NotifyContext(t.Context(), stops()...)
		defer stop()
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
	}
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	if slices.Contains(stops(), os.Signal(syscall.SIGHUP)) {
		t.Error("nohup is not heeded")
	}
}

// Packing ends with the program, in the midst of a file too, and leaves nothing behind.
func TestPackingEndsWithTheProgram(t *testing.T) {
	dir, scratch := t.TempDir(), t.TempDir()
	film := filepath.Join(dir, "film.mp4")
	if err := os.WriteFile(film, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	packed := &stopsAfter{left: 1 << 20, stop: cancel}
	if _, err := writeZip(ctx, packed, []frames.File{{Path: film, Name: "film.mp4"}}); !errors.Is(err, context.Canceled) || packed.left < -1<<20 {
		t.Errorf("%d bytes after the end: %v", -packed.left, err)
	}
	t.Setenv("TMPDIR", scratch)
	var out, said bytes.Buffer
	if code := run(ctx, console{out: &out, err: &said, args: []string{"run", dir, "-o", filepath.Join(dir, "out")}}); code != exitStopped {
		t.Errorf("exit %d: %s", code, &said)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// stopsAfter ends a context once it has taken a number of bytes.
type stopsAfter struct {
	left int
	stop func()
}

func (s *stopsAfter) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left <= 0 {
		s.stop()
	}
	return len(p), nil
}
