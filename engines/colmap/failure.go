package colmap

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// Codes of failures that are about the images: trying again does not help.
const (
	TooFewImages     = "too_few_images"
	NoFeatures       = "no_features"
	UnreadableImage  = "unreadable_image"
	NoSparseModel    = "no_sparse_model"
	TooFewRegistered = "too_few_registered"
	TooFewPoints     = "too_few_points"
	// DegenerateBaseline is a camera that turned but hardly moved.
	DegenerateBaseline = "degenerate_baseline"
	// ImplausibleCameras are models all of whose focal lengths no lens has.
	ImplausibleCameras = "implausible_cameras"
)

// Codes of failures that are about the machine or the program.
const (
	MissingTool = "colmap_missing" // or it cannot start
	OptionError = "colmap_option_error"
	Crashed     = "colmap_crashed"
	Killed      = "colmap_killed" // by the kernel: out of memory
	TimedOut    = "colmap_timed_out"
	Failed      = "colmap_failed"
	NotChecked  = "colmap_not_checked" // one mapper by the other
)

// kinds are those of the codes above that are not fault.Broken.
var kinds = map[string]fault.Kind{
	TooFewImages: fault.Input, NoFeatures: fault.Input, UnreadableImage: fault.Input, NoSparseModel: fault.Input, TooFewRegistered: fault.Input,
	TooFewPoints: fault.Input, DegenerateBaseline: fault.Input, ImplausibleCameras: fault.Input,
	Killed: fault.Exhausted, TimedOut: fault.Late, NotChecked: fault.Late, MissingTool: fault.Missing,
}

// OverlapMayHelp says whether more images of the same capture, between those that there were, may succeed.
func OverlapMayHelp(f *fault.Failure) bool {
	return f.Code == NoSparseModel || f.Code == TooFewRegistered || f.Code == TooFewPoints
}

func fail(code, advice, message string, args ...any) *fault.Failure {
	return fault.New(kinds[code], code, advice, message, args...)
}

// say counts things with the words for one and for several, be is the verb behind them.
func say(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

func be(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// failure turns the failure of a command into a *fault.Failure, except for the caller's own cancellation.
// lastError is the last error line that COLMAP logged.
func (c *Colmap) failure(command, lastError string, err error) error {
	var f *fault.Failure
	var ended *tool.Error
	lastError = strings.TrimSuffix(lastError, ".")
	isEnded := errors.As(err, &ended)
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("colmap %s: %w", command, err)
	case errors.Is(err, context.DeadlineExceeded):
		f = fail(TimedOut, "Use fewer images or a smaller image size, or allow more time.", "COLMAP's %s did not finish in time.", command)
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("starting colmap %s: %w", command, err) // the machine is busy: later it starts
	case errors.Is(err, exec.ErrNotFound) || isEnded && ended.Cause != nil:
		f = fail(MissingTool, adviceInstall, "COLMAP could not be started from %q.", c.Path)
	case command == probe && isEnded && ended.Signal != 0:
		// Nothing was to be reconstructed yet: fewer images would not help, and nobody shall take the signal for want of memory.
		f = fail(Crashed, "Try again; if it happens again, install COLMAP anew.", "COLMAP ended before it could say its version (%v).", ended.Signal)
		err = errors.New(err.Error())
	case isEnded && (command == probe || ended.ExitCode == notExecutable || ended.ExitCode == notFound):
		f = fail(MissingTool, adviceStart, "COLMAP could not start from %q: %s.", c.Path, firstLine(ended))
	case isEnded && ended.Signal == syscall.SIGKILL:
		f = fail(Killed, "Use fewer images or a smaller image size, or more memory.", "COLMAP's %s was killed, most likely for want of memory.", command)
	case strings.Contains(lastError, "Failed to create"):
		f = fail(NoSparseModel, adviceCapture, "COLMAP's %s found no set of images that belong together.", command)
	case strings.Contains(lastError, "parse options") || strings.Contains(lastError, "Invalid options"):
		f = fail(OptionError, "This COLMAP may be too old or too new: 4.2 is known to work.", "COLMAP's %s did not accept its options: %s.", command, lastError)
	case isEnded && (ended.Signal != 0 || ended.ExitCode >= 128):
		f = fail(Crashed, "Try again; if it happens again, the images may be damaged.", "COLMAP's %s crashed: %s.", command, lastError)
	default:
		f = fail(Failed, "The log of this run says more.", "COLMAP's %s failed: %s.", command, lastError)
	}
	f.Err = err
	if tool.SaysFullDisk(lastError) { // a stack trace may follow it, longer than what is kept of the output
		f.Err = fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return f
}

// Exit codes of a shell or a dynamic loader that could not run a program (POSIX, Shell Command Language, 2.8.2).
const (
	notExecutable = 126
	notFound      = 127
)

// firstLine is the first line that a shell or a loader printed: the lines after it are consequences.
func firstLine(ended *tool.Error) string {
	for _, line := range ended.Tail {
		if line = strings.TrimSuffix(strings.TrimSpace(line), "."); line != "" {
			return line
		}
	}
	return fmt.Sprintf("it ended with exit code %d", ended.ExitCode)
}

// What those do who run the machine; how they install a program is not known here.
const (
	adviceInstall = "COLMAP 4 with global_mapper must be installed where poses are computed."
	adviceStart   = "'colmap help' must work where poses are computed, with the PATH of the program that calls it: add what it lacks, or install COLMAP again."
)

// adviceCapture is what helps when poses cannot be found.
const adviceCapture = "Move around the subject in small steps, keep it sharp and in view, and let each image overlap the next by at least 60 %."
