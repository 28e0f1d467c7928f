package colmap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// Plan says what to reconstruct and where. The zero value of a number means its default, in parentheses.
type Plan struct {
	ImagePath  string // folder of images, subfolders included
	WorkPath   string // for the database and the mappers' models: a local disk, since SQLite needs locks
	OutputPath string // gets sparse/ and undistorted/{images,sparse}/, and undistorted/masks/ where there are masks
	MaskPath   string // folder of masks in COLMAP's naming: the mask of a/b.jpg is a/b.jpg.png; it need not exist

	// Video says that the images are frames of one video in order of their names: one camera, neighbours overlap.
	// Otherwise they are photos, or what Images says of them.
	Video bool
	// Images says what is known of images beyond their pixels. It need not name all.
	Images []ImageInput
	// CameraModel is COLMAP's name of the model; empty chooses (OPENCV for the frames of a video, SIMPLE_RADIAL for
	// photos, of which each camera may have taken few).
	CameraModel string

	Search          Search  // how hard features and matches are looked for (SearchPlain)
	Matcher         Matcher // how pairs are found; empty lets MatcherFor choose
	MaxImageSize    int     // longer side in pixels at which features are found (1280)
	MaxNumFeatures  int     // features kept for an image (4096); of many images at most 2500 where the search is plain
	UndistortedSize int     // longer side in pixels of the undistorted images; 0 keeps that of the originals
	MinRegistered   float64 // smallest part of the images that must be registered (0.5)

	// Given are poses that the images came with, where they did: none are looked for then.
	Given *Given

	// ENUOrigin is where the places of Images (ENU) are measured from.
	ENUOrigin scene.Geodetic
	// Asked is what is known of the world beyond the images.
	Asked scene.Asked

	// Size says what is reconstructed from, for progress in proportion to what is left; it may be missing.
	Size Size
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
	// checkPatience is how many times as long as global_mapper mapper may take to check it.
	checkPatience = 2
	// tracksPerView is the number of tracks of each image that global_mapper begins with. Measured on 120 frames with 1100 tracks an
	// image: 43 CPU seconds instead of 131 with all of them, 4202 points at 0.40 pixels instead of 4155 to 4812 at 0.36 to 0.41.
	tracksPerView = 300
	// strongPair and strongestPair are the verified matches that global_mapper asks of a pair of images, at first and when
	// its result disagrees with mapper's. A few wrong pairs with 15 to 50 matches were measured to turn one half of a
	// video's cameras by 57° against the other, at the usual reprojection error.
	strongPair    = 50
	strongestPair = 100
	// rematchBelow is the part of the images that must be registered after the first matching, or more pairs are matched and
	// the mappers run again.
	rematchBelow = 0.8
	// manyImages is where matching, whose time grows almost with the square of the features, begins to rule: 0.1 to 0.2 CPU seconds a
	// pair at 2200 features. 2200 features for each of 50 frames gave poses right to 0.07 %.
	manyImages     = 60
	featuresOfFew  = 4096
	featuresOfMany = 2500
	// focalLengthFactor is the prior focal length in units of the longer side where EXIF gives none. The main cameras
	// of phones have 0.7 to 0.8 for photos and up to 0.95 for stabilised video; COLMAP's 1.2 is a portrait lens, from
	// which view_graph_calibrator often fails to come back.
	focalLengthFactor = 0.85
)

// checkAtLeast is how long mapper may take in any case.
var checkAtLeast = 20 * time.Second

func (p Plan) withDefaults() Plan {
	if p.MaxImageSize == 0 {
		p.MaxImageSize = 1280
	}
	if p.MinRegistered == 0 {
		p.MinRegistered = 0.5
	}
	return p
}

// featureLimit is the number of features kept for each of n images.
func (p Plan) featureLimit(images int) int {
	limit := p.MaxNumFeatures
	if limit == 0 {
		limit = featuresOfFew
	}
	// As many as are wanted of few images would take hours to match of many.
	if images > manyImages && p.Search == SearchPlain {
		limit = min(limit, featuresOfMany)
	}
	return limit
}

