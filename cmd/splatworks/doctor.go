package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/splatworks/splatworks/infra/toolchain"
)

type doctorCommand struct {
	JSON bool `help:"Print JSON for scripts."`
}

func (cmd doctorCommand) Run(ctx context.Context, c console) error {
	reports := toolchain.Check(ctx)
	missing := 0
	for _, r := range reports {
		if !r.OK && !r.Optional {
			missing++
		}
	}
	if cmd.JSON {
		if err := printJSON(c, map[string]any{"ok": missing == 0, "tools": reports}); err != nil {
			return err
		}
	} else {
		for _, r := range reports {
			if r.OK {
				fmt.Fprintf(c.out, "ok       %-13s %s\n         %-13s %s\n", r.Name, r.Version, "", r.Path)
				continue
			}
			state := "MISSING"
			if r.Optional {
				state = "optional"
			}
			fmt.Fprintf(c.out, "%-8s %-13s needed for %s: %s\n         on Debian or Ubuntu: %s\n         on macOS: %s\n", state, r.Name, r.NeededFor, r.Problem, r.Debian, r.MacOS)
		}
	}
	if missing > 0 {
		return errors.New("not every tool is here")
	}
	return nil
}
