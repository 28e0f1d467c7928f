package colmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/engines/scene"
)

// Plan says what to reconstruct and where. The zero value of a number means its default, in parentheses.
type Plan struct {
	ImagePath  string // folder of images, subfolders included
	WorkPath   string // for the database and the mappers' models: a local disk, since SQLite needs locks
	OutputPath string // gets sparse/ and undistorted/{images,sparse}/

	// Video says that the images are frames of one video in order of their names: one camera, neighbours overlap.
	// Otherwise they are photos.
	Video bool
	// CameraModel is COLMAP's name of the model; empty chooses (OPENCV for the frames of a video, SIMPLE_RADIAL for
	// photos, of which each camera may have taken few).
	CameraModel string

	MaxImageSize    int     // longer side in pixels at which features are found (1280)
	MaxNumFeatures  int     // features kept for an image (4096; 2500 for many images)
	UndistortedSize int     // longer side in pixels of the undistorted images; 0 keeps that of the originals
	MinRegistered   float64 // smallest part of the images that must be registered (0.5)
}

const (
	// minImages is what global_mapper needs and what a scene needs to have any shape.
	minImages = 3
	// smallSet is the number of images below which global_mapper was seen to place cameras wrongly without noticing:
	// there mapper decides, and global_mapper is only asked when mapper leaves images out.
	smallSet = 20
	// crossCheckSet is the number of images up to which mapper runs beside global_mapper to check it: 7 CPU seconds at
	// 50 images, growing faster than linearly. Above it mapper runs only if global_mapper leaves images out or weak.
	crossCheckSet = 300
	// strongPair and strongestPair are the verified matches that global_mapper asks of a pair of images, at first and when
	// its result disagrees with mapper's. A few wrong pairs with 15 to 50 matches were measured to turn one half of a
	// video's cameras by 57° against the other, at the usual reprojection error.
	strongPair    = 50
	strongestPair = 100
	// rematchBelow is the part of a video's frames that must be registered after sequential matching, or every pair is
	// matched and the mappers run again.
	rematchBelow = 0.8
	// exhaustiveSet is the number of photos up to which each is matched with every other: 20,000 pairs at about
	// 0.07 CPU seconds for 2000 features.
	exhaustiveSet = 200
	// overlap of sequential matching; with quadratic overlap each frame meets about 16 others.
	overlap = 10
	// manyImages is where matching, whose time grows with the square of the features, begins to rule: 0.05 CPU seconds a
	// pair at 2200 features on an idle core. 2200 features for each of 50 frames gave poses right to 0.07 %.
	manyImages     = 60
	featuresOfFew  = 4096
	featuresOfMany = 2500
	// focalLengthFactor is the prior focal length in units of the longer side where EXIF gives none. The main cameras
	// of phones have 0.7 to 0.8 for photos and up to 0.95 for stabilised video; COLMAP's 1.2 is a portrait lens, from
	// which view_graph_calibrator often fails to come back.
	focalLengthFactor = 0.85
)

func (p Plan) withDefaults() Plan {
	if p.CameraModel == "" {
		p.CameraModel = scene.SimpleRadial.String()
		if p.Video {
			p.CameraModel = scene.OpenCV.String()
		}
	}
	if p.MaxImageSize == 0 {
		p.MaxImageSize = 1280
	}
	if p.MinRegistered == 0 {
		p.MinRegistered = 0.5
	}
	return p
}

// Result is a reconstruction and how it came about.
type Result struct {
	Mapper          string        `json:"mapper"` // whose model was chosen: "global_mapper" or "mapper"
	Reason          string        `json:"reason"` // why, in one sentence
	CameraModel     string        `json:"camera_model"`
	Images          int           `json:"images"` // given
	Quality         scene.Quality `json:"quality"`
	Unregistered    []string      `json:"unregistered,omitempty"` // names of images without a pose
	Candidates      []Candidate   `json:"candidates"`
	Agreement       *Agreement    `json:"agreement,omitempty"` // between the two mappers, when both made a model
	Runs            []Run         `json:"runs"`
	Warnings        []Warning     `json:"warnings,omitempty"`
	SparsePath      string        `json:"-"` // the chosen model with the original cameras
	UndistortedPath string        `json:"-"` // images/ without distortion, sparse/ with PINHOLE cameras

	// Undistorted is the model in UndistortedPath.
	Undistorted *scene.Reconstruction `json:"-"`
}

