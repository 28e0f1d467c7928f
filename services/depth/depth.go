// Package depth is the stage that gives every image an inverse depth map aligned to the sparse points. Without a model it
// says so in its manifest and training continues without depth: a splat needs images and poses, depth only helps.
package depth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Config of the machine.
type Config struct {
	// Model is the name of the model that requests get when they name none.
	Model string
	// Open loads a model by its name. Its error is a *fault.Failure, or the context's.
	Open func(ctx context.Context, name string) (depth.Estimator, error)
	Now  func() time.Time // the clock that the model's share of the time is measured with
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	return stage.Definition{Stage: pipeline.Depth, Run: c.run, Budget: 30 * time.Minute}
}

// Folder opens models whose weights are in a folder, in the ONNX Runtime that options name.
func Folder(folder string, options depth.Options) func(ctx context.Context, name string) (depth.Estimator, error) {
	return func(ctx context.Context, name string) (depth.Estimator, error) {
		d, err := depth.FindModel(folder, name)
		if err != nil {
			return nil, err
		}
		s, err := depth.Open(ctx, depth.ModelPath(folder, d), d, options)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

func (c Config) run(ctx context.Context, job *stage.Job) error {
	if job.Options.Depth == pipeline.DepthOff {
		return skip(ctx, job, artifacts.DepthReportPart{Skipped: "The request asked for no depth."})
	}
	if job.Smaller {
		job.Warn(pipeline.Warning{Code: "planned_smaller", Message: "Memory or disk ran out, so training continues without depth."})
		return skip(ctx, job, artifacts.DepthReportPart{Skipped: "Memory or disk ran out."})
	}
	name, asked := job.Options.Depth, true
	if name == pipeline.DepthAuto {
		name, asked = c.Model, false
	}
	job.Progress(pipeline.Progress{Step: "loading the depth model " + name})
	estimator, err := c.Open(ctx, name)
	if err != nil {
		return without(ctx, job, name, asked, err)
	}
	defer estimator.Close()
	maps, err := c.estimate(ctx, job, estimator)
	if err != nil {
		return without(ctx, job, name, true, err)
	}
	return maps.publish(ctx, job)
}

// without ends the stage after an error of the model: the request continues. Any other error stays one. A model that was
// not asked for and is simply not here is no reason for a warning.
func without(ctx context.Context, job *stage.Job, name string, asked bool, err error) error {
	var f *fault.Failure
	if ctx.Err() != nil || !errors.As(err, &f) {
		return err
	}
	if missing := f.Code == depth.ModelMissing || f.Code == depth.RuntimeMissing; asked || !missing {
		job.Warn(pipeline.Warning{Code: f.Code, Message: f.Message + " Training continues without depth.", Advice: f.Advice})
	}
	return skip(ctx, job, artifacts.DepthReportPart{Model: name, Skipped: f.Message})
}

// skip leaves only the report.
func skip(ctx context.Context, job *stage.Job, part artifacts.DepthReportPart) error {
	job.Progress(pipeline.Progress{Step: "skipped", Percent: 100, Message: part.Skipped})
	return report(ctx, job, part)
}

func report(ctx context.Context, job *stage.Job, part artifacts.DepthReportPart) error {
	if err := job.PublishJSON(ctx, artifacts.DepthReport, part); err != nil {
		return err
	}
	return job.Report(artifacts.ReportDocument{Depth: &part})
}

// publish reconciles the alignments, leaves the maps of those that are left, the grid and the report.
func (m *maps) publish(ctx context.Context, job *stage.Job) error {
	part := m.part
	part.MedianScale = depth.Reconcile(m.alignments)
	params := map[string]depth.Params{}
	var residuals []float64
	for i := range m.alignments {
		a := &m.alignments[i]
		written, ok := m.params[a.Name]
		switch {
		case ok && a.OK():
			params[depth.MapName(a.Name)] = written
			residuals = append(residuals, a.Residual)
		case ok:
			if err := depth.RemoveMap(m.dir, a.Name); err != nil {
				return err
			}
		}
	}
	part.Images, part.Aligned, part.Alignments = len(m.alignments), len(params), m.alignments
	if part.Aligned == 0 {
		part.Skipped = "The depth of no image agrees with the sparse points."
	} else {
		slices.Sort(residuals)
		part.Residual = residuals[len(residuals)/2]
	}
	job.Metric("depth_maps", float64(part.Aligned))
	if left := part.Images - part.Aligned; left > part.Images/2 {
		job.Warn(pipeline.Warning{Code: "depth_unreliable",
			Message: fmt.Sprintf("The depth of %d of %d images does not agree with the sparse points and is not used.", left, part.Images),
			Advice:  "Training ignores these depth maps; depth_grid.jpg shows which images are affected."})
	}
	job.Progress(pipeline.Progress{Step: "saving the depth maps", Percent: percentSave})
	if part.Aligned > 0 {
		if err := depth.WriteParams(m.dir, params); err != nil {
			return err
		}
		bundle, w := io.Pipe()
		go func() { w.CloseWithError(artifacts.Pack(w, m.dir)) }()
		err := job.PublishFrom(ctx, artifacts.DepthMaps, bundle)
		bundle.Close()
		if err != nil {
			return err
		}
	}
	if err := m.publishGrid(ctx, job, params); err != nil {
		return err
	}
	return report(ctx, job, part)
}
