package colmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// mapImages runs the mappers that the number of images calls for and reads their models.
//
//   - Up to crossCheckSet both run, so that each checks the other. Small sets start with mapper, whose focal length then
//     checks the calibrator's; else both run at the same time, since most of what they do uses one core.
//   - Above it mapper runs only when global_mapper leaves images out or weak.
func (r *reconstructor) mapImages(ctx context.Context) ([]model, error) {
	r.progress.phase(phaseMap)
	n := len(r.images)
	if n > crossCheckSet {
		global, err := r.mapGlobally(ctx, r.plan.Search.thresholds().lowestStrongPair, nil)
		if err != nil || global.complete(n) {
			return []model{global}, err
		}
		incremental, err := r.mapIncrementally(ctx)
		return []model{global, incremental}, err
	}
	r.progress.parallel(2)
	models := make([]model, 2)
	if n < smallSet {
		var err error
		if models[1], err = r.mapIncrementally(ctx); err != nil {
			return models, err
		}
		// 50 matches a pair are too many to ask of images that are few and far apart.
		models[0], err = r.mapGlobally(ctx, 0, models[1].reconstruction)
		return models, err
	}
	if err := r.mapBoth(ctx, models); err != nil || agree(models[0], models[1]) || models[1].fragment(n) {
		return models, err
	}
	again, err := r.mapGlobally(ctx, strongestPair, models[1].reconstruction)
	if err == nil && (models[0].reconstruction == nil || agree(again, models[1])) {
		models[0] = again
	}
	return models, err
}

// mapBoth runs both mappers at the same time. Where global_mapper registers every image, mapper only checks it, and is stopped when that
// takes many times as long: on walks straight ahead it loses its way again and again (measured: 128 CPU seconds for 120 frames, of
// which global_mapper took 40).
func (r *reconstructor) mapBoth(ctx context.Context, models []model) error {
	group, ctx := errgroup.WithContext(ctx)
	checking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	begun := time.Now()
	group.Go(func() (err error) {
		models[0], err = r.mapGlobally(ctx, r.plan.Search.thresholds().lowestStrongPair, nil)
		if err == nil && models[0].complete(len(r.images)) {
			patience := time.AfterFunc(max(checkAtLeast, checkPatience*time.Since(begun)), giveUp)
			context.AfterFunc(checking, func() { patience.Stop() })
		}
		return err
	})
	group.Go(func() (err error) {
		defer giveUp() // the timer is not needed any more
		models[1], err = r.mapIncrementally(checking)
		if canceled(err) && ctx.Err() == nil {
			models[1], err = model{mapper: incrementalMapper, failure: fail(NotChecked, "", "It was stopped, since it took many times as long as global_mapper.")}, nil
		}
		return err
	})
	return group.Wait()
}

// mapPlausibly maps again where every model has focal lengths that no lens has, which images taken while moving straight ahead
// do not tell: with the focal lengths held that EXIF gives, or focalLengthFactor. Where that gives no model either, the poses
// are not to be had.
func (r *reconstructor) mapPlausibly(ctx context.Context, models []model) ([]model, error) {
	if !implausible(models) || r.plan.knownIntrinsics(r.images) {
		return models, nil
	}
	r.held = true
	r.progress.again()
	again, err := r.mapImages(ctx)
	if err != nil {
		return models, err
	}
	if mostRegistered(again) == 0 || implausible(again) {
		return models, fail(ImplausibleCameras, "Walk sideways around the subject rather than straight towards it or away, and do not zoom while capturing.",
			"The images tell no camera: every model that explains them has a focal length that no lens has.")
	}
	r.warn("focal_length_held", "Walk sideways around the subject rather than straight towards it or away.",
		"The images do not tell the focal length, so that of usual lenses, or what the photos state, was kept.")
	return again, nil
}

// implausible says whether there are models, and each has a camera that no lens makes.
func implausible(models []model) bool {
	some := false
	for i := range models {
		r := models[i].reconstruction
		if r == nil || len(r.Images) == 0 {
			continue
		}
		if _, plausible := focalLengths(r.Cameras); plausible > 0 {
			return false
		}
		some = true
	}
	return some
}

