package colmap

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
)

// The zero value of an option leaves COLMAP's own default, which the help text of the command states.

// FeatureExtractorOptions are the options of feature_extractor that are used.
type FeatureExtractorOptions struct {
	DatabasePath  string // made when it does not exist; must be on a local disk, since SQLite needs locks
	ImagePath     string
	ImageListPath string // file with one image name a line; empty takes all
	// ImageReader
	CameraModel              string // COLMAP's name of it
	SingleCamera             bool   // all images share one camera
	CameraParams             []float64
	DefaultFocalLengthFactor float64 // focal length without EXIF, in units of the longer side
	// FeatureExtraction, SiftExtraction
	MaxImageSize   int // longer side in pixels
	MaxNumFeatures int
}

// FeatureExtractor finds features in images. COLMAP skips files that it cannot read; their names come back.
func (c *Colmap) FeatureExtractor(ctx context.Context, o FeatureExtractorOptions) (run Run, extracted Extracted, err error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("image_path", o.ImagePath)
	a.text("image_list_path", o.ImageListPath)
	a.text("ImageReader.camera_model", o.CameraModel)
	a.flag("ImageReader.single_camera", o.SingleCamera)
	a.numbers("ImageReader.camera_params", o.CameraParams)
	a.number("ImageReader.default_focal_length_factor", o.DefaultFocalLengthFactor)
	a.integer("FeatureExtraction.max_image_size", o.MaxImageSize)
	a.integer("SiftExtraction.max_num_features", o.MaxNumFeatures)
	a.integer("FeatureExtraction.num_threads", c.Threads)
	a.text("FeatureExtraction.use_gpu", "0")
	watch := extractorWatch{counter: counter{pattern: processedFile, message: "finding features"}}
	run, err = c.run(ctx, "feature_extractor", a, &watch)
	return run, watch.Extracted, err
}

// SequentialMatcherOptions are the options of sequential_matcher that are used.
type SequentialMatcherOptions struct {
	DatabasePath     string
	Overlap          int // each image is matched with so many that follow it in order of names
	MaxNumMatches    int
	MinNumInliers    int
	GuidedMatching   bool
	QuadraticOverlap bool // and with those 2, 4, 8, … up to 2^(overlap−1) images later
}

// SequentialMatcher matches images that follow one another.
func (c *Colmap) SequentialMatcher(ctx context.Context, o SequentialMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.integer("SequentialMatching.overlap", o.Overlap)
	a.text("SequentialMatching.quadratic_overlap", map[bool]string{true: "1", false: "0"}[o.QuadraticOverlap])
	a.matching(c, o.GuidedMatching, o.MaxNumMatches, o.MinNumInliers)
	return c.run(ctx, "sequential_matcher", a, &counter{pattern: processingImage, message: "matching features"})
}

// ExhaustiveMatcherOptions are the options of exhaustive_matcher that are used.
type ExhaustiveMatcherOptions struct {
	DatabasePath   string
	BlockSize      int // images matched at once; progress is reported once a block
	MaxNumMatches  int
	MinNumInliers  int
	GuidedMatching bool
}

// ExhaustiveMatcher matches every image with every other.
func (c *Colmap) ExhaustiveMatcher(ctx context.Context, o ExhaustiveMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.integer("ExhaustiveMatching.block_size", o.BlockSize)
	a.matching(c, o.GuidedMatching, o.MaxNumMatches, o.MinNumInliers)
	return c.run(ctx, "exhaustive_matcher", a, blockWatch{})
}

// ViewGraphCalibrator estimates focal lengths from the matches and writes them into the database as priors, which
// global_mapper depends on.
func (c *Colmap) ViewGraphCalibrator(ctx context.Context, databasePath string) (Run, error) {
	var a arguments
	a.text("database_path", databasePath)
	return c.run(ctx, "view_graph_calibrator", a, calibratorWatch{})
}

// MapperOptions are the options that global_mapper and mapper share.
type MapperOptions struct {
	DatabasePath string
	ImagePath    string
	// OutputPath is made when it does not exist. Each model gets a folder there, named 0, 1, … in no useful order.
	OutputPath string
	// MinModelSize is the smallest number of images that mapper keeps a model of; COLMAP's default is 10.
	MinModelSize int
	// MinNumMatches is the smallest number of verified matches with which a pair of images counts; COLMAP's default is
	// 15.
	MinNumMatches int
}

