package main

import (
	"context"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/client"
)

type shareCommand struct {
	Remote remote        `embed:""`
	Title  string        `placeholder:"TEXT" help:"Shown with the result."`
	For    time.Duration `placeholder:"168h" help:"How long the link works; default: until it is revoked or the results are deleted."`
	Photos bool          `help:"Up to six of your photographs may be seen, too, each beside what the splat shows there."`
	List   bool          `xor:"what" help:"List the links of the request."`
	Revoke string        `xor:"what" placeholder:"ID" help:"Revoke the link with this id."`
	JSON   bool          `help:"Print JSON for scripts."`
}

func (shareCommand) Help() string {
	return `The link shows the splat, the film, the picture and the report to everyone who has it, and none of the pictures that you took
without --photos. It is printed once.

    splatworks share --token TOKEN --title Kitchen --for 168h
    splatworks share --token TOKEN --list
    splatworks share --token TOKEN --revoke ID`
}

func (cmd shareCommand) Run(ctx context.Context, c console) error {
	api, token := cmd.Remote.api(), cmd.Remote.Token
	switch {
	case cmd.Revoke != "":
		return api.Unshare(ctx, token, cmd.Revoke)
	case cmd.List:
		return cmd.list(ctx, c, api)
	case cmd.For < 0 || cmd.For > 0 && cmd.For < time.Second:
		return usageError{fmt.Errorf("--for must be a second or more")}
	}
	s, err := api.Share(ctx, token, client.ShareAsked{Title: cmd.Title, ExpiresInS: int64(cmd.For.Seconds()), Photos: cmd.Photos})
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, s)
	}
	if s.URL == "" {
		s.URL = s.ShareToken // where no page is served
	}
	_, err = fmt.Fprintln(c.out, s.URL)
	return err
}

func (cmd shareCommand) list(ctx context.Context, c console, api *client.Client) error {
	all, err := api.Shares(ctx, cmd.Remote.Token)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, all)
	}
	for _, s := range all {
		until := "until it is revoked"
		if !s.ExpiresAt.IsZero() {
			until = "until " + s.ExpiresAt.Format(time.RFC3339)
		}
		if _, err := fmt.Fprintf(c.out, "%s  %s  %s\n", s.ShareID, until, printable(s.Title)); err != nil {
			return err
		}
	}
	return nil
}
