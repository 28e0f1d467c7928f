package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/splatworks/splatworks/cmd/splatworks/config"
)

type configCommand struct {
	Check  configCheckCommand  `cmd:"" help:"Check a configuration; what is wrong is named with its line."`
	Diff   configDiffCommand   `cmd:"" help:"Show what applying a configuration would change in a running deployment."`
	Schema configSchemaCommand `cmd:"" help:"Print the JSON schema of the configuration, for editors."`
}

func (configCommand) Help() string {
	return `splatworks.yaml says what a deployment is made from: slots and machines of the stages, shares of models, presets, limits, prices,
days of retention. terraform reads it in the project's folder; 'up' and 'run' read the one that --config names.

    splatworks config check
    splatworks config diff --operators data`
}

// configFile is the file that a configuration is read from.
type configFile struct {
	File string `arg:"" optional:"" default:"splatworks.yaml" help:"The configuration."`
}

func (c configFile) read() (*config.File, error) { return readConfig(c.File) }

// readConfig reads a configuration; without a path it says nothing.
func readConfig(path string) (*config.File, error) {
	if path == "" {
		return &config.File{}, nil
	}
	file, err := config.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("there is no %s: splatworks.example.yaml in the project's folder is a beginning", path)}
	}
	if err != nil {
		return nil, usageError{err}
	}
	return file, nil
}

type configCheckCommand struct {
	configFile
}

func (cmd configCheckCommand) Run(c console) error {
	if _, err := cmd.read(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.out, cmd.File, "is right")
	return err
}

type configSchemaCommand struct{}

func (configSchemaCommand) Run(c console) error {
	_, err := c.out.Write(config.Schema)
	return err
}

type configDiffCommand struct {
	configFile
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

// diffPatience is how long a deployment may take to start its operators' API and answer.
var diffPatience = time.Minute

func (cmd configDiffCommand) Run(ctx context.Context, c console) error {
	file, err := cmd.read()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diffPatience)
	defer cancel()
	var running struct {
		Declared map[string]any `json:"declared"`
	}
	var answered refusedCall
	switch err := cmd.Operators.call(ctx, http.MethodGet, "/config", nil, &running); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the operators' API did not answer within %s", diffPatience)
	case errors.As(err, &answered) && answered.status == http.StatusNotFound:
		return errors.New("the deployment is older than its configuration: deploy this version once, then compare")
	case err != nil:
		return err
	case len(running.Declared) == 0:
		return errors.New("the deployment does not know what it was made from: it was not made by terraform or 'splatworks up'")
	}
	changes := file.Diff(running.Declared)
	if cmd.JSON {
		return printJSON(c, map[string]any{"changes": changes})
	}
	return printChanges(c, changes)
}

func printChanges(c console, changes []config.Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing would change")
		return err
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\truns with\tthe file has")
	for _, change := range changes {
		fmt.Fprintf(t, "%s\t%s\t%s\n", change.Field, shown(change.Runs), shown(change.Says))
	}
	return t.Flush()
}

// shown is a value for people. What a deployment sent is made printable.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return printable(fmt.Sprint(v))
}
