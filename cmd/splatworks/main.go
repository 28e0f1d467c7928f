// Command splatworks is the whole backend on one machine, and the client of one that runs elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/splatworks/splatworks/pipeline"
)

type commands struct {
	Run      runCommand      `cmd:"" help:"Reconstruct a video, a zip of photos or a folder of photos on this machine."`
	Up       upCommand       `cmd:"" help:"Run the whole backend on this machine until interrupted."`
	Sample   sampleCommand   `cmd:"" help:"Render a synthetic capture with known camera poses."`
	Eval     evalCommand     `cmd:"" help:"Measure any splat against a scene's images."`
	Render   renderCommand   `cmd:"" help:"Render a film or pictures of any splat."`
	Models   modelsCommand   `cmd:"" help:"List, fetch and check depth models."`
	Doctor   doctorCommand   `cmd:"" help:"Say which native tools are here, and how to get what is missing."`
	Submit   submitCommand   `cmd:"" help:"Send a capture to a running backend."`
	Status   statusCommand   `cmd:"" help:"Show the status of a request."`
	Watch    watchCommand    `cmd:"" help:"Follow a request to its end."`
	Cancel   cancelCommand   `cmd:"" help:"Call a request off."`
	Simulate simulateCommand `cmd:"" help:"Plan capacity: play traffic against the queue's scheduling in virtual time."`
	Rebuild  rebuildCommand  `cmd:"" help:"Rebuild the queue of a backend from its buckets."`
	Key      keyCommand      `cmd:"" help:"Make an API key for a deployment."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
	Worker   workerCommand   `cmd:"" hidden:"" help:"Work on the tasks of one stage; started by 'up'."`
}

// console is where commands write: results to out, everything for people to err.
type console struct {
	out, err io.Writer
	args     []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, console{out: os.Stdout, err: os.Stderr, args: os.Args[1:]}))
}

// Exit codes: scripts rely on them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitBadUsage = 2
	exitStopped  = 130 // by Ctrl-C
)

func run(ctx context.Context, c console) int {
	var cmd commands
	exit := -1
	parser, err := kong.New(&cmd,
		kong.Name("splatworks"),
		kong.Description("A video or a set of photos goes in, a 3D Gaussian splat comes out."),
		kong.Writers(c.out, c.err),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(c))
	if err != nil {
		fmt.Fprintln(c.err, "splatworks:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(c.args)
	if exit >= 0 { // --help printed itself
		return exit
	}
	if err != nil {
		fmt.Fprintf(c.err, "splatworks: %v\nTry 'splatworks --help'.\n", err)
		return exitBadUsage
	}
	return report(c.err, parsed.Run())
}

// report prints an error the way a person can act on and chooses the exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	var failure *pipeline.Failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(w, "splatworks:", usage)
		return exitBadUsage
	case errors.As(err, &failure):
		fmt.Fprintf(w, "\nFAILED in %s (%s): %s\n%s\n", stageName(failure.Stage), failure.Code, failure.Message, failure.Advice)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "splatworks: interrupted")
		return exitStopped
	case errors.Is(err, syscall.ECONNREFUSED):
		fmt.Fprintf(w, "splatworks: %v\nNo backend answers there: start one with 'splatworks up', or name another with --server.\n", err)
	default:
		fmt.Fprintln(w, "splatworks:", err)
	}
	return exitFailed
}

func stageName(s pipeline.Stage) string {
	if s == "" {
		return "upload"
	}
	return string(s)
}

// usageError is the caller's mistake.
type usageError struct{ error }

type versionCommand struct{}

func (versionCommand) Run(c console) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				version += " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintln(c.out, "splatworks", version)
	return err
}
