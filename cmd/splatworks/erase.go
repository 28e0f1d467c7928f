package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

type eraseCommand struct {
	Request   string       `xor:"what" placeholder:"ID" help:"Erase this request."`
	Caller    string       `xor:"what" placeholder:"NAME" help:"Erase all requests of a caller: key:NAME for the holder of an API key, else an address."`
	Cancel    bool         `help:"Cancel those that have not ended."`
	Keys      bool         `help:"Delete the API keys of --caller, too: a whole tenant. They are revoked at once and deleted with the last request."`
	DryRun    bool         `help:"Say what would be deleted, and delete nothing."`
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

func (eraseCommand) Help() string {
	return `Deletes every object of the requests, from the upload to the result, with their webhooks and shares, and the queue forgets them. Nothing
can bring them back. Exits with 1 while something is left: requests that have not ended, or whose worker may still write.

    splatworks erase --caller key:app --dry-run
    splatworks erase --caller key:app --cancel
    splatworks erase --caller key:app --cancel --keys   # all that there is of a tenant`
}

// erased is the answer of POST /purge.
type erased struct {
	Requests int   `json:"requests"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Active   int   `json:"active"`
	Waiting  int   `json:"waiting"`
	Keys     int   `json:"keys"`
	KeysLeft int   `json:"keys_left"`
	DryRun   bool  `json:"dry_run"`
}

func (cmd eraseCommand) Run(ctx context.Context, c console) error {
	if cmd.Request == "" && cmd.Caller == "" {
		return usageError{errors.New("say what to erase: --request or --caller")}
	}
	ask := map[string]any{"cancel": cmd.Cancel, "keys": cmd.Keys, "dry_run": cmd.DryRun}
	if cmd.Request != "" {
		ask["request_id"] = cmd.Request
	} else {
		ask["caller"] = cmd.Caller
	}
	var done erased
	if err := cmd.Operators.call(ctx, http.MethodPost, "/purge", ask, &done); err != nil {
		return err
	}
	if cmd.JSON {
		if err := printJSON(c, done); err != nil {
			return err
		}
	} else {
		word := "erased"
		if done.DryRun {
			word = "would erase"
		}
		keys := ""
		if cmd.Keys {
			keys = fmt.Sprintf(" and %d API keys", done.Keys)
		}
		fmt.Fprintf(c.out, "%s %d requests%s: %d objects, %d bytes\n", word, done.Requests, keys, done.Objects, done.Bytes)
	}
	switch {
	case done.DryRun:
		return nil
	case done.Active > 0:
		return fmt.Errorf("%d requests have not ended and are left: add --cancel, or wait for their end", done.Active)
	case done.Waiting > 0:
		return fmt.Errorf("%d requests ended just now and are left, since their workers may still write: repeat this in two minutes", done.Waiting)
	case done.KeysLeft > 0:
		return fmt.Errorf("%d API keys are revoked and left, since a request may still come with one: repeat this in two minutes", done.KeysLeft)
	}
	return nil
}
