// Package preprocess is the stage between pixels and poses: it extracts exactly the chosen frames, has COLMAP find
// features and matches, has GLOMAP and the incremental mapper find the cameras, keeps the better model, and leaves
// undistorted images with it.
package preprocess

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/engines/scene"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// Config of the machine.
type Config struct {
	Tools   frames.Tools
	Limits  frames.Limits
	Colmap  string // the program
	Threads int    // 0: all processors
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	return stage.Definition{Stage: pipeline.Preprocess, Run: c.run, Budget: 45 * time.Minute}
}

// Shares of the stage's time, as percent at which the parts begin.
const (
	percentExtract = 2
	percentSfM     = 10
	percentPublish = 97
)

func (c Config) run(ctx context.Context, job *stage.Job) error {
	if job.Smaller {
		c.Threads = max(1, cmp.Or(c.Threads, runtime.NumCPU())/2)
		job.Options.LongEdgePx = job.Options.LongEdgePx * 2 / 3
		job.Warn(pipeline.Warning{Code: "planned_smaller", Message: "Memory ran out, so the images were made smaller.",
			Advice: "Ask for fewer images (max_images) or a shorter long_edge_px."})
	}
	images, video, err := c.extract(ctx, job)
	if err != nil {
		return failure(err)
	}
	result, err := c.reconstruct(ctx, job, images, video)
	if err != nil {
		return failure(err)
	}
	return publish(ctx, job, result)
}

// extract brings the chosen frames or photos into a folder of images.
func (c Config) extract(ctx context.Context, job *stage.Job) (dir string, video bool, err error) {
	job.Progress(pipeline.Progress{Step: "fetching the upload"})
	upload, err := job.FetchUpload(ctx)
	if err != nil {
		return "", false, err
	}
	path, err := job.Fetch(ctx, artifacts.Selection)
	if err != nil {
		return "", false, err
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return "", false, err
	}
	var selection frames.Selection
	if err := json.Unmarshal(body, &selection); err != nil {
		return "", false, fmt.Errorf("read selection: %w", err)
	}
	unpacked := filepath.Join(job.Dir, "unpacked")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		return "", false, err
	}
	capture, err := frames.Open(ctx, c.Tools, upload, unpacked, c.Limits)
	if err != nil {
		return "", false, err
	}
	dir = filepath.Join(job.Dir, "images")
	images, err := capture.Extract(ctx, selection, dir, withMargin(job.Options.LongEdgePx), func(done, total int) {
		job.Progress(pipeline.Progress{Step: "extracting frames", Done: float64(done), Total: float64(total),
			Percent: percentExtract + (percentSfM-percentExtract)*float64(done)/float64(max(total, 1)),
			Message: fmt.Sprintf("%d of %d", done, total)})
	})
	if err != nil {
		return "", false, err
	}
	sheet := filepath.Join(job.Dir, artifacts.ContactSheet.FileName())
	if err := frames.WriteSheet(ctx, dir, images, selection.Frames, sheet); err != nil {
		return "", false, err
	}
	return dir, capture.Video(), job.Publish(ctx, artifacts.ContactSheet, sheet)
}

// withMargin is the longer side at which images are extracted: undistortion crops a few percent of it away, and what is
// left is to have the size that was asked for.
func withMargin(longEdgePx int) int { return longEdgePx * 21 / 20 }

func (c Config) reconstruct(ctx context.Context, job *stage.Job, images string, video bool) (colmap.Result, error) {
	program := colmap.Colmap{
		Path: c.Colmap, Threads: c.Threads, RandomSeed: int(job.Options.Seed % (1 << 31)),
		Progress: func(p colmap.Progress) {
			job.Progress(pipeline.Progress{Step: p.Message, Done: float64(p.Step), Total: float64(p.Total),
				Percent: percentSfM + (percentPublish-percentSfM)*p.Fraction})
		},
	}
	version, err := program.Version(ctx)
	if err != nil {
		return colmap.Result{}, err
	}
	job.Tool("colmap", version)
	return program.Reconstruct(ctx, colmap.Plan{
		ImagePath: images, MaskPath: filepath.Join(filepath.Dir(images), "masks"),
		WorkPath: filepath.Join(job.Dir, "colmap"), OutputPath: filepath.Join(job.Dir, "out"),
		Video: video, UndistortedSize: job.Options.LongEdgePx,
	})
}

func publish(ctx context.Context, job *stage.Job, r colmap.Result) error {
	job.Progress(pipeline.Progress{Step: "saving the scene", Percent: percentPublish})
	for _, w := range r.Warnings {
		job.Warn(pipeline.Warning{Code: w.Code, Message: sentence(w.Message), Advice: w.Advice})
	}
	for _, folder := range []struct {
		kind artifacts.Kind
		path string
	}{{artifacts.SparseModel, r.SparsePath}, {artifacts.Scene, r.UndistortedPath}} {
		bundle, w := io.Pipe()
		go func() { w.CloseWithError(artifacts.Pack(w, folder.path)) }()
		err := job.PublishFrom(ctx, folder.kind, bundle)
		bundle.Close()
		if err != nil {
			return err
		}
	}
	if err := publishPicture(ctx, job, r); err != nil {
		return err
	}
	job.Metric("images_registered", float64(r.Quality.RegisteredImages))
	job.Metric("points", float64(r.Quality.Points))
	for _, run := range r.Runs {
		job.Metric(run.Command+"_wall_s", run.WallS)
	}
	return job.Report(artifacts.ReportDocument{
		Images: &artifacts.ImagesReport{Registered: r.Quality.RegisteredImages},
		SfM: &artifacts.SfMReport{Mapper: r.Mapper, Points: r.Quality.Points, ReprojectionErrorPx: r.Quality.MeanReprojectionErrorPx,
			MeanTrackLength: r.Quality.MeanTrackLength, Matcher: string(r.Matcher), Reason: r.Reason, World: r.World,
			Candidates: r.Candidates, Agreement: r.Agreement},
	})
}

// publishPicture draws the cameras and points for people.
func publishPicture(ctx context.Context, job *stage.Job, r colmap.Result) error {
	model, err := scene.Read(r.SparsePath)
	if err != nil {
		return err
	}
	caption := fmt.Sprintf("%d of %d images placed, %d points, reprojection error %.2f px (%s)",
		r.Quality.RegisteredImages, r.Images, r.Quality.Points, r.Quality.MeanReprojectionErrorPx, r.Mapper)
	var picture bytes.Buffer
	if err := model.WritePicture(&picture, caption, r.World.Unit); err != nil {
		return err
	}
	return job.PublishFrom(ctx, artifacts.Cameras, &picture)
}

// failure gives an engine's failure its kind.
func failure(err error) error {
	var bad *frames.Failure
	if errors.As(err, &bad) {
		return &pipeline.Failure{Kind: pipeline.InvalidInput, Code: bad.Code, Message: bad.Message, Advice: bad.Advice, Err: bad.Err}
	}
	var f *colmap.Failure
	if !errors.As(err, &f) {
		return err
	}
	kind := pipeline.Internal
	switch {
	case f.AboutInput():
		kind = pipeline.InvalidInput
	case f.Code == colmap.Killed:
		kind = pipeline.ExhaustedResources
	case f.Code == colmap.TimedOut:
		kind = pipeline.Transient
	}
	return &pipeline.Failure{Kind: kind, Code: f.Code, Message: sentence(f.Message), Advice: f.Advice, Err: f.Err}
}

// sentence makes a message that an engine wrote as part of an error one that can stand alone.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}
