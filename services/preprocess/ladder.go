package preprocess

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/splatworks/splatworks/artifacts"
	"github.com/splatworks/splatworks/engines/colmap"
	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/frames"
	"github.com/splatworks/splatworks/internal/stage"
	"github.com/splatworks/splatworks/pipeline"
)

// rung is one way to look for poses. The first is what the preset asks for; those after it cost more, and are climbed while
// images are missing and the preset's budget for poses lasts.
type rung struct {
	what   string // for people
	denser bool   // with more frames of the videos
	// edgePx bounds the longer side at which features are found. It is apart from the size of training: undistorted images are made
	// smaller, and where a card trains on larger ones, COLMAP makes them smaller for the features alone.
	edgePx   int
	features int // most of an image
	search   colmap.Search
	given    bool // poses came with the capture
	every    bool // pair of images is matched, where these are few enough
}

const (
	// betterEdgePx is the size from which small features are seen that hold wide steps together; largestEdgePx is what COLMAP's
	// guidance for sets of photos calls enough.
	betterEdgePx  = 1000
	largestEdgePx = 1600
	// Features of the better and the largest images: COLMAP's own default is 8192.
	betterFeatures  = 4096
	largestFeatures = 8192
	// everyPair is the number of images up to which further tries match every pair.
	everyPair = 200
)

// first is the rung of the preset.
func (w work) first() rung {
	return rung{what: "the preset's images and features", edgePx: withMargin(w.posesPx), features: w.features, given: w.given}
}

// imagesPx is the longer side at which a rung's images are extracted: what its features and the training need. Poses and their errors
// are in pixels of these.
func (w work) imagesPx(r rung) int { return max(r.edgePx, withMargin(w.longEdgePx)) }

// ladder are the rungs above the first, for a capture whose pictures are sourcePx long at most. A plan that was made smaller for
// want of memory gets no larger images.
func (w work) ladder(video bool) []rung {
	f, sourcePx := w.first(), max(w.source.Width, w.source.Height)
	limit := func(px int) int { return max(min(px, sourcePx), f.edgePx) }
	better := limit(min(max(betterEdgePx, 2*f.edgePx), largestEdgePx))
	largest := limit(max(largestEdgePx, better))
	more := min(max(betterFeatures, 2*f.features), largestFeatures)
	if w.plan.Smaller {
		better, largest, more = limit(f.edgePx), limit(f.edgePx), f.features
	}
	var rungs []rung
	if video {
		rungs = append(rungs, rung{what: "more frames", denser: true, edgePx: f.edgePx, features: f.features})
	}
	if better*4 >= f.edgePx*5 || more > f.features && !w.plan.Smaller {
		rungs = append(rungs, rung{what: "larger images and more features", edgePx: better, features: more})
	}
	return append(rungs,
		rung{what: "guided matching of every pair, lower thresholds", edgePx: better, features: max(more, f.features), search: colmap.SearchLenient, every: true},
		rung{what: "features that follow slanted surfaces", edgePx: largest, features: max(more, f.features), search: colmap.SearchAffine, every: true})
}

// plan is what the engine is asked for.
func (r rung) plan(images int) colmap.Plan {
	p := colmap.Plan{MaxImageSize: r.edgePx, MaxNumFeatures: r.features, Search: r.search}
	if r.every && images <= everyPair {
		p.Matcher = colmap.Exhaustive
	}
	if r.given {
		p.Matcher = colmap.ByPoses
	}
	return p
}

// patience is how much of the budget for poses may be spent on further tries after an attempt: the more is missing, the more.
func (a attempt) patience(err error) float64 {
	switch {
	case err != nil:
		return 2
	case a.placed() < poorly:
		return 1
	}
	return 0.5
}

const (
	// poorly is the part of the images below which holes in the result are to be expected, enough the part with which a further
	// try is not worth its time. Of fewer than smallSet images each counts.
	poorly, enough = 0.8, 0.9
	smallSet       = 20
)

// placed is the part of the images that have a pose.
func (a attempt) placed() float64 {
	return float64(a.result.Quality.RegisteredImages) / float64(max(a.result.Images, 1))
}

// wantsMore says whether a further try may do better than this attempt, which ended with err.
func (a attempt) wantsMore(err error) bool {
	var f *fault.Failure
	if errors.As(err, &f) {
		return colmap.OverlapMayHelp(f) || f.Code == colmap.NoFeatures || f.Code == colmap.ImplausibleCameras
	}
	least := enough
	if a.result.Images < smallSet {
		least = 1
	}
	return err == nil && (!(a.placed() >= least) || a.result.Doubtful)
}

