package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/splatworks/splatworks/client"
)

// remote says which backend and which request.
type remote struct {
	Server string `default:"http://127.0.0.1:8080" env:"SPLATWORKS_SERVER" help:"Address of the request API."`
	Token  string `required:"" env:"SPLATWORKS_TOKEN" placeholder:"TOKEN" help:"Callback token of the request, as printed by submit."`
}

func (r remote) api() *client.Client { return &client.Client{BaseURL: r.Server} }

type statusCommand struct {
	Remote remote `embed:""`
}

func (cmd statusCommand) Run(ctx context.Context, c console) error {
	s, err := cmd.Remote.api().Status(ctx, cmd.Remote.Token)
	if err != nil {
		return err
	}
	return printJSON(c, s)
}

type watchCommand struct {
	Remote remote `embed:""`
	Out    string `short:"o" placeholder:"DIR" help:"Download the results into this folder."`
	Scene  bool   `help:"Also download the undistorted images with their poses into scene/, for eval, render and other trainers."`
}

func (watchCommand) Help() string {
	return `Ends with 0 only when the request is COMPLETED, and says what to do when it FAILED. Interrupting it stops nothing but the
watching.`
}

func (cmd watchCommand) Run(ctx context.Context, c console) error {
	api := cmd.Remote.api()
	s, err := follow(ctx, api, cmd.Remote.Token, newBars(c.err))
	if err != nil || cmd.Out == "" {
		return err
	}
	if err := prepareOutput(cmd.Out, "", cmd.Scene); err != nil {
		return err
	}
	if err := fetchResults(ctx, api, s, cmd.Out, cmd.Scene); err != nil {
		return err
	}
	report, err := readReport(cmd.Out)
	if err != nil {
		return err
	}
	printSummary(c.err, report, cmd.Out)
	return nil
}

type cancelCommand struct {
	Remote remote `embed:""`
}

func (cmd cancelCommand) Run(ctx context.Context, c console) error {
	s, err := cmd.Remote.api().Cancel(ctx, cmd.Remote.Token)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, s.RequestID, s.Status)
	return err
}

func printJSON(c console, v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
