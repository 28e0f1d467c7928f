package main

import (
	"crypto/rand"
	"fmt"

	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

type keyCommand struct {
	Name string `arg:"" help:"Name of the caller: lower-case letters, digits and hyphens."`
}

func (cmd keyCommand) Run(c console) error {
	token, err := pipeline.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	key, entry, err := trigger.NewKey(cmd.Name, token)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintln(c.err, "Line 1 is the secret key: give it only to its owner. Line 2 is its hash: add it to the deployment's api_keys. The key cannot be derived from it.")
	_, err = fmt.Fprintf(c.out, "%s\n%s\n", key, entry)
	return err
}
