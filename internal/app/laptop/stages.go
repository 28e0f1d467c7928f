package laptop

import (
	"fmt"
	"time"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/infra/toolchain"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/services/depth"
	"github.com/splatworks/splatworks/services/export"
	"github.com/splatworks/splatworks/services/filter"
	"github.com/splatworks/splatworks/services/preprocess"
	"github.com/splatworks/splatworks/services/train"
)

// Stage is a stage's definition with the tools of this machine.
func Stage(s pipeline.Stage) (stage.Definition, error) {
	switch s {
	case pipeline.Filter, pipeline.Preprocess:
		tools, err := frameTools()
		if err != nil {
			return stage.Definition{}, err
		}
		if s == pipeline.Filter {
			return filter.Stage(filter.Config{Tools: tools}), nil
		}
		colmap, err := toolchain.Locate("colmap")
		return preprocess.Stage(preprocess.Config{Tools: tools, Colmap: colmap}), err
	case pipeline.Depth:
		return depth.Stage(), nil
	case pipeline.Train:
		return train.Stage(train.Config{Now: time.Now}), nil
	case pipeline.Export:
		return export.Stage(), nil
	}
	return stage.Definition{}, fmt.Errorf("no stage %q", s)
}

func frameTools() (frames.Tools, error) {
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		return frames.Tools{}, err
	}
	ffprobe, err := toolchain.Locate("ffprobe")
	return frames.Tools{FFmpeg: ffmpeg, FFprobe: ffprobe}, err
}
