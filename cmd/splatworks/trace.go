package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/splatworks/splatworks/cmd/splatworks/laptop"
	"github.com/splatworks/splatworks/cmd/splatworks/reconstruct"
	"github.com/splatworks/splatworks/infra/local/socket"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/story"
	"github.com/splatworks/splatworks/pipeline"
)

type traceCommand struct {
	Request   string `arg:"" help:"Id of the request, or the folder that 'splatworks run' wrote to."`
	Operators string `default:"data" env:"SPLATWORKS_OPERATORS" placeholder:"DIR|URL" help:"Operators' API: the data folder of 'up' or the socket in it, or the address of a deployment's requests service."`
	Identity  string `env:"SPLATWORKS_IDENTITY_TOKEN" placeholder:"TOKEN" help:"Identity token for a deployment, as 'gcloud auth print-identity-token' prints it."`
	JSON      bool   `help:"Print JSON for scripts."`
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
	return cmd.ask(ctx)
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

// maxStoryBytes bounds an answer.
const maxStoryBytes = 16 << 20

// ask gets the story from the operators' API.
func (cmd traceCommand) ask(ctx context.Context) (*story.Story, error) {
	base, client := strings.TrimSuffix(cmd.Operators, "/"), http.DefaultClient
	if u, err := url.Parse(base); err != nil || u.Host == "" {
		path := base
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, laptop.OperatorsSocket)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("no backend runs there: name the data folder of 'splatworks up', its socket, or the address of a deployment's requests service with --operators (%w)", err)
		}
		base, client = "http://operators", &http.Client{Transport: socket.Transport(path)}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/trace/"+cmd.Request, nil)
	if err != nil {
		return nil, usageError{err}
	}
	if cmd.Identity != "" {
		r.Header.Set("Authorization", "Bearer "+cmd.Identity)
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStoryBytes))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp, body)
	}
	found := new(story.Story)
	if err := json.Unmarshal(body, found); err != nil {
		return nil, fmt.Errorf("the answer is not a trace: %w", err)
	}
	return found, nil
}

// refused says why the operators' API, or what is in front of it, gave no story.
func refused(resp *http.Response, body []byte) error {
	var p serve.Problem
	switch err := json.Unmarshal(body, &p); {
	case err == nil && p.Code != "":
		return fmt.Errorf("%s %s (%s)", p.Detail, p.Advice, p.Code)
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: set SPLATWORKS_IDENTITY_TOKEN to what 'gcloud auth print-identity-token' prints; roles/run.invoker on the requests service is needed", resp.Status)
	}
	return errors.New(resp.Status)
}
