// Command filter is the filter stage as one deployable: its receiver as a Cloud Run service, its worker as a Cloud Run job,
// which continues with preprocess.
package main

import (
	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/filter"
	preprocess "github.com/splatworks/splatworks/services/preprocess/cmd/define"
)

func main() { app.Main(app.RunStage(definition, preprocess.Stage)) }

func definition(app.Config) (stage.Definition, error) {
	return filter.Stage(filter.Config{Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}}), nil
}
