package main

import (
	"context"

	"github.com/splatworks/splatworks/queue/simulate"
)

type simulateCommand struct {
	Arrivals string  `default:"500/h" help:"Rate of requests: 500/h, 12/min, 10000/day."`
	Slots    string  `placeholder:"STAGE=N,..." help:"Maximum number of workers by stage; other stages keep their default."`
	Requests int     `default:"5000" help:"Number of requests to simulate."`
	Urgent   float64 `help:"Share of requests with a higher priority, 0 to 1."`
	Sweep    bool    `help:"Simulate 10 to 1,000,000 requests a day instead, with the slots that each rate needs."`
	Separate bool    `help:"Give every stage a machine of its own: no worker continues with the next stage of a request."`
	Seed     uint64  `default:"1" help:"Random seed of arrivals and durations."`
	JSON     bool    `help:"Print JSON for scripts."`
}

func (cmd simulateCommand) Help() string {
	return "Plays arrivals in virtual time against the queue's real scheduling code, with stage times of the order of\n" +
		"captures of some 150 frames, and prints waiting times, utilisation and cost.\n\n" +
		"    splatworks simulate --arrivals 2000/h --slots train=12,preprocess=20"
}

func (cmd simulateCommand) Run(ctx context.Context, c console) error {
	cfg := simulate.Config{Stages: simulate.Defaults(), Requests: cmd.Requests, Urgent: cmd.Urgent, Seed: cmd.Seed}
	if cmd.Separate {
		simulate.Separate(cfg.Stages)
	}
	var err error
	if cfg.PerHour, err = simulate.ParseRate(cmd.Arrivals); err != nil {
		return usageError{err}
	}
	if cmd.Slots != "" {
		if err := simulate.SetSlots(cfg.Stages, cmd.Slots); err != nil {
			return usageError{err}
		}
	}
	if cmd.Sweep {
		reports, err := simulate.Sweep(ctx, cfg, simulate.Days, cmd.Requests)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printJSON(c, reports)
		}
		return simulate.PrintSweep(c.out, reports)
	}
	report, err := simulate.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, report)
	}
	return report.Print(c.out)
}