// comparedLimit is the number of features of an image that are compared with those of another, given the limit at which they were
// found: the largest ones. COLMAP stops only after the level of its scale space with which the limit is reached, so that the smallest
// features may be as numerous as all others, and a pair takes as long as the square.
func comparedLimit(features int) int { return max(features, featuresOfFew) }

// Result is a reconstruction and how it came about.
type Result struct {
	Mapper          string          `json:"mapper"` // whose model was chosen: "global_mapper" or "mapper"
	Reason          string          `json:"reason"` // why, in one sentence
	CameraModel     string          `json:"camera_model"`
	Images          int             `json:"images"` // given
	Matcher         Matcher         `json:"matcher"`
	Quality         scene.Quality   `json:"quality"`
	World           scene.World     `json:"world"`
	Masks           int             `json:"masks,omitempty"`        // images that have one
	Unregistered    []string        `json:"unregistered,omitempty"` // names of images without a pose
	Candidates      []Candidate     `json:"candidates"`
	Agreement       *Agreement      `json:"agreement,omitempty"` // between the two mappers, when both made a model
	Expected        Estimate        `json:"expected,omitzero"`   // by the number of features found, where Plan.Size was given
	Doubtful        bool            `json:"doubtful,omitempty"`  // they disagree, and neither is clearly the wrong one
	Runs            []Run           `json:"runs"`
	Warnings        []fault.Warning `json:"warnings,omitempty"`
	SparsePath      string          `json:"-"` // the chosen model, its world frame settled, with the original cameras
	UndistortedPath string          `json:"-"` // images/ without distortion, sparse/ with PINHOLE cameras

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
	r := reconstructor{plan: plan, colmap: *c}
	r.progress.listener = c.Progress
	r.colmap.Progress = r.heard
	if err := r.run(ctx); err != nil {
		return r.result, err
	}
	return r.result, nil
}

// heard passes on what a command reports. While features are found, those so far correct the plan: their limit bounds them only
// roughly, and matching takes the larger part of the time.
func (r *reconstructor) heard(p Progress) {
	if p.features > 0 && p.Step >= countedFrom && r.plan.Size.Images > 0 {
		r.expect(p.features)
	}
	r.progress.report(p)
}

// countedFrom is the number of images whose features say something of the others'.
const countedFrom = 4

// reconstructor is one run of Reconstruct.
type reconstructor struct {
	plan     Plan
	colmap   Colmap
	images   []string
	rigs     rigs
	progress overall
	priors   int        // images whose EXIF data gave a focal length
	bare     string     // folder of the images without EXIF data, where they are used
	held     bool       // the mappers keep the focal lengths that the cameras begin with
	mu       sync.Mutex // guards result.Runs while two mappers run
	result   Result
}

func (r *reconstructor) run(ctx context.Context) error {
	var err error
	if r.images, err = listImages(r.plan.ImagePath); err != nil {
		return err
	}
	r.result.Images = len(r.images)
	r.plan.MaxNumFeatures = r.plan.featureLimit(len(r.images))
	if len(r.images) < minImages {
		return fail(TooFewImages, "Use at least 20 images of the same subject from different sides.", "There are %d images, at least %d are needed.", len(r.images), minImages)
	}
	if r.plan.Size.Images > 0 {
		r.expect(0)
	}
	if err := os.MkdirAll(r.plan.WorkPath, 0o755); err != nil {
		return fmt.Errorf("preparing reconstruction: %w", err)
	}
	r.rigs = rigsOf(r.plan, r.images)
	r.rigs.imagePath = r.plan.ImagePath
	if r.rigs.any() {
		if err := r.rigs.link(r.images, r.plan.ImagePath, filepath.Join(r.plan.WorkPath, "images")); err != nil {
			return fmt.Errorf("preparing reconstruction: %w", err)
		}
	}
	solve := r.solve
	if r.plan.Given != nil {
		solve = r.solveGiven
	}
	chosen, err := solve(ctx)
	if r.plan.Given == nil && r.priorsInDoubt(err) {
		chosen, err = r.solveWithoutPriors(ctx, err)
	}
	if err != nil {
		return err
	}
	return r.deliver(ctx, chosen)
}

