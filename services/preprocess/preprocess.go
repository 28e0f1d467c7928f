// Package preprocess is the stage between pixels and poses: it extracts exactly the chosen frames, has COLMAP find
// features and matches, has GLOMAP and the incremental mapper find the cameras, keeps the better model, and leaves
// undistorted images with it.
package preprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/fault"
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
	// MemoryBytes bounds what is planned for; 0: nothing does.
	MemoryBytes int64
	// Card says that a graphics card may train: images are kept at the size that it has time for.
	Card bool
	// CoreSpeed measures how fast a core is beside the one that costs were measured on (colmap.CoreSpeed); nil: the same.
	CoreSpeed func() float64
	Now       func() time.Time // the clock that tries are measured with
}

// Stage of the pipeline.
func Stage(c Config) stage.Definition {
	return stage.Definition{Stage: pipeline.Preprocess, Run: c.run, Budget: 45 * time.Minute}
}

// Shares of the stage's time, as percent at which the parts begin.
const (
	percentExtract = 2
	percentFurther = 75 // further tries, where the first leaves images out
	percentLast    = 95 // no try gets beyond
	percentPublish = 97
)

// span is the part of the stage's percents that a try has.
type span struct{ from, to float64 }

// next is what the try after this one has: half of what is left.
func (s span) next() span { return span{s.to, (s.to + percentLast) / 2} }

// at is the percent of the stage where a fraction of a try is done. Extraction is its first tenth.
func (s span) at(fraction float64) float64 { return s.from + (s.to-s.from)*fraction }

const extractShare = 0.1

func (c Config) run(ctx context.Context, job *stage.Job) error {
	capture, err := c.open(ctx, job)
	if err != nil {
		return err
	}
	defer capture.Close()
	if c.MemoryBytes > 0 {
		held, err := job.InMemory() // what an archive unpacked to
		if err != nil {
			return err
		}
		c.MemoryBytes = max(c.MemoryBytes-held, 1)
	}
	trainPx := 0
	if c.Card {
		trainPx = job.Request.CardLongEdgePx()
	}
	w, err := c.decide(job.Options, trainPx, job.Smaller, capture.report, len(capture.selection.Frames), capture.Located())
	if err != nil {
		return err
	}
	w.announce(job)
	found, err := c.search(ctx, job, capture, w)
	if err == nil {
		err = found.err
	}
	if err != nil {
		return afterSmaller(job.Earlier, job.Smaller, found.afterTries(advised(stage.FromEngine(err), capture.report.Warnings)))
	}
	if err := found.attempt.publishSheet(ctx, job); err != nil {
		return err
	}
	return publish(ctx, job, found, w)
}

// attempt is one reconstruction: of the images in folder, selected by selection.
type attempt struct {
	rung      rung
	span      span
	imagesPx  int // longer side of the images at most
	folder    string
	workPath  string // COLMAP's database and models
	images    []frames.Image
	selection choose.Selection
	result    colmap.Result
	wallS     float64
}

// attempt extracts the selected images as a rung wants them and reconstructs from them, in dir.
func (c Config) attempt(ctx context.Context, job *stage.Job, capture *capture, w work, r rung, at span, dir string) (attempt, error) {
	started := c.Now()
	a := attempt{rung: r, span: at, imagesPx: w.imagesPx(r), selection: capture.selection}
	size := w.size(len(capture.selection.Frames), a.imagesPx)
	pace := &pace{tell: job.Progress, at: at, planS: r.plan(size.Images).Estimate(size, w.threads).WallS}
	defer pace.start()()
	var err error
	if a.folder, a.images, err = capture.extract(ctx, pace, dir, a.imagesPx); err != nil {
		return a, err
	}
	a.workPath = filepath.Join(dir, "colmap")
	a.result, err = c.reconstruct(ctx, job, capture, a, w, pace, dir)
	a.wallS = c.Now().Sub(started).Seconds()
	return a, err
}

// publishSheet draws the images that were used.
func (a attempt) publishSheet(ctx context.Context, job *stage.Job) error {
	sheet := filepath.Join(job.Dir, artifacts.ContactSheet.FileName())
	if err := frames.WriteSheet(ctx, a.folder, a.images, a.selection.Frames, sheet); err != nil {
		return err
	}
	return job.Publish(ctx, artifacts.ContactSheet, sheet)
}

// withMargin is the longer side at which images are extracted: undistortion crops a few percent of it away, and what is
// left is to have the size that was asked for.
func withMargin(longEdgePx int) int { return longEdgePx * 21 / 20 }

