package main

import (
	"crypto/rand"
	"fmt"

	"github.com/splatworks/splatworks/functions/trigger"
	"github.com/splatworks/splatworks/pipeline"
)

type keyCommand struct {
	Name string `arg:"" help:"Who will call with it: lower-case letters, digits and hyphens."`
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
	fmt.Fprintln(c.err, "The first line is the key, for its owner alone; the second goes into the deployment's api_keys and says nothing about it.")
	_, err = fmt.Fprintf(c.out, "%s\n%s\n", key, entry)
	return err
}
