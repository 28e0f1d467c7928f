// Package define makes export's definition for the programs that do its work.
package define

import (
	"github.com/splatworks/splatworks/app"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/services/export"
)

// Stage is the definition in a container: every tool by its name.
func Stage(c app.Config) (stage.Definition, error) {
	return export.Stage(export.Config{Tools: frames.Tools{FFmpeg: "ffmpeg", FFprobe: "ffprobe"}, Threads: c.Threads}), nil
}