// Reconstruct finds camera poses and points for a folder of images: features, matches, focal lengths, poses by
// global_mapper and mapper, of which the better is chosen, undistorted images. What WorkPath holds of an interrupted
// run with the same plan is used again.
//
// The error is a [Failure] or the context's.
func (c *Colmap) Reconstruct(ctx context.Context, plan Plan) (Result, error) {
	plan = plan.withDefaults()
	r := reconstructor{plan: plan, colmap: *c, result: Result{CameraModel: plan.CameraModel}}
	r.progress.listener = c.Progress
	r.colmap.Progress = r.progress.report
	if err := r.run(ctx); err != nil {
		return r.result, err
	}
	return r.result, nil
}

// reconstructor is one run of Reconstruct.
type reconstructor struct {
	plan     Plan
	colmap   Colmap
	images   []string
	progress overall
	mu       sync.Mutex // guards result.Runs while two mappers run
	result   Result
}

func (r *reconstructor) run(ctx context.Context) error {
	var err error
	if r.images, err = listImages(r.plan.ImagePath); err != nil {
		return err
	}
	r.result.Images = len(r.images)
	if r.plan.MaxNumFeatures == 0 {
		r.plan.MaxNumFeatures = featuresOfFew
		if len(r.images) > manyImages {
			r.plan.MaxNumFeatures = featuresOfMany
		}
	}
	if len(r.images) < minImages {
		return fail(TooFewImages, "Use at least 20 images of the same subject from different sides.", "there are %d images, at least %d are needed", len(r.images), minImages)
	}
	if err := os.MkdirAll(r.plan.WorkPath, 0o755); err != nil {
		return fmt.Errorf("preparing reconstruction: %w", err)
	}
	if err := r.extract(ctx); err != nil {
		return err
	}
	exhaustive, err := r.match(ctx)
	if err != nil {
		return err
	}
	models, err := r.mapImages(ctx)
	if err != nil {
		return err
	}
	if n := len(r.images); !exhaustive && n <= exhaustiveSet && mostRegistered(models) < rematchBelow*float64(n) {
		// The frames are not one continuous walk: pairs that are far apart in time may be neighbours in space.
		if err := r.matchExhaustively(ctx); err != nil {
			return err
		}
		if models, err = r.mapImages(ctx); err != nil {
			return err
		}
	}
	chosen, err := r.choose(models)
	if err != nil {
		return err
	}
	return r.deliver(ctx, chosen)
}

func (r *reconstructor) databasePath() string { return filepath.Join(r.plan.WorkPath, "database.db") }

// ran keeps what a command cost, and passes its error on.
func (r *reconstructor) ran(run Run, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Runs = append(r.result.Runs, run)
	return err
}

func (r *reconstructor) warn(code, advice, message string, args ...any) {
	r.result.Warnings = append(r.result.Warnings, Warning{Code: code, Message: fmt.Sprintf(message, args...), Advice: advice})
}

