// Command requests is the operators' API of the queue and the reaper's tick, as a Cloud Run service behind IAM.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/splatworks/splatworks/internal/app"
	"github.com/splatworks/splatworks/internal/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := serve.NewLogger(os.Stderr, os.Getenv("PROJECT_ID"), slog.LevelInfo)
	if err := app.RunRequests(ctx, log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}
