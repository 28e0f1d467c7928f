package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/splatworks/splatworks/engines/sample"
	"github.com/splatworks/splatworks/infra/toolchain"
)

type sampleCommand struct {
	Out    string   `short:"o" required:"" placeholder:"DIR" help:"Folder for sample.mp4 and its true camera poses."`
	Seed   uint64   `placeholder:"N" help:"Random seed of the scene and of the walk around it."`
	Frames int      `default:"60" help:"Number of frames."`
	Width  int      `default:"640" help:"Pixels, an even number."`
	Height int      `default:"360" help:"Pixels, an even number."`
	With   []string `placeholder:"TROUBLE" help:"What goes wrong while filming: motion-blur, static, exposure-steps, rotated, variable-rate, rolling-start, hevc-10bit, spherical (360 degrees; twice as wide as high), pan, still, noise, passerby, black."`
}

func (sampleCommand) Help() string {
	return `For trying things out, and for measuring: the true poses are beside the video in COLMAP's form.

    splatworks sample -o sample --frames 40 --with motion-blur
    splatworks run sample/sample.mp4 -o out`
}

func (cmd sampleCommand) Run(ctx context.Context, c console) error {
	ffmpeg, err := toolchain.Locate("ffmpeg")
	if err != nil {
		return err
	}
	options := sample.Options{Seed: cmd.Seed, Frames: cmd.Frames, Width: cmd.Width, Height: cmd.Height}
	for _, name := range cmd.With {
		options.Disturbances = append(options.Disturbances, sample.Disturbance(name))
	}
	if err := options.Check(); err != nil {
		return usageError{err}
	}
	b := newBars(c.err)
	err = sample.Write(ctx, ffmpeg, options, cmd.Out, func(done, total int) {
		b.show("rendering", 100*float64(done)/float64(total), fmt.Sprintf("frame %d of %d", done, total))
	})
	if err != nil {
		b.fail()
		return err
	}
	b.end()
	_, err = fmt.Fprintln(c.out, filepath.Join(cmd.Out, "sample.mp4"))
	return err
}