// GlobalMapper estimates all poses at once (GLOMAP). It can place cameras wrongly without noticing when there are few
// images or poor focal lengths.
func (c *Colmap) GlobalMapper(ctx context.Context, o MapperOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("image_path", o.ImagePath)
	a.text("output_path", o.OutputPath)
	a.integer("GlobalMapper.min_model_size", o.MinModelSize)
	a.integer("GlobalMapper.min_num_matches", o.MinNumMatches)
	a.integer("GlobalMapper.num_threads", c.Threads)
	a.text("GlobalMapper.gp_use_gpu", "0")
	a.text("GlobalMapper.ba_ceres_use_gpu", "0")
	if err := os.MkdirAll(o.OutputPath, 0o755); err != nil {
		return Run{}, err
	}
	return c.run(ctx, "global_mapper", a, &globalWatch{})
}

// Mapper estimates poses incrementally, image after image.
func (c *Colmap) Mapper(ctx context.Context, o MapperOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("image_path", o.ImagePath)
	a.text("output_path", o.OutputPath)
	a.integer("Mapper.min_model_size", o.MinModelSize)
	a.integer("Mapper.min_num_matches", o.MinNumMatches)
	a.integer("Mapper.num_threads", c.Threads)
	if err := os.MkdirAll(o.OutputPath, 0o755); err != nil {
		return Run{}, err
	}
	return c.run(ctx, "mapper", a, &incrementalWatch{})
}

// ImageUndistorterOptions are the options of image_undistorter that are used.
type ImageUndistorterOptions struct {
	ImagePath    string
	InputPath    string // the model
	OutputPath   string // gets images/ and sparse/, the latter with PINHOLE cameras
	MaxImageSize int    // longer side in pixels
}

// jpegQuality of undistorted images: what training sees must not be worse than what was captured.
const jpegQuality = 98

// ImageUndistorter writes undistorted images and the model that fits them. Their size can differ by a few pixels from
// the originals': read it from the model.
func (c *Colmap) ImageUndistorter(ctx context.Context, o ImageUndistorterOptions) (Run, error) {
	var a arguments
	a.text("image_path", o.ImagePath)
	a.text("input_path", o.InputPath)
	a.text("output_path", o.OutputPath)
	a.integer("max_image_size", o.MaxImageSize)
	a.integer("jpeg_quality", jpegQuality)
	a.integer("num_threads", c.Threads)
	if err := os.MkdirAll(filepath.Dir(o.OutputPath), 0o755); err != nil {
		return Run{}, err
	}
	return c.run(ctx, "image_undistorter", a, &counter{pattern: undistortingImage, message: "undistorting images"})
}

// arguments builds a command line; values that are zero are left out.
type arguments []string

func (a *arguments) text(name, value string) {
	if value != "" {
		*a = append(*a, "--"+name, value)
	}
}

func (a *arguments) integer(name string, value int) {
	if value != 0 {
		a.text(name, strconv.Itoa(value))
	}
}

func (a *arguments) number(name string, value float64) {
	if value != 0 {
		a.text(name, strconv.FormatFloat(value, 'g', -1, 64))
	}
}

func (a *arguments) numbers(name string, values []float64) {
	text := ""
	for i, value := range values {
		if i > 0 {
			text += ","
		}
		text += strconv.FormatFloat(value, 'g', -1, 64)
	}
	a.text(name, text)
}

func (a *arguments) flag(name string, value bool) {
	if value {
		a.text(name, "1")
	}
}

func (a *arguments) matching(c *Colmap, guided bool, maxNumMatches, minNumInliers int) {
	a.flag("FeatureMatching.guided_matching", guided)
	a.integer("FeatureMatching.max_num_matches", maxNumMatches)
	a.integer("TwoViewGeometry.min_num_inliers", minNumInliers)
	a.integer("FeatureMatching.num_threads", c.Threads)
	a.text("FeatureMatching.use_gpu", "0")
}
