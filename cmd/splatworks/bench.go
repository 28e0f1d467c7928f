package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/splatworks/splatworks/cmd/splatworks/bench"
	"github.com/splatworks/splatworks/pipeline"
)

type benchCommand struct {
	Run     benchRunCommand     `cmd:"" default:"withargs" help:"Run every capture with every combination of what is varied."`
	Compare benchCompareCommand `cmd:"" help:"Compare two studies, or two runs: a table, and a page."`
	Export  benchExportCommand  `cmd:"" help:"Write a study in MLflow's format: to a folder, or to a server."`
}

func (benchCommand) Help() string {
	return `Each run gets a folder with its parameters, metrics, curves and pictures; a run that has its folder is not repeated, so an interrupted
study continues with the same command.

    splatworks bench fox.mp4 photos -o first --preset preview --seed 1
    splatworks bench fox.mp4 photos -o second --preset preview --seed 2
    splatworks bench compare first second -o comparison.html
    splatworks bench fox.mp4 -o sweep --vary preset=preview,standard --vary seed=1,2,3
    splatworks bench export first --mlruns mlruns`
}

type benchRunCommand struct {
	Datasets []string `arg:"" name:"dataset" help:"Captures: videos, zips of photos, folders of photos."`
	Out      string   `short:"o" required:"" placeholder:"DIR" help:"Folder of the study. Runs that it holds are not repeated."`
	Vary     []string `sep:"none" placeholder:"NAME=VALUE,..." help:"An option to vary, by the name of its flag; several make all combinations."`
	Keep     bool     `help:"Keep all results of each run; by default its pictures are kept."`
	Program  string   `placeholder:"FILE" help:"The splatworks to measure; default: this one."`
	Wishes   wishes   `embed:""`
}

func (cmd benchRunCommand) Run(ctx context.Context, c console) error {
	cells, err := cmd.cells(ctx)
	if err != nil {
		return usageError{err}
	}
	program := cmd.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	study := bench.Study{Dir: cmd.Out, Program: program, Keep: cmd.Keep, Now: time.Now, Note: func(line string) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(c.err, "   ", printable(line))
		}
	}}
	var records []bench.Record
	for i, cell := range cells {
		fmt.Fprintf(c.err, "  %d of %d: %s\n", i+1, len(cells), strings.TrimSpace(cell.Capture+" "+cell.Variant))
		r, made, err := study.Run(ctx, cell)
		if err != nil {
			return err
		}
		if !made {
			fmt.Fprintln(c.err, "    is there already")
		}
		records = append(records, r)
	}
	return bench.Table(c.out, records)
}

// cells are the runs of the study, with options that 'splatworks run' takes.
func (cmd benchRunCommand) cells(ctx context.Context) ([]bench.Cell, error) {
	args, err := cmd.Wishes.args()
	if err != nil {
		return nil, err
	}
	var axes []bench.Axis
	for _, text := range cmd.Vary {
		axis, err := bench.ParseAxis(text)
		if err != nil {
			return nil, fmt.Errorf("--vary: %w", err)
		}
		if !slices.ContainsFunc(pipeline.OptionTable(), func(row pipeline.Option) bool { return flagName(row) == axis.Flag }) {
			return nil, fmt.Errorf("--vary: there is no option %s", axis.Flag)
		}
		args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--"+axis.Flag+"=") })
		axes = append(axes, axis)
	}
	cells, err := bench.Cells(cmd.Datasets, axes, args)
	if err != nil {
		return nil, err
	}
	for _, cell := range cells {
		if _, err := os.Stat(cell.Input); err != nil {
			return nil, err
		}
		if err := checkRun(ctx, cell.Args); err != nil {
			return nil, fmt.Errorf("%s: %w", cell.Variant, err)
		}
	}
	return cells, nil
}

// checkRun says what 'splatworks run' would refuse of its flags.
func checkRun(ctx context.Context, args []string) error {
	var other commands
	parser, err := newParser(ctx, console{out: io.Discard, err: io.Discard}, &other, func(int) {})
	if err != nil {
		return err
	}
	if _, err := parser.Parse(append([]string{"run", ".", "-o", "."}, args...)); err != nil {
		return err
	}
	_, err = other.Run.Wishes.options()
	return err
}

type benchCompareCommand struct {
	First  string `arg:"" help:"A study, or the folder of one run in it."`
	Second string `arg:"" help:"Another one."`
	Out    string `short:"o" placeholder:"FILE" help:"Also write a page with curves and pictures, which loads nothing."`
	JSON   bool   `help:"Print JSON for scripts."`
}

func (cmd benchCompareCommand) Run(c console) error {
	comparison, err := bench.Compare(cmd.First, cmd.Second)
	if err != nil {
		return err
	}
	if cmd.Out != "" {
		if err := saveFile(cmd.Out, comparison.Page); err != nil {
			return err
		}
	}
	if cmd.JSON {
		return printJSON(c, comparison)
	}
	return comparison.Print(c.out)
}

type benchExportCommand struct {
	Study      string `arg:"" help:"A study, or the folder of one run in it."`
	Experiment string `placeholder:"NAME" help:"Name of the experiment; default: that of the study's folder."`
	MLruns     string `name:"mlruns" placeholder:"DIR" help:"Write to this folder, as 'mlflow ui --backend-store-uri DIR' reads it."`
	Server     string `env:"MLFLOW_TRACKING_URI" placeholder:"URL" help:"Send to this tracking server; MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD, identify you."`
}

func (cmd benchExportCommand) Run(ctx context.Context, c console) error {
	records, err := bench.Read(cmd.Study)
	if err != nil {
		return err
	}
	experiment := cmd.Experiment
	if experiment == "" {
		experiment = filepath.Base(filepath.Clean(cmd.Study))
	}
	switch {
	case cmd.MLruns != "":
		if err := bench.WriteMLflow(cmd.MLruns, experiment, records, time.Now()); err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%d runs are in %s\n", len(records), cmd.MLruns)
		return nil
	case cmd.Server == "":
		return usageError{fmt.Errorf("where to: give --mlruns DIR or --server URL")}
	}
	server := bench.Tracking{URL: cmd.Server, HTTP: &http.Client{Timeout: time.Minute},
		Token: os.Getenv("MLFLOW_TRACKING_TOKEN"), User: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD")}
	sent, err := server.Send(ctx, experiment, records)
	fmt.Fprintf(c.err, "%d of %d runs sent; the others were there\n", sent, len(records))
	return err
}
