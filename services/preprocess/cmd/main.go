// Command preprocess is the preprocess stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/app"
	"github.com/splatworks/splatworks/internal/serve"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/preprocess"
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
	return preprocess.Stage(preprocess.Config{
		Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}, Colmap: "colmap", Threads: c.Threads,
		MemoryBytes: stage.MachineMemory(),
	}), nil
}
