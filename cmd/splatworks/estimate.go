package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/splatworks/splatworks/client"
	"github.com/splatworks/splatworks/cmd/splatworks/machine"
	"github.com/splatworks/splatworks/engines/frames"
)

type estimateCommand struct {
	Input  string        `arg:"" optional:"" help:"A video, a zip of photos or a folder of photos. It is looked at here, and not sent."`
	Images int           `placeholder:"N" help:"In place of an input: the number of photos."`
	Video  time.Duration `placeholder:"30s" help:"In place of an input: the length of a video."`
	Server string        `default:"http://127.0.0.1:8080" env:"SPLATWORKS_SERVER" help:"Address of the request API."`
	APIKey string        `name:"api-key" env:"SPLATWORKS_API_KEY" placeholder:"KEY" help:"API key, if the deployment requires one. Prefer the environment variable: other users can see command lines."`
	JSON   bool          `help:"Print JSON for scripts."`
	Wishes wishes        `embed:""`
}

func (estimateCommand) Help() string {
	return `Asks a running backend what a request would take in time and money. It answers from what requests took that have finished there. Time
in the queue comes on top.

    splatworks estimate my-video.mp4 --preset high
    splatworks estimate --images 80`
}

func (cmd estimateCommand) Run(ctx context.Context, c console) error {
	options, err := cmd.Wishes.options()
	if err != nil {
		return err
	}
	ask := client.EstimateAsked{Images: cmd.Images, VideoS: cmd.Video.Seconds(), Options: options}
	switch given := ask.Images != 0 || ask.VideoS != 0; {
	case given == (cmd.Input != ""):
		return usageError{errors.New("name a capture, or give --images or --video")}
	case cmd.Input != "":
		if ask.Images, ask.VideoS, err = measure(ctx, cmd.Input); err != nil {
			return err
		}
	}
	e, err := (&client.Client{BaseURL: cmd.Server, APIKey: cmd.APIKey}).Estimate(ctx, ask)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c, e)
	}
	return printEstimate(c, e)
}

// measure counts the photos of a capture, or the seconds of its videos.
func measure(ctx context.Context, input string) (photos int, videoS float64, err error) {
	info, err := os.Stat(input)
	if err != nil {
		return 0, 0, usageError{err}
	}
	files := []frames.File{{Path: input, Name: path.Base(input)}}
	if info.IsDir() {
		if files, _, err = frames.FindFiles(ctx, input); err != nil {
			return 0, 0, err
		}
	}
	tools, err := machine.FrameTools()
	if err != nil {
		return 0, 0, err
	}
	for _, f := range files {
		n, seconds, err := measureFile(ctx, tools, f.Path)
		if err != nil && !info.IsDir() {
			return 0, 0, err
		}
		if err == nil { // what is neither is left out in a folder, as it is when it is sent
			photos, videoS = photos+n, videoS+seconds
		}
	}
	if videoS > 0 {
		photos = 0 // of videos and photos together the videos decide
	}
	return photos, videoS, nil
}

func measureFile(ctx context.Context, tools frames.Tools, file string) (photos int, videoS float64, err error) {
	kind, err := frames.Detect(file)
	switch {
	case err != nil:
		return 0, 0, err
	case kind == frames.KindPhoto:
		return 1, 0, nil
	case kind == frames.KindArchive:
		photos, err = countZipped(file)
		return photos, 0, err
	}
	v, err := frames.Probe(ctx, tools, file, frames.Limits{})
	return 0, v.DurationS, err
}

// countZipped counts the files of an archive that are not a system's own.
func countZipped(file string) (n int, err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return 0, usageError{fmt.Errorf("%s: %w", file, err)}
	}
	defer z.Close()
	for _, f := range z.File {
		if f.Mode().IsRegular() && !strings.HasPrefix(path.Base(f.Name), ".") && !strings.HasPrefix(f.Name, "__MACOSX/") {
			n++
		}
	}
	return n, nil
}

func printEstimate(c console, e *client.Estimate) error {
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, s client.Interval, usd *client.Interval) {
		cost := ""
		if usd != nil {
			cost = fmt.Sprintf("%.3f USD\t(%.3f to %.3f)\t", usd.Likely, usd.Low, usd.High)
		}
		fmt.Fprintf(t, "%s\t%.0f s\t(%.0f to %.0f)\t%s\n", name, s.Likely, s.Low, s.High, cost)
	}
	for _, stage := range e.Stages {
		line(string(stage.Stage), stage.Seconds, stage.CostUSD)
	}
	line("together", e.Seconds, e.CostUSD)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, "\nfor about %.0f images, %s\n", e.Images.Likely, basis(e))
	return err
}

// basis says in words how far an estimate can be trusted.
func basis(e *client.Estimate) string {
	switch {
	case e.BasedOn.Requests == 0:
		return "by rules of thumb: no request has finished there yet"
	case e.BasedOn.Alike == 0:
		return fmt.Sprintf("from %d finished requests, none of them with this preset and kind of capture", e.BasedOn.Requests)
	}
	return fmt.Sprintf("from %d finished requests, %d of them with this preset and kind of capture", e.BasedOn.Requests, e.BasedOn.Alike)
}