// priorsInDoubt says whether a failure may come of what EXIF data say of the focal length.
func (r *reconstructor) priorsInDoubt(err error) bool {
	var failure *fault.Failure
	return errors.As(err, &failure) && OverlapMayHelp(failure) && r.priors > 0 && r.bare == "" && !r.plan.knownIntrinsics(r.images)
}

// solveWithoutPriors is the second way, before the images are refused with first. Where it fails as well, the first
// failure counts.
func (r *reconstructor) solveWithoutPriors(ctx context.Context, first error) (*scene.Reconstruction, error) {
	before := r.result
	if err := r.withoutPriors(); err != nil {
		return nil, err
	}
	r.progress.again()
	chosen, err := r.solve(ctx)
	var failure *fault.Failure
	if errors.As(err, &failure) && failure.Kind == fault.Input {
		before.Runs = r.result.Runs
		r.result = before
		return nil, first
	}
	if err == nil {
		r.warn("focal_length_ignored", "Nothing needs to be done; photos as the camera made them are best.",
			"With the focal length that the photos state no camera poses could be found, without it they could.")
	}
	return chosen, err
}

// solve finds the poses: features, matches, mappers, and the choice between what these make.
func (r *reconstructor) solve(ctx context.Context) (*scene.Reconstruction, error) {
	r.held = false
	if err := r.extract(ctx); err != nil {
		return nil, err
	}
	if err := r.configureRigs(ctx); err != nil {
		return nil, err
	}
	if err := r.match(ctx); err != nil {
		return nil, err
	}
	models, err := r.mapImages(ctx)
	if err != nil {
		return nil, err
	}
	if matcher, ok := r.wider(); ok && mostRegistered(models) < rematchBelow*float64(len(r.images)) {
		r.progress.again()
		if err := r.matchBy(ctx, matcher); err != nil {
			return nil, err
		}
		if models, err = r.mapImages(ctx); err != nil {
			return nil, err
		}
	}
	if models, err = r.mapPlausibly(ctx, models); err != nil {
		return nil, err
	}
	return r.choose(models)
}

func (r *reconstructor) databasePath() string {
	if r.bare != "" {
		return filepath.Join(r.plan.WorkPath, "bare.db")
	}
	return filepath.Join(r.plan.WorkPath, "database.db")
}

// ran keeps what a command cost, and passes its error on.
func (r *reconstructor) ran(run Run, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Runs = append(r.result.Runs, run)
	return err
}

func (r *reconstructor) warn(code, advice, message string, args ...any) {
	r.result.Warnings = append(r.result.Warnings, fault.Warn(code, advice, message, args...))
}

// deliver writes the chosen model and the undistorted images to OutputPath.
func (r *reconstructor) deliver(ctx context.Context, chosen *scene.Reconstruction) error {
	r.progress.phase(phaseUndistort)
	r.result.SparsePath = filepath.Join(r.plan.OutputPath, "sparse")
	r.result.UndistortedPath = filepath.Join(r.plan.OutputPath, "undistorted")
	var turned map[string]int
	if g := r.plan.Given; g != nil {
		turned = g.Turned
	}
	chosen, world, err := chosen.Settle(r.positions(), turned, r.plan.Asked)
	if err != nil {
		return err
	}
	if world.Refused != "" {
		r.warn("scale_not_used", "Name other places or images, or multiply the result with splatworks convert --scale.",
			"The distance of %g m was not used: %s.", r.plan.Asked.Distance.Metres, world.Refused)
	}
	world.Place = world.PlaceAt(r.plan.ENUOrigin)
	if r.plan.Given != nil {
		world.Given = &world.From
	}
	r.result.World, r.result.Quality = world, chosen.Quality()
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
	if err := r.undistortMasks(ctx, chosen); err != nil {
		return err
	}
	r.result.Undistorted, err = scene.Read(filepath.Join(r.result.UndistortedPath, "sparse"))
	if err == nil {
		r.progress.finish()
	}
	return err
}
