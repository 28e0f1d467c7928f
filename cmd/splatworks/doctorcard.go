package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
)

// checked is the picture of doctor --gpu: the size of a usual training image.
var checked = cards.Picture{Gaussians: 100_000, Width: 1280, Height: 720}

// checkCard lists the cards and has the one that training would take draw a picture.
func (cmd doctorCommand) checkCard(c console) error {
	found, without := graphicsCards()
	start := time.Now()
	clock := func() time.Duration { return time.Since(start) }
	check, err := cards.CheckCard(func() (gpu.Device, error) { return cards.Open(cards.Driver(cmd.Device)) }, checked, clock)
	if err == nil && !check.Agrees() {
		err = fmt.Errorf("%s draws another picture than the processor (%.1g from it, in colours from 0 to 1): another version of its driver may help", check.Card, check.ImageRMS)
	}
	took := clock()
	if cmd.JSON {
		document := map[string]any{"ok": err == nil, "cards": found, "cards_missing": without, "took_s": took.Seconds()}
		if check.Card != "" {
			document["check"] = check
		}
		if err != nil {
			document["problem"] = err.Error()
		}
		if err := printJSON(c, document); err != nil {
			return err
		}
	} else {
		printCards(c.out, found, without)
		if err == nil {
			fmt.Fprintf(c.out, "ok       %-13s %d Gaussians at %dx%d drawn in %.1f ms, by the processor in %.1f ms; %.1g apart; ready after %.1f s\n", "check",
				check.Gaussians, check.Width, check.Height, check.CardMS, check.ProcessorMS, check.ImageRMS, (check.OpenMS+check.FirstMS)/1000)
		}
	}
	if err != nil {
		return errors.New(printable(err.Error()))
	}
	return nil
}
