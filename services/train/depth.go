package train

import (
	"context"
	"fmt"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/depth"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// attachDepth gives the training images the aligned depth maps that the stage before left, if it left any. A map that
// cannot be read is no reason to stop: depth only helps.
func attachDepth(ctx context.Context, job *stage.Job, data *trainer.Dataset) error {
	if _, ok := job.Find(artifacts.DepthMaps); !ok {
		return nil
	}
	job.Progress(pipeline.Progress{Step: "reading depth maps", Percent: 1.5})
	dir, err := job.FetchBundle(ctx, artifacts.DepthMaps)
	if err != nil {
		return err
	}
	params, err := depth.ReadParams(dir)
	if err != nil {
		return fmt.Errorf("depth maps: %w", err)
	}
	attached, unreadable := 0, 0
	for _, v := range data.Train {
		p, ok := params[depth.MapName(v.Name)]
		if !ok {
			continue // its depth did not agree with the sparse points
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := depth.ReadMap(dir, v.Name, p)
		if err == nil {
			err = data.AttachInverseDepth(v.Name, m.Width, m.Height, m.Values)
		}
		if err != nil {
			unreadable++
			continue
		}
		attached++
	}
	if unreadable > 0 {
		job.Warn(pipeline.Warning{Code: "depth_unreadable", Message: fmt.Sprintf("%d depth maps could not be read; these images are trained without depth.", unreadable)})
	}
	job.Metric("depth_maps", float64(attached))
	return nil
}
