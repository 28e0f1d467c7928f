package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// What the machine lacked is said, whatever an engine made of the consequences.
func TestFailureOfWhatTheMachineLacked(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/data/work/frame.png", Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		err           error
		kind          FailureKind
		code, message string
	}{
		"full disk":           {fmt.Errorf("extract: %w", full), ExhaustedResources, DiskFull, "/data/work"},
		"full disk, renaming": {&os.LinkError{Op: "rename", Old: "/a/b", New: "/c/d", Err: syscall.ENOSPC}, ExhaustedResources, DiskFull, "/c."},
		"quota":               {syscall.EDQUOT, ExhaustedResources, DiskFull, "full"},
		"another machine's":   {fmt.Errorf("put: %w", &FullDisk{"The storage is full."}), ExhaustedResources, DiskFull, "The storage is full."},
		"blamed on the input": {&Failure{Kind: InvalidInput, Code: "not_a_video", Err: full}, ExhaustedResources, DiskFull, "/data/work"},
		"no memory":           {&Failure{Kind: Internal, Code: "failed", Err: syscall.ENOMEM}, ExhaustedResources, OutOfMemory, "memory"},
		"known to be memory":  {&Failure{Kind: ExhaustedResources, Code: "colmap_killed", Message: "m", Err: syscall.ENOMEM}, ExhaustedResources, "colmap_killed", "m"},
		"no more processes":   {&fs.PathError{Op: "fork/exec", Path: "/usr/bin/ffmpeg", Err: syscall.EAGAIN}, Transient, MachineBusy, "process"},
		"no more files":       {&fs.PathError{Op: "open", Path: "/a", Err: syscall.EMFILE}, Transient, MachineBusy, "file"},
		"no program":          {fmt.Errorf("probe: %w", &exec.Error{Name: "ffprobe", Err: exec.ErrNotFound}), MissingTool, ProgramMissing, "ffprobe"},
		"deadline":            {context.DeadlineExceeded, Transient, StageDeadline, "in its time"},
		"a bug":               {errors.New("boom"), Internal, InternalError, "inside the stage"},
	} {
		t.Run(name, func(t *testing.T) {
			f := FailureOf(c.err, Preprocess)
			if f.Kind != c.kind || f.Code != c.code || f.Stage != Preprocess || !strings.Contains(f.Message, c.message) || !errors.Is(f, c.err) && f.Err != nil && c.code == DiskFull {
				t.Errorf("%+v", f)
			}
			if strings.Contains(f.Message+f.Advice, "retried") {
				t.Errorf("words of a retry in a failure that may be final: %s %s", f.Message, f.Advice)
			}
		})
	}
}

// What the queue repeats and what a client may submit again are two questions.
func TestRetriesOfQueueAndClient(t *testing.T) {
	for _, c := range []struct {
		f               Failure
		queue, resubmit bool
	}{
		{Failure{Kind: Transient, Code: "flaky"}, true, true},
		{Failure{Kind: ExhaustedResources, Code: DiskFull}, true, true},
		{Failure{Kind: Internal, Code: InternalError}, true, false},
		{Failure{Kind: Internal, Code: ArtifactGone}, false, true},
		{Failure{Kind: Transient, Code: ArtifactDamaged}, true, true},
		{Failure{Kind: InvalidInput, Code: "not_a_video"}, false, false},
		{Failure{Kind: MissingTool, Code: ProgramMissing}, false, false},
		{Failure{Kind: CanceledByClient, Code: "canceled"}, false, false},
	} {
		if c.f.Retryable() != c.queue || c.f.Resubmittable() != c.resubmit {
			t.Errorf("%s %s: retried %v, resubmittable %v", c.f.Kind, c.f.Code, c.f.Retryable(), c.f.Resubmittable())
		}
	}
}
