package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
)

type keysCommand struct {
	Add    addKeyCommand    `cmd:"" help:"Add an API key and print its secret, once."`
	List   listKeysCommand  `cmd:"" help:"List API keys with scopes, expiry and last use."`
	Revoke revokeKeyCommand `cmd:"" help:"Revoke an API key."`
}

func (keysCommand) Help() string {
	return `An API key names who asks: its requests, limits and costs are those of the caller key:NAME. Keys are asked for by a backend that was
started with --ask-keys, and by a deployment with ask_keys = true. Only the hash of a key is kept, so nobody can print it again.

    splatworks up --data data --ask-keys
    splatworks keys add app
    SPLATWORKS_API_KEY=splatworks_... splatworks submit my-video.mp4
    splatworks keys list
    splatworks keys revoke 9f86d081884c7d65

To replace a key add another of the same name, give it to the app, and revoke the old one: until then both work. A revoked key opens nothing
after 30 seconds. Requests that were made with it continue, and go by their callback tokens.`
}

// keyRow is a key in the answers of the operators' API.
type keyRow struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	State     string    `json:"state"`
	Scopes    []string  `json:"scopes"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	UsedAt    time.Time `json:"used_at,omitzero"`
}

// notAsked is for operators who would think that they have locked the door.
const notAsked = "This backend asks for no keys, so everybody who reaches it may call: start it with --ask-keys, or apply ask_keys = true."

type addKeyCommand struct {
	Name      string       `arg:"" help:"Name of the caller: lower-case letters, digits and hyphens."`
	Scopes    []string     `enum:"submit,read" default:"submit,read" help:"What it may do: submit (ask for reconstructions and estimates), read (follow the caller's requests by their ids)."`
	Days      float64      `default:"365" help:"Days until it expires; 0: never."`
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

func (addKeyCommand) Help() string {
	return `The secret is the only line on standard output, so it can go straight into a secret store:

    splatworks keys add app --days 90
    splatworks keys add dashboard --scopes read`
}

func (cmd addKeyCommand) Run(ctx context.Context, c console) error {
	if !(cmd.Days >= 0) {
		return usageError{errors.New("--days must be 0 or more")}
	}
	ask := map[string]any{"name": cmd.Name, "scopes": cmd.Scopes, "expires_in_s": cmd.Days * 24 * 3600}
	var added struct {
		Asked  bool   `json:"asked"`
		Secret string `json:"secret"`
		Key    keyRow `json:"key"`
	}
	if err := cmd.Operators.call(ctx, http.MethodPost, "/keys", ask, &added); err != nil {
		return err
	}
	if !added.Asked {
		fmt.Fprintln(c.err, notAsked)
	}
	if cmd.JSON {
		return printJSON(c, added)
	}
	fmt.Fprintf(c.err, "Key %s of %s (%s), expires: %s. Give the next line to its owner only; it cannot be shown again.\n",
		added.Key.ID, printable(added.Key.Name), strings.Join(added.Key.Scopes, ", "), dayOr(added.Key.ExpiresAt, "never"))
	_, err := fmt.Fprintln(c.out, added.Secret)
	return err
}

type listKeysCommand struct {
	All       bool         `help:"Also those that have expired or were revoked."`
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

func (listKeysCommand) Help() string {
	return `The last use is known to the hour. Keys in the configuration (--api-keys, api_keys) are not listed: no command changes them.`
}

func (cmd listKeysCommand) Run(ctx context.Context, c console) error {
	var found struct {
		Asked bool     `json:"asked"`
		Keys  []keyRow `json:"keys"`
	}
	if err := cmd.Operators.call(ctx, http.MethodGet, "/keys", nil, &found); err != nil {
		return err
	}
	rows := []keyRow{}
	for _, k := range found.Keys {
		if cmd.All || k.State == "active" {
			rows = append(rows, k)
		}
	}
	if !found.Asked {
		fmt.Fprintln(c.err, notAsked)
	}
	if found.Keys = rows; cmd.JSON {
		return printJSON(c, found)
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "id\tname\tstate\tscopes\tcreated\texpires\tlast use")
	for _, k := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(k.ID), printable(k.Name), printable(k.State), strings.Join(k.Scopes, ","),
			dayOr(k.CreatedAt, ""), dayOr(k.ExpiresAt, "never"), dayOr(k.UsedAt, "never"))
	}
	return t.Flush()
}

type revokeKeyCommand struct {
	ID        string       `arg:"" name:"id" help:"Id of the key, as 'splatworks keys list' prints it: not the secret."`
	Operators operatorsAPI `embed:""`
	JSON      bool         `help:"Print JSON for scripts."`
}

func (revokeKeyCommand) Help() string {
	return `It opens nothing after 30 seconds; its holder is answered key_revoked. There is no way back: add another.`
}

func (cmd revokeKeyCommand) Run(ctx context.Context, c console) error {
	if strings.HasPrefix(cmd.ID, "splatworks_") {
		return usageError{errors.New("that is the secret of a key, and this command goes by its id: see 'splatworks keys list'. Revoke it, since other users can see command lines")}
	}
	var k keyRow
	if err := cmd.Operators.call(ctx, http.MethodDelete, "/keys/"+url.PathEscape(cmd.ID), nil, &k); err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, k)
	}
	_, err := fmt.Fprintf(c.out, "revoked %s of %s\n", printable(k.ID), printable(k.Name))
	return err
}

// dayOr is a day in UTC, or a word where there is none.
func dayOr(t time.Time, word string) string {
	if t.IsZero() {
		return word
	}
	return t.UTC().Format(time.DateOnly)
}
