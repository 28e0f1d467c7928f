// Command splatworks is the whole backend on one machine, and the client of one that runs elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/splatworks/splatworks/pipeline"
)

type commands struct {
	Run    runCommand    `cmd:"" group:"here" help:"Reconstruct a video, a zip of photos or a folder of photos on this machine."`
	Doctor doctorCommand `cmd:"" group:"here" help:"List the programs that are needed, and how to install those that are missing."`
	Models modelsCommand `cmd:"" group:"here" help:"List, fetch and check depth models."`
	Sample sampleCommand `cmd:"" group:"here" help:"Render a synthetic capture with known camera poses."`
	Eval   evalCommand   `cmd:"" group:"here" help:"Measure any splat against a scene's images."`
	Render renderCommand `cmd:"" group:"here" help:"Render a film or pictures of any splat."`
	View   viewCommand   `cmd:"" group:"here" help:"Look at a result or a splat in the browser."`

	Convert convertCommand `cmd:"" group:"here" help:"Convert splats between formats; merge, crop, turn and shrink them."`
	Info    infoCommand    `cmd:"" group:"here" help:"Describe a splat file."`
	Mesh    meshCommand    `cmd:"" group:"here" help:"Make a textured mesh of a splat."`
	Bench   benchCommand   `cmd:"" group:"here" help:"Run captures with options, compare two such studies, export them to MLflow."`

	Up       upCommand       `cmd:"" group:"backend" help:"Run the whole backend on this machine until interrupted."`
	Submit   submitCommand   `cmd:"" group:"backend" help:"Send a capture to a running backend."`
	Estimate estimateCommand `cmd:"" group:"backend" help:"Ask a running backend what a request would take in time and money."`
	Status   statusCommand   `cmd:"" group:"backend" help:"Show the status of a request, as JSON."`
	Watch    watchCommand    `cmd:"" group:"backend" help:"Follow a request until it ends, and download the results."`
	Share    shareCommand    `cmd:"" group:"backend" help:"Share a result by a link of its own."`
	Cancel   cancelCommand   `cmd:"" group:"backend" help:"Cancel a request."`

	Trace    traceCommand    `cmd:"" group:"operate" help:"Show where the time of a request went, what it cost, and why it waits or failed."`
	Usage    usageCommand    `cmd:"" group:"operate" help:"Show or export what callers used in a period."`
	Erase    eraseCommand    `cmd:"" group:"operate" help:"Delete everything of a request, or of a caller."`
	Config   configCommand   `cmd:"" group:"operate" help:"Check the configuration file, and compare it with what runs."`
	Operate  operateCommand  `cmd:"" group:"operate" help:"Open the operators' page: queue, requests, retry, cancel, purge."`
	Keys     keysCommand     `cmd:"" group:"operate" help:"Add, list and revoke API keys of a running backend."`
	Key      keyCommand      `cmd:"" group:"operate" help:"Make an API key for the configuration of a deployment."`
	Rebuild  rebuildCommand  `cmd:"" group:"operate" help:"Rebuild the queue of a backend from its buckets."`
	Simulate simulateCommand `cmd:"" group:"operate" help:"Plan capacity: simulate traffic against the queue's scheduling."`

	Version versionCommand `cmd:"" group:"here" help:"Print the version."`
	Worker  workerCommand  `cmd:"" hidden:"" help:"Work on the tasks of one stage; started by 'up'."`
	Attempt attemptCommand `cmd:"" hidden:"" help:"Work on one attempt of a stage; started by 'run'."`
}

const description = `A video or a set of photos goes in, a 3D Gaussian splat comes out.

    splatworks doctor                    what is missing here, and how to get it
    splatworks run my-video.mp4 -o out   the splat: out/splat.ply

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`

// console is where commands write: results to out, everything for people to err.
type console struct {
	out, err io.Writer
	args     []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stops()...)
	defer stop()
	// A reader that goes away, as after "| head", must not end the program before it has cleared up: the write fails instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, console{out: os.Stdout, err: os.Stderr, args: os.Args[1:]}))
}

// stops are the signals that end the program in good order. A terminal that is closed hangs up, unless nohup says that it continues.
func stops() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	return list
}

// Exit codes: scripts rely on them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitBadUsage = 2
	exitStopped  = 130 // by Ctrl-C
)

// newParser fills cmd from arguments; exit is called after --help.
func newParser(ctx context.Context, c console, cmd *commands, exit func(int)) (*kong.Kong, error) {
	cmd.Run.Wishes, cmd.Submit.Wishes, cmd.Estimate.Wishes, cmd.Bench.Run.Wishes = newWishes(), newWishes(), newWishes(), newWishes()
	return kong.New(cmd,
		kong.Name("splatworks"),
		kong.Description(description),
		kong.ExplicitGroups([]kong.Group{
			{Key: "here", Title: "On this machine:"},
			{Key: "backend", Title: "With a backend, here or elsewhere:"},
			{Key: "operate", Title: "For operators:"},
		}),
		kong.Writers(c.out, c.err),
		kong.Exit(exit),
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeText)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(c))
}

func run(ctx context.Context, c console) int {
	var cmd commands
	exit := -1
	parser, err := newParser(ctx, c, &cmd, func(code int) { exit = code })
	if err != nil {
		fmt.Fprintln(c.err, "splatworks:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(c.args)
	if exit >= 0 { // --help printed itself
		return exit
	}
	if err != nil {
		fmt.Fprintf(c.err, "splatworks: %s\nTry 'splatworks --help'.\n", printable(err.Error()))
		return exitBadUsage
	}
	return report(c.err, parsed.Run())
}

// decodeText reads a flag's value, which may start with one hyphen (--translate -1,0,0): kong's own decoder takes that for a flag.
func decodeText(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Pop()
	switch value := token.String(); {
	case token.IsEOL():
		return errors.New("needs a value")
	case token.InferredType() == kong.FlagToken:
		return fmt.Errorf("needs a value before %s", value)
	default:
		target.SetString(value)
		return nil
	}
}

// report prints an error the way a person can act on and chooses the exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	var failure *pipeline.Failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(w, "splatworks:", printable(usage.Error()))
		return exitBadUsage
	case errors.As(err, &failure):
		fmt.Fprintf(w, "\nFAILED in %s (%s): %s\n%s\n", stageName(failure.Stage), failure.Code, printable(failure.Message), printable(failure.Advice))
	case errors.Is(err, syscall.EPIPE): // nobody reads any more
		return exitStopped
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "splatworks: interrupted")
		return exitStopped
	case errors.Is(err, syscall.ECONNREFUSED):
		fmt.Fprintf(w, "splatworks: %s\nNo backend answers there: start one with 'splatworks up', or name another with --server.\n", printable(err.Error()))
	default:
		fmt.Fprintln(w, "splatworks:", printable(err.Error()))
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
