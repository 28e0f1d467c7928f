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
	"time"

	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/cards"
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

// drawing is lookAt with a device to draw on.
type drawing struct {
	lookAt `embed:""`
	Device string `default:"auto" enum:"auto,cpu,cuda,opencl" env:"SPLATWORKS_DEVICE" help:"Where to draw: auto (a graphics card, if one is faster), cpu, cuda or opencl (experimental)."`
}

func (l drawing) open(c console) (*splat.Cloud, *trainer.Dataset, trainer.Config, error) {
	if err := checkDevice(l.Device); err != nil {
		return nil, nil, trainer.Config{}, usageError{err}
	}
	return l.lookAt.open(c)
}

// paint makes a painter of the cloud on the device that was asked for. A card must draw a view as the processor does; with auto it
// must be quicker, too, and where it is not, the processor draws and a line says why.
func (l drawing) paint(c console, cloud *splat.Cloud, data *trainer.Dataset, cfg *trainer.Config) (p *trainer.Painter, done func() error, err error) {
	done = func() error { return nil }
	p, driver := trainer.NewPainter(cloud, cfg), cards.Driver(l.Device)
	if driver == cards.CPU || cards.Find(driver) != nil { // open has refused a card that was asked for and is not here
		return p, done, nil
	}
	card, err := cards.Open(driver)
	if err == nil {
		err = takes(p, card, driver == cards.Auto, viewsOf(data)[0])
		if err == nil {
			return p, card.Close, nil
		}
		err = errors.Join(err, card.Close())
	}
	if driver != cards.Auto {
		return nil, done, err
	}
	p.Release()
	fmt.Fprintf(c.err, "The processor draws: %v.\n", err)
	return p, done, nil
}

// takes has a card draw for the painter, unless it is wrong or, where it must be quicker, is not.
func takes(p *trainer.Painter, card gpu.Device, quicker bool, view *trainer.View) error {
	started := time.Now()
	drawn, err := p.Use(card, &view.Levels[0].Camera, func() time.Duration { return time.Since(started) })
	switch {
	case err != nil:
		return err
	case !drawn.Agrees():
		return fmt.Errorf("%s does not draw what the processor does: colours are off by %.1g of 1", card.Name(), drawn.Apart)
	case quicker && drawn.Device >= drawn.Processor:
		return fmt.Errorf("a view takes %s %v, the processor %v", card.Name(), drawn.Device, drawn.Processor)
	}
	return nil
}

// viewsOf are the held-out views, or all where none are.
func viewsOf(data *trainer.Dataset) []*trainer.View {
	if len(data.Test) > 0 {
		return data.Test
	}
	return data.Train
}

type evalCommand struct {
	drawing `embed:""`
	JSON    bool `help:"Print JSON for scripts."`
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
	views, on := viewsOf(data), "held-out"
	if len(data.Test) == 0 {
		on = "training"
	}
	painter, done, err := cmd.paint(c, cloud, data, &cfg)
	if err != nil {
		return err
	}
	q, err := painter.Evaluate(views, &cfg)
	if err := errors.Join(err, done()); err != nil {
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
	drawing `embed:""`
	Out     string `short:"o" required:"" placeholder:"FILE.mp4|DIR" help:"A film of an orbit, or a folder for one picture per held-out image."`
	Frames  int    `default:"150" help:"Number of frames of the film."`
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
	painter, done, err := cmd.paint(c, cloud, data, &cfg)
	if err != nil {
		return err
	}
	return errors.Join(cmd.render(ctx, c, painter, data), painter.Err(), done())
}

// render draws a film or pictures.
func (cmd renderCommand) render(ctx context.Context, c console, painter *trainer.Painter, data *trainer.Dataset) error {
	if strings.EqualFold(filepath.Ext(cmd.Out), ".mp4") {
		path, shows := trainer.Film(data, painter, cmd.Frames)
		if !shows {
			fmt.Fprintln(c.err, "The film shows little of the scene: most of it is dark or looks past what the images saw.")
		}
		return cmd.film(ctx, c, painter, path)
	}
	if err := os.MkdirAll(cmd.Out, 0o755); err != nil {
		return err
	}
	for _, v := range viewsOf(data) {
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
