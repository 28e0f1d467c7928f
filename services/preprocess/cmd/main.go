// Command preprocess is the preprocess stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/preprocess"
)

func main() { app.Main(app.RunStage(definition)) }

func definition(c app.Config) (stage.Definition, error) {
	return preprocess.Stage(preprocess.Config{
		Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}, Colmap: "colmap", Threads: c.Threads,
		MemoryBytes: stage.MachineMemory(), Card: c.TrainCard, Now: time.Now,
	}), nil
}
