package app

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/splatworks/splatworks/internal/serve"
)

// Program is what a deployable does, from its start to its end.
type Program func(ctx context.Context, log *slog.Logger) error

// Main is the main of every deployable: its program ends by itself or when the platform says so (SIGTERM), and its error is logged.
func Main(run Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := serve.NewLogger(os.Stderr, os.Getenv("PROJECT_ID"), slog.LevelInfo)
	if err := run(ctx, log); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}