// worth orders attempts: what part of the images they place; where the mappers disagree, some of these are wrong.
func (a attempt) worth() float64 {
	if a.result.Doubtful {
		return a.placed() * poorly
	}
	return a.placed()
}

// betterThan says whether this attempt is to be kept rather than an earlier one: where it places more, or as many with clearly
// smaller errors. Where photos state their places, how far these are from the poses counts, else the reprojection error beside
// the size of the images.
func (a attempt) betterThan(b attempt) bool {
	const alike, clearly = 1e-9, 0.8
	switch difference := a.worth() - b.worth(); {
	case difference > alike:
		return true
	case difference < -alike:
		return false
	}
	if x, y := a.result.World.UnitErrorPct, b.result.World.UnitErrorPct; x > 0 && y > 0 {
		return x < clearly*y
	}
	error := func(a attempt) float64 {
		return a.result.Quality.MeanReprojectionErrorPx / float64(max(a.imagesPx, a.rung.edgePx, 1))
	}
	return error(a) < clearly*error(b)
}

// outcome of all tries: the one to continue with, or why there is none, and each of them for the report.
type outcome struct {
	attempt attempt
	err     error
	tries   []artifacts.PosesTry
}

// search climbs the ladder until enough images have a pose or what may be spent on it is spent. The error is not about the images.
func (c Config) search(ctx context.Context, job *stage.Job, capture *capture, w work) (outcome, error) {
	if hardlyMoves(capture.report.Warnings) != nil {
		w.posesBudgetS /= 4 // more of what shows no depth is hardly worth its time
	}
	rungs := w.ladder(capture.report.DurationS > 0)
	if w.given {
		rungs = nil // nothing is looked for
	}
	return climb(ctx, w, rungs, func(ctx context.Context, r rung, number int, at span, leftS float64) (a attempt, ok bool, err error) {
		dir := job.Dir
		if number > 1 {
			if r, ok = c.affordable(w, r, len(capture.selection.Frames), leftS); !ok {
				return a, false, nil
			}
			if dir = filepath.Join(dir, fmt.Sprintf("try-%d", number)); r.denser {
				before := capture.selection
				defer func() { capture.selection = before }()
				if ok, err = capture.denser(ctx, job); err != nil || !ok {
					return a, false, err
				}
			}
			job.Progress(pipeline.Progress{Step: "looking for more poses", Message: r.what})
			if err := os.Mkdir(dir, 0o755); err != nil {
				return a, false, err
			}
		}
		a, err = c.attempt(ctx, job, capture, w, r, at, dir)
		return a, true, err
	}, func(keep, drop attempt) error {
		capture.selection = keep.selection
		return drop.remove()
	})
}

// climb makes the first try and then those of rungs, while the best so far asks for more. try is given a rung, the number of the
// try from 1, its part of the stage's percents and the seconds that are left for it; ok is false where it was not made. kept hears
// of each try that is better than those before. A further try that overruns what is left for it is stopped.
func climb(ctx context.Context, w work, rungs []rung, try func(ctx context.Context, r rung, number int, at span, leftS float64) (a attempt, ok bool, err error), settle func(keep, drop attempt) error) (outcome, error) {
	at := span{percentExtract, percentFurther}
	first, _, err := try(ctx, w.first(), 1, at, 0)
	if err != nil && (ctx.Err() != nil || !first.wantsMore(err)) {
		return outcome{}, err
	}
	o := outcome{attempt: first, err: err, tries: []artifacts.PosesTry{first.try(err)}}
	chosen, spentS := 0, 0.0
	for _, r := range rungs {
		if !o.attempt.wantsMore(o.err) {
			break
		}
		next := at.next()
		leftS := w.posesBudgetS*o.attempt.patience(o.err) - spentS
		limited, cancel := context.WithTimeout(ctx, time.Duration(overrun*leftS*float64(time.Second)))
		a, ok, err := try(limited, r, len(o.tries)+1, next, leftS)
		stopped := err != nil && errors.Is(limited.Err(), context.DeadlineExceeded)
		cancel()
		if ctx.Err() != nil {
			return o, ctx.Err()
		}
		if stopped {
			ok, err = true, &fault.Failure{Kind: fault.Late, Code: outOfTime}
		}
		if !ok && err != nil {
			return o, err
		}
		if !ok {
			continue
		}
		at = next
		spentS += a.costS(w.threads)
		o.tries = append(o.tries, a.try(err))
		// Where all fail, the failure of the first is about the frames that the client was shown.
		drop := a
		if err == nil && (o.err != nil || a.betterThan(o.attempt)) {
			drop = o.attempt
			o.attempt, o.err, chosen = a, nil, len(o.tries)-1
		}
		if err := settle(o.attempt, drop); err != nil {
			return o, err
		}
		var f *fault.Failure
		if o.err != nil && err != nil && !errors.As(err, &f) {
			return o, err // such as a full disk: nothing is known of the images
		}
		if !aboutImages(err) { // what costs more will end alike
			break
		}
	}
	if o.err == nil {
		o.tries[chosen].Chosen = true
	}
	return o, nil
}

