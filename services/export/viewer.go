package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
	"github.com/splatworks/splatworks/web"
)

// viewer publishes a page with the splat in it where that was asked for. It is an extra: one that fails is a warning.
func viewer(ctx context.Context, job *stage.Job, cloud *splat.Cloud, view *artifacts.View) error {
	if !slices.Contains(job.Options.Outputs, pipeline.OutputViewer) {
		return nil
	}
	job.Progress(pipeline.Progress{Step: "writing " + artifacts.Viewer.FileName(), Percent: 94})
	err := publishViewer(ctx, job, cloud, view)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		job.Warn(pipeline.Warning{Code: "no_viewer", Message: fmt.Sprintf("The page with the splat in it could not be made: %v.", err),
			Advice: "splat.ply is complete; splatworks view shows it."})
	}
	return nil
}

func publishViewer(ctx context.Context, job *stage.Job, cloud *splat.Cloud, view *artifacts.View) error {
	unit, err := unitOf(job)
	if err != nil {
		return err
	}
	held := filepath.Join(job.Dir, artifacts.SOG.FileName())
	if _, err := os.Stat(held); errors.Is(err, os.ErrNotExist) { // else it is an output, too
		f, err := splat.FormatNamed("sog")
		if err != nil {
			return err
		}
		if err := writeFile(held, func(w io.Writer) error { return f.Write(w, cloud) }); err != nil {
			return err
		}
	}
	sog, err := os.Open(held)
	if err != nil {
		return err
	}
	defer sog.Close()
	path := filepath.Join(job.Dir, artifacts.Viewer.FileName())
	page := web.Standalone{Title: "A place in 3D", Name: artifacts.SOG.FileName(), View: view, Unit: unit}
	if err := writeFile(path, func(w io.Writer) error { return page.Write(w, sog) }); err != nil {
		return err
	}
	return job.Publish(ctx, artifacts.Viewer, path)
}
