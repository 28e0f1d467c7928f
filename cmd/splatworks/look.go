package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/splat"
	"github.com/splatworks/splatworks/engines/trainer"
	"github.com/splatworks/splatworks/infra/toolchain"
)

// lookAt is a splat and the scene whose cameras look at it.
type lookAt struct {
	Splat    string `arg:"" help:"A splat in any format that 'splatworks convert' reads, of this or any other trainer."`
	Scene    string `arg:"" help:"A folder with images/ and sparse/: what 'splatworks run --scene' leaves, or COLMAP's image_undistorter."`
	LongEdge int    `name:"long-edge" default:"4096" help:"Shrink larger images to this longer side, in pixels."`
	HoldOut  int    `name:"hold-out" default:"8" help:"Hold out every Nth image for evaluation; 0 disables it."`
}

func (l lookAt) open(c console) (*splat.Cloud, *trainer.Dataset, trainer.Config, error) {
	cfg, err := trainer.Defaults(trainer.Standard)
	if err != nil {
		return nil, nil, cfg, err
	}
	cfg.MaxSide, cfg.HoldOut = l.LongEdge, l.HoldOut
	cloud, _, err := readSplat(c, l.Splat)
	if err != nil {
		return nil, nil, cfg, err
	}
	data, err := trainer.Load(l.Scene, &cfg)
	return cloud, data, cfg, err
}

// readSplat reads a splat in any format. What had to be changed in it is said on standard error.
func readSplat(c console, path string) (*splat.Cloud, splat.Format, error) {
	cloud, format, err := splat.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, format, usageError{err}
	}
	if err != nil {
		return nil, format, fmt.Errorf("%s: %w", path, err)
	}
	if mended := cloud.Repairs.String(); mended != "" {
		fmt.Fprintf(c.err, "%s: %s.\n", path, mended)
	}
	return cloud, format, nil
}

type evalCommand struct {
	lookAt `embed:""`
	JSON   bool `help:"Print JSON for scripts."`
}

func (evalCommand) Help() string {
	return `    splatworks run kitchen.mp4 -o kitchen --scene
    splatworks eval kitchen/splat.ply kitchen/scene`
}

func (cmd evalCommand) Run(c console) error {
	cloud, data, cfg, err := cmd.open(c)
	if err != nil {
		return err
	}
	views, on := data.Test, "held-out"
	if len(views) == 0 {
		views, on = data.Train, "training"
	}
	q, err := trainer.Evaluate(cloud, views, &cfg)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, map[string]any{"gaussians": cloud.Len(), "repairs": cloud.Repairs, "sh_degree": cloud.Degree, "render_mode": cloud.Mode.String(), "images": on, "quality": q})
	}
	for _, v := range q.Views {
		fmt.Fprintf(c.out, "%-32s PSNR %6.2f dB  SSIM %.4f\n", v.Name, v.PSNR, v.SSIM)
	}
	fmt.Fprintf(c.out, "%-32s PSNR %6.2f dB  SSIM %.4f   %d %s images at %dx%d, %d Gaussians\n", "mean", q.PSNR, q.SSIM, len(views), on, q.Width, q.Height, cloud.Len())
	return nil
}

type renderCommand struct {
	lookAt `embed:""`
	Out    string `short:"o" required:"" placeholder:"FILE.mp4|DIR" help:"A film of an orbit, or a folder for one picture per held-out image."`
	Frames int    `default:"150" help:"Number of frames of the film."`
}

func (renderCommand) Help() string {
	return `    splatworks run kitchen.mp4 -o kitchen --scene
    splatworks render kitchen/splat.ply kitchen/scene -o walk.mp4`
}

func (cmd renderCommand) Run(ctx context.Context, c console) error {
	cloud, data, cfg, err := cmd.open(c)
	if err != nil {
		return err
	}
	painter := trainer.NewPainter(cloud, &cfg)
	if strings.EqualFold(filepath.Ext(cmd.Out), ".mp4") {
		path, shows := trainer.Film(data, painter, cmd.Frames)
		if !shows {
			fmt.Fprintln(c.err, "The film shows little of the scene: most of it is dark or looks past what the images saw.")
		}
		return cmd.film(ctx, c, painter, path)
	}
	views := data.Test
	if len(views) == 0 {
		views = data.Train
	}
	if err := os.MkdirAll(cmd.Out, 0o755); err != nil {
		return err
	}
	for _, v := range views {
		name := strings.TrimSuffix(filepath.Base(v.Name), filepath.Ext(v.Name)) + ".png"
		if err := writePNG(filepath.Join(cmd.Out, name), painter.Paint(&v.Levels[0].Camera)); err != nil {
			return err
		}
		fmt.Fprintln(c.out, filepath.Join(cmd.Out, name))
	}
	return nil
}

func (cmd renderCommand) film(ctx context.Context, c console, painter *trainer.Painter, path []raster.Camera) error {
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cmd.Out), 0o755); err != nil {
		return err
	}
	b := newBars(c.err)
	err = frames.WriteFilm(ctx, frames.Tools{FFmpeg: ffmpeg}, cmd.Out, len(path), 30, func(i int) *image.NRGBA {
		b.show("rendering", 100*float64(i)/float64(len(path)), fmt.Sprintf("picture %d of %d", i+1, len(path)))
		return painter.Paint(&path[i])
	})
	if err != nil {
		b.fail()
		return err
	}
	b.end()
	_, err = fmt.Fprintln(c.out, cmd.Out)
	return err
}

func writePNG(path string, img image.Image) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return png.Encode(f, img)
}