const (
	// overrun is how many times the seconds that are left for a further try it may take, on a clock: estimates are wrong by a factor
	// of three for hard images, and the machine may have other work.
	overrun = 2
	// outOfTime is the failure of a try that was stopped then.
	outOfTime = "out_of_time"
)

// aboutImages says whether an attempt ended as it did because of its images, not of the machine.
func aboutImages(err error) bool {
	var f *fault.Failure
	return err == nil || errors.As(err, &f) && f.Kind != fault.Exhausted && f.Kind != fault.Late && f.Kind != fault.Missing
}

// remove deletes the files of an attempt that is not needed any more.
func (a attempt) remove() error {
	var errs []error
	for _, folder := range []string{a.folder, frames.MasksBeside(a.folder), a.result.SparsePath, a.result.UndistortedPath, a.workPath} {
		if folder != "" {
			errs = append(errs, os.RemoveAll(folder))
		}
	}
	return errors.Join(errs...)
}

// affordable makes a rung smaller until it takes no more than leftS seconds and the memory there is; ok is false where nothing
// that is more than the first rung does.
func (c Config) affordable(w work, r rung, images int, leftS float64) (rung, bool) {
	if r.denser {
		images *= 2
	}
	fits := func(r rung) bool {
		size := w.size(images, w.imagesPx(r))
		e := r.plan(size.Images).Estimate(size, w.threads)
		return e.WallS <= leftS && (c.MemoryBytes == 0 || float64(e.MemoryBytes) <= usable*float64(c.MemoryBytes))
	}
	for ; r.edgePx >= w.first().edgePx; r.edgePx = r.edgePx * 4 / 5 {
		for _, every := range []bool{true, false} {
			if r.every = r.every && every; fits(r) {
				return r, true
			}
		}
	}
	return r, false
}

// costS is what an attempt took, in seconds of a machine that did nothing else: a busy one shall not give up sooner.
func (a attempt) costS(threads int) float64 {
	sum := 0.0
	for _, run := range a.result.Runs {
		sum += run.CPUS
	}
	return sum / float64(max(threads, 1))
}

// try is the line of an attempt in the report.
func (a attempt) try(err error) artifacts.PosesTry {
	t := artifacts.PosesTry{What: a.rung.what, LongEdgePx: a.rung.edgePx, Features: a.rung.features, Search: a.rung.search.String(),
		Matcher: string(a.result.Matcher), Images: a.result.Images, Registered: a.result.Quality.RegisteredImages,
		Points: a.result.Quality.Points, WallS: a.wallS, PlannedWallS: a.result.Expected.WallS, Disagree: a.result.Doubtful}
	for _, run := range a.result.Runs {
		t.CPUS += run.CPUS
	}
	var f *fault.Failure
	if errors.As(err, &f) {
		t.Failure = f.Code
	}
	return t
}

// afterTries adds to the failure of a capture what was tried in vain.
func (o outcome) afterTries(err error) error {
	var f *pipeline.Failure
	if !errors.As(err, &f) || f.Kind != pipeline.InvalidInput || len(o.tries) < 2 {
		return err
	}
	failure := *f
	most := 0
	for _, t := range o.tries {
		most = max(most, t.Registered)
	}
	failure.Message = fmt.Sprintf("%s %d further tries, with up to %d pixels, did not do better", f.Message, len(o.tries)-1, o.tries[len(o.tries)-1].LongEdgePx)
	if most > 0 {
		failure.Message += fmt.Sprintf(" than %d images", most)
	}
	failure.Message += "."
	return &failure
}
