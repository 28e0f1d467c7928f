// Package depth is the stage that gives every image an inverse depth map aligned to the sparse points. Without a model it
// says so in its manifest and training goes on without depth: a splat needs images and poses, depth only helps.
package depth

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Stage of the pipeline.
func Stage() stage.Definition {
	return stage.Definition{Stage: pipeline.Depth, Run: run, Budget: 30 * time.Minute}
}

// skipped is why this stage does nothing yet: no model is configured.
const skipped = "no model"

func run(ctx context.Context, job *stage.Job) error {
	part := &artifacts.DepthReportPart{Skipped: skipped}
	job.Progress(pipeline.Progress{Step: "skipped: " + skipped, Percent: 100})
	body, err := json.MarshalIndent(part, "", "  ")
	if err != nil {
		return err
	}
	if err := job.PublishFrom(ctx, artifacts.DepthReport, bytes.NewReader(body)); err != nil {
		return err
	}
	return job.Report(artifacts.ReportDocument{Depth: part})
}
