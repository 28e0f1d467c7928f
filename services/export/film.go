package export

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// The film is five seconds long.
const filmFrames, filmFPS = 150, 30

// load reads the scene that the splat was trained on.
func (c Config) load(ctx context.Context, job *stage.Job) (*trainer.Dataset, *trainer.Config, error) {
	scene, err := job.FetchBundle(ctx, artifacts.Scene)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := trainer.Defaults(trainer.Preset(job.Options.Preset))
	if err != nil {
		return nil, nil, err
	}
	cfg.MaxSide, cfg.Threads = job.Options.LongEdgePx, c.Threads
	data, err := trainer.Load(scene, &cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("load scene: %w", err)
	}
	return data, &cfg, nil
}

// film publishes a walk around the splat, for people who would rather look than read, and its first picture, whose view it returns
// unless that picture shows little.
func (c Config) film(ctx context.Context, job *stage.Job, cloud *splat.Cloud, data *trainer.Dataset, cfg *trainer.Config) (*artifacts.View, error) {
	painter := trainer.NewPainter(cloud, cfg)
	path, shows := trainer.Film(data, painter, filmFrames)
	if _, _, cropped := job.Options.CropBox(); !shows && !cropped { // around what was cut out it is dark
		job.Warn(pipeline.Warning{Code: "empty_film", Message: "The film shows little of the scene: most of it is dark or looks past what the images saw.",
			Advice: "Look at splat.ply in a viewer, from where images were taken."})
	}
	target := filepath.Join(job.Dir, artifacts.Orbit.FileName())
	err := frames.WriteFilm(ctx, c.Tools, target, len(path), filmFPS, func(i int) *image.NRGBA {
		job.Progress(pipeline.Progress{Step: "filming the splat", Done: float64(i), Total: filmFrames, Percent: 35 + 20*float64(i)/filmFrames})
		return painter.Paint(&path[i])
	})
	if err != nil {
		return nil, err
	}
	if err := job.Publish(ctx, artifacts.Orbit, target); err != nil {
		return nil, err
	}
	thumbnail := filepath.Join(job.Dir, artifacts.Thumbnail.FileName())
	if err := writeJPEG(thumbnail, painter.Paint(&path[0])); err != nil {
		return nil, err
	}
	if err := job.Publish(ctx, artifacts.Thumbnail, thumbnail); err != nil {
		return nil, err
	}
	if !shows {
		return nil, nil
	}
	return viewOf(&path[0], data), nil
}

// viewOf is the view of a camera of the film.
func viewOf(cam *raster.Camera, data *trainer.Dataset) *artifacts.View {
	v := &artifacts.View{Position: cam.Center(), FOVDeg: 2 * 180 / math.Pi * math.Atan(float64(cam.Width)/2/cam.Fx)}
	if cam.Height > cam.Width {
		v.FOVDeg = 2 * 180 / math.Pi * math.Atan(float64(cam.Height)/2/cam.Fy)
	}
	depth := data.DepthAhead(cam)
	for k := range 3 {
		v.Target[k] = v.Position[k] + depth*cam.R[2][k]
	}
	return v
}

func writeJPEG(path string, img image.Image) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return jpeg.Encode(f, img, &jpeg.Options{Quality: 90})
}
