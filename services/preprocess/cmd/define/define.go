// Package define makes preprocess's definition for the programs that do its work.
package define

import (
	"time"

	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/preprocess"
)

// Stage is the definition in a container: every tool by its name.
func Stage(c app.Config) (stage.Definition, error) {
	return preprocess.Stage(preprocess.Config{
		Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}, Colmap: "colmap", Threads: c.Threads,
		MemoryBytes: stage.MachineMemory(), Card: c.TrainCard, CoreSpeed: colmap.CoreSpeed, Now: time.Now,
	}), nil
}