// mapGlobally calibrates a copy of the database and runs global_mapper on it: view_graph_calibrator changes matches as
// well as focal lengths, and mapper is more accurate without that and independent of its mistakes. Where the focal length
// that came out is not plausible, global_mapper gets the database as it was; other is mapper's model, if it is known.
func (r *reconstructor) mapGlobally(ctx context.Context, minNumMatches int, other *scene.Reconstruction) (model, error) {
	options := MapperOptions{DatabasePath: r.databasePath(), MinNumMatches: minNumMatches, TracksPerView: tracksPerView}
	if r.held || r.plan.knownIntrinsics(r.images) {
		return r.mapWith(ctx, globalMapper, r.colmap.GlobalMapper, options)
	}
	calibrated := filepath.Join(r.plan.WorkPath, "calibrated.db")
	if err := copyFile(calibrated, r.databasePath()); err != nil {
		return model{}, fmt.Errorf("preparing global_mapper: %w", err)
	}
	err := r.ran(r.colmap.ViewGraphCalibrator(ctx, calibrated))
	if canceled(err) {
		return model{}, err
	}
	options.DatabasePath = calibrated
	// Without calibration global_mapper may still succeed; the other mapper's model is there to check it.
	if err == nil {
		plausible, err := r.calibrationPlausible(ctx, calibrated, other)
		if err != nil {
			return model{}, err
		}
		if !plausible {
			options.DatabasePath = r.databasePath()
		}
	}
	return r.mapWith(ctx, globalMapper, r.colmap.GlobalMapper, options)
}

// A focal length from view_graph_calibrator is believed within these factors of what mapper found from the same images,
// or else of the prior, which EXIF gives or focalLengthFactor. Measured on thinned fox, whose factor is 0.72: 0.72, 1.08,
// 1.2 and 1.64.
const (
	besideMapper = 1.15
	besidePrior  = 1.6
)

// calibrationPlausible compares the focal lengths in a calibrated database. rotation_averager, which takes half a second,
// is the one command that writes the cameras of a database as a model.
func (r *reconstructor) calibrationPlausible(ctx context.Context, calibrated string, other *scene.Reconstruction) (bool, error) {
	read := func(database, folder string) ([]scene.Camera, error) {
		folder = filepath.Join(r.plan.WorkPath, folder)
		if err := r.ran(r.colmap.RotationAverager(ctx, database, folder)); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(filepath.Join(folder, scene.CamerasFile))
		if err != nil {
			return nil, err
		}
		return scene.ParseCameras(data)
	}
	found, err := read(calibrated, "calibrated")
	if err != nil {
		// It says nothing about few or unconnected images; then neither does this check.
		return true, onlyCanceled(err)
	}
	limit, reference := besidePrior, []scene.Camera(nil)
	if other != nil {
		limit, reference = besideMapper, other.Cameras
	} else if reference, err = read(r.databasePath(), "priors"); err != nil {
		return true, onlyCanceled(err)
	}
	expected := make(map[uint32]float64, len(reference))
	for i := range reference {
		expected[reference[i].CameraID] = reference[i].FocalLength()
	}
	for i := range found {
		f, want := found[i].FocalLength(), expected[found[i].CameraID]
		if want > 0 && !(f <= want*limit && f >= want/limit) {
			return false, nil
		}
	}
	return true, nil
}

// onlyCanceled keeps a cancellation and drops every other error.
func onlyCanceled(err error) error {
	if canceled(err) {
		return err
	}
	return nil
}

func (r *reconstructor) mapIncrementally(ctx context.Context) (model, error) {
	t := r.plan.Search.thresholds()
	return r.mapWith(ctx, incrementalMapper, r.colmap.Mapper, MapperOptions{
		DatabasePath: r.databasePath(), MinNumMatches: t.pairInliers, InitMinNumInliers: t.initInliers, InitMinTriAngleDeg: t.initAngleDeg,
		AbsPoseMinNumInliers: t.poseInliers, AbsPoseMinInlierRatio: t.poseInlierRatio,
	})
}

// mapWith runs one mapper and reads the largest of its models. A mapper that finds nothing or crashes is a model
// without images; only a cancellation or a missing program is an error.
func (r *reconstructor) mapWith(ctx context.Context, name string, mapper func(context.Context, MapperOptions) (Run, error), options MapperOptions) (model, error) {
	m := model{mapper: name, rigs: r.rigs}
	options.KnownIntrinsics, options.KnownRigs = r.plan.knownIntrinsics(r.images), r.rigs.any()
	options.HeldFocalLength = r.held
	options.ImagePath, options.OutputPath = r.rigs.imagePath, filepath.Join(r.plan.WorkPath, name)
	options.MinModelSize = minImages
	if err := os.RemoveAll(options.OutputPath); err != nil {
		return m, fmt.Errorf("preparing %s: %w", name, err)
	}
	err := r.ran(mapper(ctx, options))
	var failure *fault.Failure
	if errors.As(err, &failure) && failure.Kind != fault.Missing {
		m.failure = failure
		return m, nil
	}
	if err != nil {
		return m, err
	}
	return m, m.readLargest(options.OutputPath)
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

// fragment says that a mapper has lost its way: what it made of less than half of n images proves nothing against the other.
func (m *model) fragment(n int) bool {
	return m.reconstruction == nil || 2*len(m.reconstruction.Images) < n
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
