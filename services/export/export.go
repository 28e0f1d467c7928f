// Package export is the last stage: it turns what the trainer left into the files people and viewers use, checks them by
// reading them back, and writes the quality report of the whole request.
package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/mesh"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Config of the machine.
type Config struct {
	Tools   frames.Tools
	Threads int // 0: all processors
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	return stage.Definition{Stage: pipeline.Export, Run: c.run, Budget: 10 * time.Minute}
}

func (c Config) run(ctx context.Context, job *stage.Job) error {
	job.Progress(pipeline.Progress{Step: "reading the trained splat", Percent: 5})
	trained, err := job.Fetch(ctx, artifacts.Trained)
	if err != nil {
		return err
	}
	whole, err := read(trained)
	if err != nil {
		return err
	}
	cloud := crop(job, whole)

	job.Progress(pipeline.Progress{Step: "writing splat.ply", Percent: 30})
	path := filepath.Join(job.Dir, artifacts.Splat.FileName())
	size, err := write(cloud, path)
	if err != nil {
		return err
	}
	// A viewer is the next reader: what cannot be read back must not be called a result.
	again, err := read(path)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if again.Len() != cloud.Len() {
		return fmt.Errorf("read back: %d Gaussians of %d", again.Len(), cloud.Len())
	}
	if err := job.Publish(ctx, artifacts.Splat, path); err != nil {
		return err
	}

	if err := formats(ctx, job, cloud); err != nil {
		return err
	}
	if err := levels(ctx, job, cloud); err != nil {
		return err
	}

	made, err := c.show(ctx, job, cloud)
	if err != nil {
		return err
	}
	if err := viewer(ctx, job, cloud, made.view); err != nil {
		return err
	}

	job.Progress(pipeline.Progress{Step: "writing report.json", Percent: 95})
	part := artifacts.ReportDocument{Splat: &artifacts.SplatReport{
		Gaussians: cloud.Len(), Cropped: whole.Len() - cloud.Len(), SHDegree: cloud.Degree, Bytes: size, RenderMode: cloud.Mode.String(), View: made.view,
	}}
	if made.mesh != nil {
		part.Mesh = made.mesh
	}
	if err := job.Report(part); err != nil {
		return err
	}
	report, err := job.ReportSoFar()
	if err != nil {
		return err
	}
	return job.PublishJSON(ctx, artifacts.Report, report)
}

// crop keeps what is in the box that was asked for. The world frame stays, and so do poses and scene.
func crop(job *stage.Job, cloud *splat.Cloud) *splat.Cloud {
	low, high, asked := job.Options.CropBox()
	if !asked {
		return cloud
	}
	inside := cloud.Cropped(low, high)
	if inside.Len() == 0 {
		job.Warn(pipeline.Warning{Code: "empty_crop", Message: fmt.Sprintf("Nothing is centred in the box %s, so the splat was not cropped.", job.Options.Crop),
			Advice: "splatworks info says where the Gaussians are; splatworks convert --crop cuts out another box."})
		return cloud
	}
	return inside
}

// shown is what is said of the film and of the mesh; nil where there is none.
type shown struct {
	view *artifacts.View
	mesh *mesh.Report
}

// show makes what is made of the splat and the images together: the film and the mesh.
func (c Config) show(ctx context.Context, job *stage.Job, cloud *splat.Cloud) (made shown, err error) {
	job.Progress(pipeline.Progress{Step: "filming the splat", Percent: 35})
	data, cfg, err := c.load(ctx, job)
	if err == nil {
		made.view, err = c.film(ctx, job, cloud, data, cfg)
	}
	if ctx.Err() != nil {
		return made, err
	}
	if err != nil {
		// An extra must not cost the result.
		job.Warn(pipeline.Warning{Code: "no_film", Message: fmt.Sprintf("The film of the result could not be made: %v.", err),
			Advice: "The splat itself is complete."})
	}
	made.mesh, err = c.mesh(ctx, job, cloud, data)
	return made, err
}

func read(path string) (*splat.Cloud, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return splat.ReadPLY(f)
}

func write(cloud *splat.Cloud, path string) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := cloud.WritePLY(f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Close()
}
