package depth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/splatworks/splatworks/engines/depth"
)

// limited names the model to the child process of TestLimitedMemory.
const limited = "SPLATWORKS_TEST_LIMITED_MODEL"

// A process that may have 2 GiB of memory of its own (RLIMIT_DATA: heap, stacks and everything else that is written to)
// estimates 300 images with a network of the real size: at a small
// size each, so that it does not take all day, and some at the authors' size, which is what needs the memory.
func TestLimitedMemory(t *testing.T) {
	if path := os.Getenv(limited); path != "" {
		limitedChild(t, path)
		return
	}
	if testing.Short() {
		t.Skip("300 images through a network of the real size: not under -short")
	}
	library(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLimitedMemory$", "-test.v")
	cmd.Env = append(os.Environ(), limited+"="+smallPath(t))
	out, err := cmd.CombinedOutput()
	t.Logf("%.2000s", out)
	if err != nil {
		t.Errorf("the limited process: %v", err)
	}
}

func limitedChild(t *testing.T, path string) {
	const limit = 2 << 30
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	file := photo(t, 640, 360)
	for _, c := range []struct{ n, short int }{{300, 84}, {3, 518}} {
		d := descriptor
		d.ShortSide = c.short
		s, err := depth.Open(t.Context(), path, d, depth.Options{Library: library(t), Provider: depth.CPU, MemoryBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		maps := 0
		_, err = depth.Run(t.Context(), s, c.n, decodeEach(file), func(_ context.Context, r depth.Result) error {
			maps++
			return r.Err
		}, depth.RunOptions{})
		if err != nil || maps != c.n {
			t.Errorf("%d of %d images at %d px: %v", maps, c.n, c.short, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d images at %d px: %.1f CPU seconds, at most %d MB resident", c.n, c.short, cpuTime(t).Seconds(), u.Maxrss>>10)
	}
}

// Cancel in the middle of an inference of real size: it is given up, nothing more is handled, and what has been handled
// is whole.
func TestCancelInMidBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("a network of the real size: not under -short")
	}
	d := descriptor
	d.ShortSide = 308
	s := open(t, smallPath(t), d, depth.Options{Provider: depth.CPU})
	var whole time.Duration
	for range 2 { // the first allocates
		start := cpuTime(t)
		if _, err := s.Estimate(t.Context(), []depth.Input{noise(546, 308, 1)}); err != nil {
			t.Fatal(err)
		}
		whole = cpuTime(t) - start
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	folder := t.TempDir()
	handled := 0
	e := &cancelDuring{Session: s, at: 3, after: whole / 4, cancel: cancel, t: t}
	_, err := depth.Run(ctx, e, 300, decodeEach(photo(t, 640, 360)), func(_ context.Context, r depth.Result) error {
		handled++
		return os.WriteFile(filepath.Join(folder, fmt.Sprint(r.Index)), make([]byte, len(r.Map.Values)), 0o644)
	}, depth.RunOptions{Decoders: 1})
	after, took := cpuTime(t)-e.used, time.Since(e.when)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled it says %v", err)
	}
	t.Logf("it stopped %v after the cancellation (%v of CPU; a whole image costs %v)", took, after, whole)
	if !(after < whole/2) {
		t.Errorf("it continued for %v of CPU; a whole image costs %v", after, whole)
	}
	files, _ := os.ReadDir(folder)
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() != 308*546 {
			t.Errorf("%s is not whole: %v", f.Name(), err)
		}
	}
	if len(files) != handled || handled > 2 {
		t.Errorf("%d files, %d maps handled", len(files), handled)
	}
}

// cancelDuring cancels while its at-th inference is under way: when that has used some of the processor.
type cancelDuring struct {
	*depth.Session
	t         *testing.T
	at, count int
	after     time.Duration
	cancel    func()
	used      time.Duration
	when      time.Time
}

func (c *cancelDuring) Estimate(ctx context.Context, inputs []depth.Input) ([]depth.Map, error) {
	if c.count++; c.count < c.at {
		return c.Session.Estimate(ctx, inputs)
	}
	done := make(chan struct{})
	from := cpuTime(c.t)
	go func() {
		defer close(done)
		for cpuTime(c.t)-from < c.after {
			time.Sleep(time.Millisecond) // only looks again: what counts is the processor's time
		}
		c.used, c.when = cpuTime(c.t), time.Now()
		c.cancel()
	}()
	maps, err := c.Session.Estimate(ctx, inputs)
	<-done
	return maps, err
}
