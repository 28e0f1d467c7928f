package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/cmd/splatworks/reconstruct"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
)

type traceCommand struct {
	Request   string       `arg:"" help:"Id of the request, or the folder that 'splatworks run' wrote to."`
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

func (traceCommand) Help() string {
	return `One line an attempt: the wait before it, the launch of its worker, its work, its cost, and why it failed; below it the seconds of the
programs and steps, and the last lines that the programs of a failed attempt printed.

    splatworks trace 01jh8z3m6q0v9t2k4x7r5w1b8c --operators data
    splatworks trace out`
}

func (cmd traceCommand) Run(ctx context.Context, c console) error {
	found, err := cmd.read(ctx)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, found)
	}
	return found.Write(c.out)
}

func (cmd traceCommand) read(ctx context.Context) (*story.Story, error) {
	if info, err := os.Stat(cmd.Request); err == nil && info.IsDir() {
		return traceOfRun(ctx, cmd.Request)
	}
	if !pipeline.ValidRequestID(cmd.Request) {
		return nil, usageError{fmt.Errorf("%q is neither the id of a request nor a folder", cmd.Request)}
	}
	found := new(story.Story)
	return found, cmd.Operators.call(ctx, http.MethodGet, "/trace/"+cmd.Request, nil, found)
}

// traceFile is what 'run' leaves of its story in the output folder.
const traceFile = "trace.json"

// traceOfRun is the story of a run that is at work or was interrupted, else the one that a run left when it ended.
func traceOfRun(ctx context.Context, dir string) (*story.Story, error) {
	found, err := reconstruct.Story(ctx, filepath.Join(dir, unfinished), time.Now)
	if !errors.Is(err, story.ErrUnknown) {
		return found, err
	}
	body, err := os.ReadFile(filepath.Join(dir, traceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("%s holds no run: name the folder that 'splatworks run' wrote to", dir)}
	}
	if err != nil {
		return nil, err
	}
	found = new(story.Story)
	if err := json.Unmarshal(body, found); err != nil {
		return nil, fmt.Errorf("read %s: %w", traceFile, err)
	}
	return found, nil
}

// leaveTrace writes the story of a run that has ended into its output folder.
func leaveTrace(ctx context.Context, r *reconstruct.Reconstruction, dir string) error {
	found, err := r.Story(ctx)
	if err != nil {
		return fmt.Errorf("trace of the run: %w", err)
	}
	return saveFile(filepath.Join(dir, traceFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(found)
	})
}