// extract finds features, once for each group of images that share a camera.
func (r *reconstructor) extract(ctx context.Context) error {
	r.progress.phase(phaseExtract)
	groups, err := cameraGroups(r.plan.ImagePath, r.images, r.plan.Video)
	if err != nil {
		return err
	}
	var features []int
	var unreadable []string
	for i, group := range groups {
		options := FeatureExtractorOptions{
			DatabasePath: r.databasePath(), ImagePath: r.plan.ImagePath,
			CameraModel: r.plan.CameraModel, SingleCamera: group.single, DefaultFocalLengthFactor: focalLengthFactor,
			MaxImageSize: r.plan.MaxImageSize, MaxNumFeatures: r.plan.MaxNumFeatures,
			ImageListPath: filepath.Join(r.plan.WorkPath, fmt.Sprintf("images-%d.txt", i)),
		}
		if err := writeList(options.ImageListPath, group.names); err != nil {
			return fmt.Errorf("preparing reconstruction: %w", err)
		}
		run, extracted, err := r.colmap.FeatureExtractor(ctx, options)
		if err := r.ran(run, err); err != nil {
			return err
		}
		unreadable = append(unreadable, extracted.Unreadable...)
		for _, n := range extracted.Features {
			features = append(features, n)
		}
	}
	if len(unreadable) > 0 {
		if len(r.images)-len(unreadable) < minImages {
			return fail(UnreadableImage, "Check that the files are whole JPEG or PNG images.", "%d of %d images cannot be read, first: %s", len(unreadable), len(r.images), unreadable[0])
		}
		r.warn(UnreadableImage, "Check that the files are whole JPEG or PNG images.", "%d images could not be read and were left out, first: %s", len(unreadable), unreadable[0])
	}
	// An interrupted run leaves features in the database; COLMAP does not count those again.
	if len(features) == len(r.images) {
		slices.Sort(features)
		const few = 50 // a pair needs 15 inliers, an image 30 to be registered
		if median := features[len(features)/2]; median < few {
			return fail(NoFeatures, "Capture something with visible texture, in good light, without motion blur.", "the images show too little texture: half of them have fewer than %d features", median+1)
		}
	}
	return nil
}

// match matches features between images that may overlap, and says whether that was every pair.
func (r *reconstructor) match(ctx context.Context) (exhaustive bool, err error) {
	r.progress.phase(phaseMatch)
	n := len(r.images)
	pairs := n * (n - 1) / 2
	// Each frame meets the next `overlap`, and with quadratic overlap those 16, 32, … up to 512 later.
	sequentialPairs := n * (overlap + 6)
	if r.plan.Video && pairs > sequentialPairs || n > exhaustiveSet {
		return false, r.ran(r.colmap.SequentialMatcher(ctx, SequentialMatcherOptions{
			DatabasePath: r.databasePath(), Overlap: overlap, QuadraticOverlap: true,
		}))
	}
	return true, r.matchExhaustively(ctx)
}

// matchExhaustively matches the pairs that are not matched yet.
func (r *reconstructor) matchExhaustively(ctx context.Context) error {
	r.progress.phase(phaseMatch)
	// Progress comes once a block: blocks of a fifth of the images give 25 of them.
	return r.ran(r.colmap.ExhaustiveMatcher(ctx, ExhaustiveMatcherOptions{
		DatabasePath: r.databasePath(), BlockSize: min(max(len(r.images)/5, 10), 50),
	}))
}

// mapImages runs the mappers that the number of images calls for and reads their models. Two mappers run at the same
// time: most of what they do uses one core.
func (r *reconstructor) mapImages(ctx context.Context) ([]model, error) {
	r.progress.phase(phaseMap)
	n := len(r.images)
	if n >= smallSet && n <= crossCheckSet {
		r.progress.parallel(2)
		models := make([]model, 2)
		group, groupCtx := errgroup.WithContext(ctx)
		group.Go(func() (err error) { models[0], err = r.mapGlobally(groupCtx, strongPair); return err })
		group.Go(func() (err error) { models[1], err = r.mapIncrementally(groupCtx); return err })
		if err := group.Wait(); err != nil || agree(models[0], models[1]) || models[1].reconstruction == nil {
			return models, err
		}
		again, err := r.mapGlobally(ctx, strongestPair)
		if err == nil && agree(again, models[1]) {
			models[0] = again
		}
		return models, err
	}
	first := func(ctx context.Context) (model, error) { return r.mapGlobally(ctx, strongPair) }
	second := r.mapIncrementally
	if n < smallSet {
		first, second = second, first
	}
	m, err := first(ctx)
	if err != nil || m.complete(n) {
		return []model{m}, err
	}
	other, err := second(ctx)
	return []model{m, other}, err
}

