// Package filter is the first stage: it looks at every frame or photo of an upload at low resolution, refuses within
// seconds what cannot become a splat, and chooses what is worth using. It writes the choice and a capture report; the
// pixels themselves are extracted by preprocess.
package filter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Config of the machine.
type Config struct {
	Tools  frames.Tools
	Limits frames.Limits
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	return stage.Definition{Stage: pipeline.Filter, Run: c.run, Budget: 15 * time.Minute}
}

func (c Config) run(ctx context.Context, job *stage.Job) error {
	work := filepath.Join(job.Dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	selection, report, err := c.choose(ctx, job, work)
	if err != nil {
		return err
	}
	job.WarnAll(report.Warnings...)
	if err := job.PublishJSON(ctx, artifacts.Selection, selection); err != nil {
		return err
	}
	if err := job.PublishJSON(ctx, artifacts.CaptureReport, report); err != nil {
		return err
	}
	return job.Report(artifacts.ReportDocument{Images: &artifacts.ImagesReport{Input: report.Frames, Used: report.Selected, DurationS: report.DurationS}})
}

func (c Config) choose(ctx context.Context, job *stage.Job, work string) (choose.Selection, frames.Report, error) {
	capture, err := c.open(ctx, job, work)
	if err != nil {
		return choose.Selection{}, frames.Report{}, err
	}
	defer capture.Close()
	if err := capture.Project(frames.Projection(job.Options.Projection)); err != nil {
		return choose.Selection{}, frames.Report{}, err
	}
	selection, report, err := capture.Choose(ctx, choose.Options{MaxImages: job.Options.MaxImages}, func(done, expected int) {
		job.Progress(pipeline.Progress{Step: "looking at every frame", Done: float64(done), Total: float64(expected),
			Percent: 5 + 90*min(1, float64(done)/float64(max(expected, 1))), Message: fmt.Sprintf("%d of %d", done, expected)})
	})
	if err == nil {
		// What preprocess will do with many is tried with one.
		err = capture.Try(ctx, selection, filepath.Join(job.Dir, "try"), job.Options.LongEdgePx)
	}
	return selection, report, err
}

// open reads a video and unpacks an archive from storage, and fetches every other upload.
func (c Config) open(ctx context.Context, job *stage.Job, work string) (*frames.Capture, error) {
	job.Progress(pipeline.Progress{Step: "opening the upload"})
	room, err := job.Room()
	if err != nil {
		return nil, err
	}
	upload, err := job.OpenUpload(ctx)
	if err != nil {
		return nil, err
	}
	if upload != nil {
		capture, err := frames.OpenFrom(ctx, c.Tools, upload, work, c.Limits.Within(room))
		if !errors.Is(err, frames.ErrNeedsFile) {
			return capture, err
		}
	}
	job.Progress(pipeline.Progress{Step: "fetching the upload"})
	file, err := job.FetchUpload(ctx)
	if err != nil {
		return nil, err
	}
	return frames.Open(ctx, c.Tools, file, work, c.Limits)
}
