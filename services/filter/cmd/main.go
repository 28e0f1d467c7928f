// Command filter is the filter stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job.
package main

import (
	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/filter"
)

func main() { app.Main(app.RunStage(definition)) }

func definition(app.Config) (stage.Definition, error) {
	return filter.Stage(filter.Config{Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}}), nil
}
