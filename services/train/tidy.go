package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/clean"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// refitShare of the iterations of training is what one refit takes at most; a strong cleaning makes three.
const refitShare = 1. / 6

// tidy removes from the result what the images do not support. The cloud as it was is kept beside it, where anything went. The
// report is nil where nothing was asked for.
func tidy(ctx context.Context, job *stage.Job, cfg trainer.Config, data *trainer.Dataset, result *trainer.Result, on device) (*clean.Report, error) {
	level, err := clean.ParseLevel(job.Options.Cleanup)
	if err != nil {
		return nil, err
	}
	if level == clean.Off {
		return nil, nil
	}
	refit := func(c *splat.Cloud, iterations int, each func() error) (*splat.Cloud, error) {
		most := max(1, int(refitShare*float64(result.Iterations)))
		return result.Refit(cfg, data, c, min(iterations, most), on.card, each)
	}
	from := percentTrained(&cfg, job.Options.Cleanup)
	cloud, quality, report, err := clean.Run(result.Cloud, data, &cfg, level, refit, func(share float64) error {
		job.Progress(pipeline.Progress{Step: "cleaning the splat", Percent: from + (percentSaving-from)*share})
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("clean the splat: %w", err)
	}
	if report.After == report.Before {
		return report, nil
	}
	if err := publishCloud(ctx, job, artifacts.Uncleaned, result.Cloud); err != nil {
		return nil, err
	}
	job.Metric("cleaned_gaussians", float64(report.Before-report.After))
	result.Cloud = cloud
	if result.Held != nil {
		result.Held = quality
	}
	return report, nil
}

func publishCloud(ctx context.Context, job *stage.Job, kind artifacts.Kind, cloud *splat.Cloud) error {
	path := filepath.Join(job.Dir, kind.FileName())
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(cloud.WritePLY(f), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", kind.FileName(), err)
	}
	return job.Publish(ctx, kind, path)
}
