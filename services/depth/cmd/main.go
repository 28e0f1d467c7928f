// Command depth is the depth stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	engine "github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/internal/app"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/depth"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := serve.NewLogger(os.Stderr, os.Getenv("PROJECT_ID"), slog.LevelInfo)
	if err := app.RunStage(ctx, log, definition); err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

func definition(c app.Config) (stage.Definition, error) {
	return depth.Stage(depth.Config{Model: c.DepthModel, Now: time.Now, Open: depth.Folder(c.DepthModels, engine.Options{
		Library: c.ONNXRuntime, Provider: engine.Provider(c.DepthProvider), Threads: c.Threads, MemoryBytes: engine.DefaultMemoryBytes,
	})}), nil
}
