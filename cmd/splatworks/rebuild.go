package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/cmd/splatworks/laptop"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/queue"
)

type rebuildCommand struct {
	Data string `placeholder:"DIR" help:"Data folder of 'up', which must not be running. Default: the deployed backend that the environment variables of its services name."`
}

func (rebuildCommand) Help() string {
	return "Puts back what the buckets know: who waits for an upload, whose next task is ready, who has ended. It adds what is missing\n" +
		"and takes back nothing, so it is safe on a live queue and safe to repeat."
}

func (cmd rebuildCommand) Run(ctx context.Context, c console) error {
	log := serve.NewLogger(c.err, "", slog.LevelWarn)
	var rebuilt queue.Rebuilt
	var err error
	if cmd.Data == "" {
		rebuilt, err = app.Rebuild(ctx, log)
	} else {
		rebuilt, err = cmd.local(ctx, log)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%d requests in the buckets: %d were unknown to the queue, %d tasks made ready\n", rebuilt.Records, rebuilt.Requests, rebuilt.Tasks)
	return err
}

func (cmd rebuildCommand) local(ctx context.Context, log *slog.Logger) (queue.Rebuilt, error) {
	b, err := laptop.Start(ctx, laptop.Options{Listen: "127.0.0.1:0", Dir: cmd.Data, Lease: 15 * time.Second, Idle: true, Log: log})
	if err != nil {
		return queue.Rebuilt{}, err
	}
	rebuilt, err := b.Rebuild(ctx)
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	return rebuilt, err
}
