package main

import (
	"crypto/rand"
	"fmt"

	"github.com/splatworks/splatworks/internal/tenant"
)

type keyCommand struct {
	Name string `arg:"" help:"Name of the caller: lower-case letters, digits and hyphens."`
}

func (keyCommand) Help() string {
	return `Makes a key for the configuration of a backend. It works from the backend's start on, and no command revokes it. A key with scopes
and an expiry, which can be revoked while the backend runs, is made by

    splatworks keys add app`
}

func (cmd keyCommand) Run(c console) error {
	secret, key, err := tenant.New(cmd.Name, rand.Reader)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintln(c.err, "Line 1 is the secret key: give it only to its owner. Line 2 is its hash: add it to the deployment's api_keys. The key cannot be derived from it.")
	_, err = fmt.Fprintf(c.out, "%s\n%s\n", secret, key.Entry())
	return err
}
