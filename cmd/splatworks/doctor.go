package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/gpu/cards"
	"github.com/splatworks/splatworks/infra/toolchain"
)

type doctorCommand struct {
	JSON   bool   `help:"Print JSON for scripts."`
	GPU    bool   `name:"gpu" help:"Look at graphics cards alone: draw a picture on one and on the processor, and compare."`
	Device string `default:"auto" enum:"auto,cuda,opencl" help:"With --gpu: the driver whose card is checked; auto: any card that is not the processor."`
}

func (doctorCommand) Help() string {
	return "Exits with 1 while anything is missing that is not optional; with --gpu while no card can train."
}

func (cmd doctorCommand) Run(ctx context.Context, c console) error {
	if cmd.GPU {
		return cmd.checkCard(c)
	}
	reports := append(toolchain.Check(ctx), depthModel())
	found, without := graphicsCards()
	missing := 0
	for _, r := range reports {
		if !r.OK && !r.Optional {
			missing++
		}
	}
	if cmd.JSON {
		if err := printJSON(c, map[string]any{"ok": missing == 0, "tools": reports, "cards": found, "cards_missing": without}); err != nil {
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
		printCards(c.out, found, without)
	}
	if missing > 0 {
		return errors.New("required programs are missing, see above")
	}
	return nil
}

// graphicsCards lists the cards that training could run on, and says for each driver without any why.
func graphicsCards() (found []cards.Card, without map[cards.Driver]string) {
	found, missing := cards.List()
	without = map[cards.Driver]string{}
	for driver, err := range missing {
		without[driver] = err.Error()
	}
	return append([]cards.Card{}, found...), without
}

func printCards(w io.Writer, found []cards.Card, without map[cards.Driver]string) {
	for _, card := range found {
		state := "ok"
		if card.Problem != "" {
			state = "optional"
		}
		fmt.Fprintf(w, "%-8s %-13s %s, %.1f GB\n         %-13s %s\n", state, "card", printable(card.Name), float64(card.Memory)/1e9, "", printable(fmt.Sprintf("%s: %s", card.Driver, card.Version)))
		if card.Problem != "" {
			fmt.Fprintf(w, "         %-13s cannot train: %s\n", "", card.Problem)
		}
	}
	for _, driver := range slices.Sorted(maps.Keys(without)) {
		fmt.Fprintf(w, "optional %-13s training on a graphics card: %s: %s\n", "card", driver, printable(without[driver]))
	}
}

// depthModel reports whether the default depth model is installed.
func depthModel() toolchain.Report {
	const get = "splatworks models fetch"
	r := toolchain.Report{Name: "depth model", NeededFor: "depth maps", Optional: true, Version: depth.DefaultModel}
	folder, err := toolchain.ModelsFolder()
	if err == nil {
		var d depth.Descriptor
		if d, err = depth.FindModel(folder, depth.DefaultModel); err == nil {
			r.Path = depth.ModelPath(folder, d)
			err = depth.Verify(r.Path, d)
		}
	}
	if r.OK = err == nil; !r.OK {
		r.Path, r.Problem, r.Debian, r.MacOS = "", err.Error(), get, get
		var f *fault.Failure
		if errors.As(err, &f) {
			r.Problem = f.Message
		}
	}
	return r
}
