package colmap

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/splatworks/splatworks/engines/tool"
)

// Failure says why there is no reconstruction and what can be done about it. A cancellation by the caller is no
// Failure: it comes back as the context's error.
type Failure struct {
	Code    string `json:"code"`    // one of the codes below; stable
	Message string `json:"message"` // what happened, in one sentence
	Advice  string `json:"advice"`  // what to do, in one sentence
	Err     error  `json:"-"`       // the cause, for logs
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s (%s): %v", f.Message, f.Code, f.Err)
	}
	return fmt.Sprintf("%s (%s)", f.Message, f.Code)
}

func (f *Failure) Unwrap() error { return f.Err }

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
	MissingTool = "colmap_missing"
	OptionError = "colmap_option_error"
	Crashed     = "colmap_crashed"
	Killed      = "colmap_killed" // by the kernel: out of memory
	TimedOut    = "colmap_timed_out"
	Failed      = "colmap_failed"
)

// AboutInput says whether other images are needed; else the same images may succeed elsewhere or later.
func (f *Failure) AboutInput() bool {
	switch f.Code {
	case TooFewImages, NoFeatures, UnreadableImage, NoSparseModel, TooFewRegistered, TooFewPoints, DegenerateBaseline, ImplausibleCameras:
		return true
	}
	return false
}

// OverlapMayHelp says whether more images of the same capture, between those that there were, may succeed.
func (f *Failure) OverlapMayHelp() bool {
	return f.Code == NoSparseModel || f.Code == TooFewRegistered || f.Code == TooFewPoints
}

// Exhausted says whether the machine was too small or too slow: a smaller plan may succeed.
func (f *Failure) Exhausted() bool { return f.Code == Killed || f.Code == TimedOut }

// Warning is something the owner of a capture should know although the work continues.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

func fail(code, advice, message string, args ...any) *Failure {
	return &Failure{Code: code, Message: tool.Printable(fmt.Sprintf(message, args...)), Advice: advice}
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

// failure turns the failure of a command into a Failure, except for the caller's own cancellation.
// lastError is the last error line that COLMAP logged.
func (c *Colmap) failure(command, lastError string, err error) error {
	var f *Failure
	var ended *tool.Error
	isEnded := errors.As(err, &ended)
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("colmap %s: %w", command, err)
	case errors.Is(err, context.DeadlineExceeded):
		f = fail(TimedOut, "Use fewer images or a smaller image size, or allow more time.", "COLMAP's %s did not finish in time", command)
	case errors.Is(err, exec.ErrNotFound) || isEnded && ended.Cause != nil:
		f = fail(MissingTool, "Install COLMAP 4 with infra/toolchain/install.sh; splatworks doctor shows what is found.", "COLMAP could not be started from %q", c.Path)
	case command == probe && isEnded && ended.Signal != 0:
		// Nothing was to be reconstructed yet: fewer images would not help, and nobody shall take the signal for want of memory.
		f = fail(Crashed, "Try again; splatworks doctor shows which COLMAP is found.", "COLMAP ended before it could say its version (%v)", ended.Signal)
		err = errors.New(err.Error())
	case isEnded && ended.Signal == syscall.SIGKILL:
		f = fail(Killed, "Use fewer images or a smaller image size, or more memory.", "COLMAP's %s was killed, most likely for want of memory", command)
	case strings.Contains(lastError, "Failed to create"):
		f = fail(NoSparseModel, adviceCapture, "COLMAP's %s found no set of images that belong together", command)
	case strings.Contains(lastError, "parse options") || strings.Contains(lastError, "Invalid options"):
		f = fail(OptionError, "This COLMAP may be too old or too new: 4.2 is known to work.", "COLMAP's %s did not accept its options: %s", command, lastError)
	case isEnded && (ended.Signal != 0 || ended.ExitCode >= 128):
		f = fail(Crashed, "Try again; if it happens again, the images may be damaged.", "COLMAP's %s crashed: %s", command, lastError)
	default:
		f = fail(Failed, "The log of this run says more.", "COLMAP's %s failed: %s", command, lastError)
	}
	f.Err = err
	if tool.SaysFullDisk(lastError) { // a stack trace may follow it, longer than what is kept of the output
		f.Err = fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return f
}

// adviceCapture is what helps when poses cannot be found.
const adviceCapture = "Move around the subject in small steps, keep it sharp and in view, and let each image overlap the next by at least 60 %."
