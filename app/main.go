package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/splatworks/splatworks/internal/serve"
)

// Program is what a deployable does, from its start to its end.
type Program func(ctx context.Context, log *slog.Logger) error

// Main is the main of every deployable: its program ends when its work is done or when the platform stops it (SIGTERM), and what it ended with, an
// error or a panic, is a line of the log that Cloud Logging reads as an error.
func Main(run Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := newLogger()
	if err := guarded(ctx, log, run); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

// guarded turns a panic into an error, after its stack is logged.
func guarded(ctx context.Context, log *slog.Logger, run Program) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.Error("stack of the panic that ends the program", "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return run(ctx, log)
}

func newLogger() *slog.Logger {
	return serve.NewLogger(os.Stderr, os.Getenv("PROJECT_ID"), slog.LevelInfo)
}