func (c Config) reconstruct(ctx context.Context, job *stage.Job, capture *capture, a attempt, w work, pace *pace, dir string) (colmap.Result, error) {
	program := colmap.Colmap{
		Path: c.Colmap, Threads: w.threads, RandomSeed: int(job.Options.Seed % (1 << 31)),
		Progress: func(p colmap.Progress) {
			pace.looking(pipeline.Progress{Step: p.Message, Done: float64(p.Step), Total: float64(p.Total)}, p.Fraction, p.ExpectedS)
		},
	}
	version, err := program.Version(ctx)
	if err != nil {
		return colmap.Result{}, err
	}
	job.Tool("colmap", version)
	plan := a.rung.plan(len(a.images))
	plan.Size = w.size(len(a.selection.Frames), a.imagesPx)
	plan.ImagePath, plan.MaskPath = a.folder, frames.MasksBeside(a.folder)
	plan.WorkPath, plan.OutputPath = a.workPath, filepath.Join(dir, "out")
	plan.Video = capture.Video() && len(a.images) > 0 && a.images[0].FocalLengthPx == 0
	plan.Images, plan.ENUOrigin = capture.inputs(a.images)
	if plan.Asked, err = asked(job.Options, a.images, capture.Shown); err != nil {
		return colmap.Result{}, err
	}
	plan.UndistortedSize = undistortedSize(w.longEdgePx, a.imagesPx)
	if w.given {
		if plan.Given, err = capture.given(job, a); err != nil {
			return colmap.Result{}, err
		}
	}
	return program.Reconstruct(ctx, plan)
}

// undistortedSize is the longer side of undistorted images: that of training, or half of what they are made of. COLMAP
// takes the mean of four pixels where it makes images smaller, which below half the size would leave pixels out; the trainer
// does the rest.
func undistortedSize(longEdgePx, imagesPx int) int { return max(longEdgePx, imagesPx*10/21) }

func publish(ctx context.Context, job *stage.Job, found outcome, w work) error {
	a, r := found.attempt, found.attempt.result
	w.counted(found)
	job.Progress(pipeline.Progress{Step: "saving the scene", Percent: percentPublish})
	job.WarnAll(r.Warnings...)
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
	model, err := scene.Read(r.SparsePath)
	if err != nil {
		return err
	}
	if err := publishPicture(ctx, job, r, model); err != nil {
		return err
	}
	if err := publishPoints(ctx, job, model); err != nil {
		return err
	}
	job.Metric("images_registered", float64(r.Quality.RegisteredImages))
	job.Metric("points", float64(r.Quality.Points))
	for _, run := range r.Runs {
		job.Metric(run.Command+"_wall_s", run.WallS)
	}
	return job.Report(artifacts.ReportDocument{
		Images: &artifacts.ImagesReport{Used: len(a.images), Registered: r.Quality.RegisteredImages},
		Plan:   &w.plan,
		SfM: &artifacts.SfMReport{Mapper: r.Mapper, Points: r.Quality.Points, ReprojectionErrorPx: r.Quality.MeanReprojectionErrorPx,
			MeanTrackLength: r.Quality.MeanTrackLength, Matcher: string(r.Matcher), Reason: r.Reason, World: r.World,
			Candidates: r.Candidates, Agreement: r.Agreement, Tries: found.tries},
	})
}

// publishPicture draws the cameras and points for people.
func publishPicture(ctx context.Context, job *stage.Job, r colmap.Result, model *scene.Reconstruction) error {
	caption := fmt.Sprintf("%d of %d images placed, %d points, reprojection error %.2f px (%s)",
		r.Quality.RegisteredImages, r.Images, r.Quality.Points, r.Quality.MeanReprojectionErrorPx, r.Mapper)
	var picture bytes.Buffer
	if err := model.WritePicture(&picture, caption, r.World.Unit); err != nil {
		return err
	}
	return job.PublishFrom(ctx, artifacts.Cameras, &picture)
}

// afterSmaller keeps a smaller plan from being held against the capture: that its half of the features did not do says
// little about the images. What counts is that the machine was too small for the plan before.
func afterSmaller(earlier *pipeline.Failure, smaller bool, err error) error {
	var f *pipeline.Failure
	if !smaller || earlier == nil || !errors.As(err, &f) || f.Kind != pipeline.InvalidInput {
		return err
	}
	return &pipeline.Failure{Kind: pipeline.ExhaustedResources, Code: earlier.Code, Advice: earlier.Advice, Err: err,
		Message: fmt.Sprintf("%s A smaller plan failed, too: %s", earlier.Message, f.Message)}
}

// advised gives the failure of a capture that filter had warned of, because its camera hardly moves, the warning's advice: more
// overlap or more texture would not help it.
func advised(err error, warnings []fault.Warning) error {
	var f *pipeline.Failure
	if !errors.As(err, &f) || f.Kind != pipeline.InvalidInput {
		return err
	}
	if w := hardlyMoves(warnings); w != nil {
		failure := *f
		failure.Message, failure.Advice = f.Message+" "+w.Message, w.Advice
		return &failure
	}
	return err
}

// hardlyMoves is the warning that the camera does, if filter gave one.
func hardlyMoves(warnings []fault.Warning) *fault.Warning {
	for i := range warnings {
		switch warnings[i].Code {
		case "mostly_static", "little_motion":
			return &warnings[i]
		}
	}
	return nil
}

// ignoreRefusal drops an engine's refusal of a capture that was accepted before.
func ignoreRefusal(err error) error {
	if fault.Of(err) != nil {
		return nil
	}
	return err
}
