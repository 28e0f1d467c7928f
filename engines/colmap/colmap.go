// Package colmap drives COLMAP 4.2, in which GLOMAP lives on as global_mapper: one function for each command it uses,
// with typed options, typed progress read from COLMAP's own output, and typed failures.
//
// [Colmap.Reconstruct] is the whole way from a folder of images to undistorted images with poses. It is between
// frame selection and everything that needs cameras. It does not choose frames, estimate depth or train; the models it
// makes are read with engines/scene.
//
// Names of options and commands are COLMAP's. Every call runs on the CPU: Debian's build has no CUDA, and with
// use_gpu left at its default COLMAP aborts for want of a display.
package colmap

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/splatworks/splatworks/engines/tool"
)

// Colmap is an installed COLMAP 4.x and how to run it.
type Colmap struct {
	// Path is the program: a file, or a name to be found in PATH.
	Path string
	// Threads bounds the threads of one command; 0 uses every core. With 1 and a fixed RandomSeed results are identical
	// to the byte; with more they differ in the fifth digit.
	Threads int
	// RandomSeed is COLMAP's default_random_seed.
	RandomSeed int
	// Timeout bounds one command; 0 leaves it to the context.
	Timeout time.Duration
	// Progress, if set, is called for each step that a command reports, from one goroutine at a time.
	Progress func(Progress)
}

// Progress is one step of a running command.
type Progress struct {
	Command     string  // COLMAP's name for it
	Step, Total int     // in the command's own unit: images, blocks or phases; Total is 0 when unknown
	Message     string  // what is being done, for a person
	Fraction    float64 // of all that Reconstruct does, 0 to 1, never falling; 0 for single commands
	ExpectedS   float64 // seconds that Reconstruct is expected to take, by the features counted so far; 0: not known

	features int // root of the mean square of those of the images so far; of feature_extractor
}

// Run is what one command cost.
type Run struct {
	Command     string  `json:"command"`
	WallS       float64 `json:"wall_s"`
	CPUS        float64 `json:"cpu_s"`
	MaxRSSBytes int64   `json:"max_rss_bytes"`
}

// probe is the command that says the version and the other commands.
const probe = "help"

// Version is what COLMAP says of itself, such as "4.2.1". A COLMAP without global_mapper is a [Failure].
func (c *Colmap) Version(ctx context.Context) (string, error) {
	version, global := "", false
	_, err := tool.Run(ctx, tool.Command{
		Path: c.Path, Args: []string{probe}, Timeout: c.Timeout, Grace: -1,
		OnStdout: func(line string) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "COLMAP "); ok && version == "" {
				version, _, _ = strings.Cut(rest, " ")
			}
			global = global || strings.HasPrefix(strings.TrimSpace(line), "global_mapper")
		},
	})
	if err != nil {
		return "", c.failure(probe, "", err)
	}
	if !global {
		return version, fail(MissingTool, adviceInstall, "COLMAP %s at %s has no global_mapper.", version, c.Path)
	}
	return version, nil
}

// watcher reads a command's progress from its log, a line at a time, without glog's prefix.
type watcher interface {
	line(message string) (p Progress, ok bool)
}

// run runs one command and reports its progress.
func (c *Colmap) run(ctx context.Context, command string, args []string, watch watcher) (Run, error) {
	args = append([]string{command,
		// Without these every call leaves a log file in the temporary folder, and colours in the messages.
		"--log_target", "stderr", "--log_color", "0",
		"--default_random_seed", strconv.Itoa(c.RandomSeed)}, args...)
	lastError, last := "", Progress{}
	usage, err := tool.Run(ctx, tool.Command{
		Path: c.Path, Args: args, Name: "colmap " + command, Timeout: c.Timeout,
		// A second thread pool inside BLAS makes the mappers slower, not faster.
		Env: []string{"OPENBLAS_NUM_THREADS=1"},
		OnStderr: func(line string) {
			severity, message := splitLog(line)
			if severity == 'E' || severity == 'F' || strings.HasPrefix(message, "what():") {
				lastError = message
			}
			if p, ok := watch.line(message); ok {
				p.Command, last = command, p
				c.report(p)
			}
		},
	})
	run := Run{Command: command, WallS: usage.Wall.Seconds(), CPUS: usage.CPU.Seconds(), MaxRSSBytes: usage.MaxRSSBytes}
	if err != nil {
		return run, c.failure(command, lastError, err)
	}
	if last.Step < last.Total {
		last.Command, last.Step = command, last.Total
		c.report(last)
	}
	return run, nil
}

// splitLog separates glog's prefix ("I20261121 07:40:39.041996 28578 file.cc:82] ") from the message.
func splitLog(line string) (severity byte, message string) {
	if len(line) > 1 && strings.IndexByte("IWEF", line[0]) >= 0 && line[1] >= '0' && line[1] <= '9' {
		if _, after, ok := strings.Cut(line, "] "); ok {
			return line[0], strings.TrimSpace(after)
		}
	}
	return 0, strings.TrimSpace(line)
}

// report passes a step on to the listener.
func (c *Colmap) report(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}

// canceled says whether err comes from the context and not from COLMAP.
func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
