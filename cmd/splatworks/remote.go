package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/splatworks/splatworks/client"
)

// remote says which backend and which request.
type remote struct {
	Server string `default:"http://127.0.0.1:8080" env:"SPLATWORKS_SERVER" help:"Where the request API answers."`
	Token  string `required:"" env:"SPLATWORKS_TOKEN" help:"Callback token of the request, as printed by submit."`
}

func (r remote) api() *client.Client { return &client.Client{BaseURL: r.Server} }

type submitCommand struct {
	Input   string `arg:"" help:"A video, a zip of photos, or a folder of photos."`
	Server  string `default:"http://127.0.0.1:8080" env:"SPLATWORKS_SERVER" help:"Where the request API answers."`
	Session string `help:"Your own name for the request; a session is reconstructed once."`
	Wishes  wishes `embed:""`
}

func (cmd submitCommand) Run(ctx context.Context, c console) error {
	options, err := cmd.Wishes.options()
	if err != nil {
		return err
	}
	input, size, done, err := openInput(cmd.Input)
	if err != nil {
		return err
	}
	defer done()
	if cmd.Session == "" {
		cmd.Session = fmt.Sprintf("cli-%d", time.Now().UnixNano())
	}
	api := &client.Client{BaseURL: cmd.Server}
	accepted, err := api.Trigger(ctx, client.Trigger{SessionID: cmd.Session, Options: options})
	if err != nil {
		return err
	}
	// Before the upload: whoever holds the token can call the request off even if the upload fails.
	if _, err := fmt.Fprintf(c.out, "request %s\ntoken   %s\n", accepted.RequestID, accepted.CallbackToken); err != nil {
		return err
	}
	b := newBars(c.err)
	if err := api.Upload(ctx, accepted.Upload, input, size, func(sent, total int64) {
		b.show("upload", 100*float64(sent)/float64(max(total, 1)), megabytes(sent))
	}); err != nil {
		b.fail()
		return fmt.Errorf("%w; call the request off with: splatworks cancel --token %s", err, accepted.CallbackToken)
	}
	b.end()
	return nil
}

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
	Out    string `short:"o" placeholder:"DIR" help:"Fetch the results into this folder."`
}

func (cmd watchCommand) Run(ctx context.Context, c console) error {
	api := cmd.Remote.api()
	s, err := follow(ctx, api, cmd.Remote.Token, newBars(c.err))
	if err != nil || cmd.Out == "" {
		return err
	}
	if err := os.MkdirAll(cmd.Out, 0o755); err != nil {
		return err
	}
	if err := fetchResults(ctx, api, s, cmd.Out); err != nil {
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