// mapGlobally calibrates a copy of the database and runs global_mapper on it: view_graph_calibrator changes matches as
// well as focal lengths, and mapper is more accurate without that and independent of its mistakes.
func (r *reconstructor) mapGlobally(ctx context.Context, minNumMatches int) (model, error) {
	calibrated := filepath.Join(r.plan.WorkPath, "calibrated.db")
	if err := copyFile(calibrated, r.databasePath()); err != nil {
		return model{}, fmt.Errorf("preparing global_mapper: %w", err)
	}
	err := r.ran(r.colmap.ViewGraphCalibrator(ctx, calibrated))
	if canceled(err) {
		return model{}, err
	}
	// Without calibration global_mapper may still succeed; the other mapper's model is there to check it.
	return r.mapWith(ctx, globalMapper, r.colmap.GlobalMapper, MapperOptions{DatabasePath: calibrated, MinNumMatches: minNumMatches})
}

func (r *reconstructor) mapIncrementally(ctx context.Context) (model, error) {
	return r.mapWith(ctx, incrementalMapper, r.colmap.Mapper, MapperOptions{DatabasePath: r.databasePath()})
}

// mapWith runs one mapper and reads the largest of its models. A mapper that finds nothing or crashes is a model
// without images; only a cancellation or a missing program is an error.
func (r *reconstructor) mapWith(ctx context.Context, name string, mapper func(context.Context, MapperOptions) (Run, error), options MapperOptions) (model, error) {
	m := model{mapper: name}
	options.ImagePath, options.OutputPath = r.plan.ImagePath, filepath.Join(r.plan.WorkPath, name)
	options.MinModelSize = minImages
	if err := os.RemoveAll(options.OutputPath); err != nil {
		return m, fmt.Errorf("preparing %s: %w", name, err)
	}
	err := r.ran(mapper(ctx, options))
	var failure *Failure
	if errors.As(err, &failure) && failure.Code != MissingTool {
		m.failure = failure
		return m, nil
	}
	if err != nil {
		return m, err
	}
	return m, m.readLargest(options.OutputPath)
}

// deliver writes the chosen model and the undistorted images to OutputPath.
func (r *reconstructor) deliver(ctx context.Context, chosen *scene.Reconstruction) error {
	r.progress.phase(phaseUndistort)
	r.result.SparsePath = filepath.Join(r.plan.OutputPath, "sparse")
	r.result.UndistortedPath = filepath.Join(r.plan.OutputPath, "undistorted")
	if err := chosen.Write(r.result.SparsePath); err != nil {
		return err
	}
	if err := os.RemoveAll(r.result.UndistortedPath); err != nil {
		return fmt.Errorf("preparing undistortion: %w", err)
	}
	if err := r.ran(r.colmap.ImageUndistorter(ctx, ImageUndistorterOptions{
		ImagePath: r.plan.ImagePath, InputPath: r.result.SparsePath, OutputPath: r.result.UndistortedPath, MaxImageSize: r.plan.UndistortedSize,
	})); err != nil {
		return err
	}
	// Folders and scripts for COLMAP's own dense stereo, which is not used.
	leftovers, err := filepath.Glob(filepath.Join(r.result.UndistortedPath, "run-colmap-*.sh"))
	if err != nil {
		return err
	}
	for _, name := range append(leftovers, filepath.Join(r.result.UndistortedPath, "stereo")) {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("tidying up after undistortion: %w", err)
		}
	}
	r.result.Undistorted, err = scene.Read(filepath.Join(r.result.UndistortedPath, "sparse"))
	if err == nil {
		r.progress.finish()
	}
	return err
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}

// mostRegistered is the number of images in the best of the models.
func mostRegistered(models []model) float64 {
	most := 0
	for i := range models {
		if models[i].reconstruction != nil {
			most = max(most, len(models[i].reconstruction.Images))
		}
	}
	return float64(most)
}
