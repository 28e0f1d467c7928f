package colmap

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/splatworks/splatworks/engines/tool"
)

// The zero value of an option leaves COLMAP's own default, which the help text of the command states.

// FeatureExtractorOptions are the options of feature_extractor that are used.
type FeatureExtractorOptions struct {
	DatabasePath  string // made when it does not exist; must be on a local disk, since SQLite needs locks
	ImagePath     string
	ImageListPath string // file with one image name a line; empty takes all
	MaskPath      string // folder with the mask of a/b.jpg as a/b.jpg.png; no features are found where it is black
	// ImageReader
	CameraModel              string // COLMAP's name of it
	SingleCamera             bool   // all images share one camera
	CameraPerImage           bool   // each has its own, numbered from 1 in the order of the list
	CameraParams             []float64
	DefaultFocalLengthFactor float64 // focal length without EXIF, in units of the longer side
	// FeatureExtraction, SiftExtraction
	MaxImageSize      int // longer side in pixels
	MaxNumFeatures    int
	PeakThreshold     float64
	AffineShape       bool
	DomainSizePooling bool
}

// FeatureExtractor finds features in images. COLMAP skips files that it cannot read; their names come back.
func (c *Colmap) FeatureExtractor(ctx context.Context, o FeatureExtractorOptions) (run Run, extracted Extracted, err error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("image_path", o.ImagePath)
	a.text("image_list_path", o.ImageListPath)
	a.text("ImageReader.mask_path", o.MaskPath)
	a.text("ImageReader.camera_model", o.CameraModel)
	a.flag("ImageReader.single_camera", o.SingleCamera)
	a.flag("ImageReader.single_camera_per_image", o.CameraPerImage)
	a.numbers("ImageReader.camera_params", o.CameraParams)
	a.number("ImageReader.default_focal_length_factor", o.DefaultFocalLengthFactor)
	a.integer("FeatureExtraction.max_image_size", o.MaxImageSize)
	a.integer("SiftExtraction.max_num_features", o.MaxNumFeatures)
	a.number("SiftExtraction.peak_threshold", o.PeakThreshold)
	a.flag("SiftExtraction.estimate_affine_shape", o.AffineShape)
	a.flag("SiftExtraction.domain_size_pooling", o.DomainSizePooling)
	a.integer("FeatureExtraction.num_threads", c.Threads)
	a.text("FeatureExtraction.use_gpu", "0")
	watch := extractorWatch{counter: counter{pattern: processedFile, message: "finding features"}}
	run, err = c.run(ctx, "feature_extractor", a, &watch)
	return run, watch.Extracted, err
}

// RigConfigurator assigns the images of a database to the rigs and frames that a file describes
// (https://colmap.github.io/rigs.html). It comes before matching.
func (c *Colmap) RigConfigurator(ctx context.Context, databasePath, rigConfigPath string) (Run, error) {
	var a arguments
	a.text("database_path", databasePath)
	a.text("rig_config_path", rigConfigPath)
	return c.run(ctx, "rig_configurator", a, beginning{})
}

// Matching are the options that all matchers share.
type Matching struct {
	MaxNumMatches  int
	MinNumInliers  int
	MaxRatio       float64 // of the distances of the best and the second best match
	GuidedMatching bool    // verified pairs once more, along their epipolar lines
	Rigs           bool    // see arguments.rigs
}

// SequentialMatcherOptions are the options of sequential_matcher that are used.
type SequentialMatcherOptions struct {
	DatabasePath     string
	Overlap          int  // each image is matched with that number of images after it, in order of names; of rigs, of frames with all their images
	QuadraticOverlap bool // namely those 1, 2, 4, … up to 2^(overlap−1) images later instead of the next
	// VocabTreePath turns loop detection on: every LoopPeriod-th image is also matched with the LoopImages that look most
	// like it and are at least LoopDistance images away.
	VocabTreePath                        string
	LoopPeriod, LoopImages, LoopDistance int
	Matching
}

// SequentialMatcher matches images that follow one another.
func (c *Colmap) SequentialMatcher(ctx context.Context, o SequentialMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.integer("SequentialMatching.overlap", o.Overlap)
	a.text("SequentialMatching.quadratic_overlap", map[bool]string{true: "1", false: "0"}[o.QuadraticOverlap])
	if o.VocabTreePath != "" {
		a.flag("SequentialMatching.loop_detection", true)
		a.text("SequentialMatching.vocab_tree_path", o.VocabTreePath)
		a.integer("SequentialMatching.loop_detection_period", o.LoopPeriod)
		a.integer("SequentialMatching.loop_detection_num_images", o.LoopImages)
		a.integer("SequentialMatching.loop_detection_min_index_distance", o.LoopDistance)
		a.integer("SequentialMatching.num_threads", c.Threads)
	}
	a.matching(c, o.Matching)
	return c.run(ctx, "sequential_matcher", a, &sequentialWatch{})
}

// ExhaustiveMatcherOptions are the options of exhaustive_matcher that are used.
type ExhaustiveMatcherOptions struct {
	DatabasePath string
	BlockSize    int // images matched at once; progress is reported once a block
	Matching
}

// ExhaustiveMatcher matches every image with every other.
func (c *Colmap) ExhaustiveMatcher(ctx context.Context, o ExhaustiveMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.integer("ExhaustiveMatching.block_size", o.BlockSize)
	a.matching(c, o.Matching)
	return c.run(ctx, "exhaustive_matcher", a, blockWatch{})
}

// SpatialMatcherOptions are the options of spatial_matcher that are used.
type SpatialMatcherOptions struct {
	DatabasePath    string
	MaxNumNeighbors int
	MaxDistanceM    int
	Matching
}

// SpatialMatcher matches images that were taken near each other, by the positions in their EXIF data.
func (c *Colmap) SpatialMatcher(ctx context.Context, o SpatialMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.integer("SpatialMatching.max_num_neighbors", o.MaxNumNeighbors)
	a.integer("SpatialMatching.max_distance", o.MaxDistanceM)
	a.matching(c, o.Matching)
	return c.run(ctx, "spatial_matcher", a, &counter{pattern: processingImage, message: "matching features"})
}

// MatchesImporterOptions are the options of matches_importer that are used.
type MatchesImporterOptions struct {
	DatabasePath  string
	MatchListPath string // two image names a line
	Matching
}

// MatchesImporter matches the pairs of images that a file lists. COLMAP says nothing until it is done.
func (c *Colmap) MatchesImporter(ctx context.Context, o MatchesImporterOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("match_list_path", o.MatchListPath)
	a.text("match_type", "pairs")
	a.matching(c, o.Matching)
	return c.run(ctx, "matches_importer", a, blockWatch{})
}

// PointTriangulatorOptions are the options of point_triangulator that are used.
type PointTriangulatorOptions struct {
	DatabasePath string
	ImagePath    string
	InputPath    string // the model with the poses; images are found in the database by their names
	OutputPath   string // made when it does not exist
}

// PointTriangulator finds points by the matches in a database, with poses and cameras held as they are.
func (c *Colmap) PointTriangulator(ctx context.Context, o PointTriangulatorOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("image_path", o.ImagePath)
	a.text("input_path", o.InputPath)
	a.text("output_path", o.OutputPath)
	a.integer("Mapper.num_threads", c.Threads)
	if err := os.MkdirAll(o.OutputPath, 0o755); err != nil {
		return Run{}, err
	}
	return c.run(ctx, "point_triangulator", a, &triangulationWatch{})
}

// VocabTreeBuilderOptions are the options of vocab_tree_builder that are used.
type VocabTreeBuilderOptions struct {
	DatabasePath      string
	VocabTreePath     string // written
	NumVisualWords    int
	NumIterations     int // of k-means
	NumRounds         int // with other seeds, of which the best is kept
	MaxNumDescriptors int // learned from
}

// VocabTreeBuilder learns visual words from the features in a database.
func (c *Colmap) VocabTreeBuilder(ctx context.Context, o VocabTreeBuilderOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("vocab_tree_path", o.VocabTreePath)
	a.integer("num_visual_words", o.NumVisualWords)
	a.integer("num_iterations", o.NumIterations)
	a.integer("num_rounds", o.NumRounds)
	a.integer("max_num_descriptors", o.MaxNumDescriptors)
	a.integer("num_threads", c.Threads)
	return c.run(ctx, "vocab_tree_builder", a, beginning{prefix: "Loading descriptors", message: "learning to tell places apart"})
}

// VocabTreeMatcherOptions are the options of vocab_tree_matcher that are used.
type VocabTreeMatcherOptions struct {
	DatabasePath  string
	VocabTreePath string
	NumImages     int // each is matched with that number of the images most like it
	Matching
}

// VocabTreeMatcher matches images that look alike.
func (c *Colmap) VocabTreeMatcher(ctx context.Context, o VocabTreeMatcherOptions) (Run, error) {
	var a arguments
	a.text("database_path", o.DatabasePath)
	a.text("VocabTreeMatching.vocab_tree_path", o.VocabTreePath)
	a.integer("VocabTreeMatching.num_images", o.NumImages)
	a.integer("VocabTreeMatching.num_threads", c.Threads)
	a.matching(c, o.Matching)
	return c.run(ctx, "vocab_tree_matcher", a, &counter{pattern: processingImage, message: "matching features"})
}

// RotationAverager writes the cameras of a database, as they are known to it, and the orientations of its images as a
// model without points.
func (c *Colmap) RotationAverager(ctx context.Context, databasePath, outputPath string) (Run, error) {
	var a arguments
	a.text("database_path", databasePath)
	a.text("output_path", outputPath)
	a.integer("num_threads", c.Threads)
	if err := os.MkdirAll(outputPath, 0o755); err != nil {
		return Run{}, err
	}
	return c.run(ctx, "rotation_averager", a, beginning{})
}

// ViewGraphCalibrator estimates focal lengths from the matches and writes them into the database as priors, which
// global_mapper depends on.
func (c *Colmap) ViewGraphCalibrator(ctx context.Context, databasePath string) (Run, error) {
	var a arguments
	a.text("database_path", databasePath)
	return c.run(ctx, "view_graph_calibrator", a, beginning{prefix: "Calibrating view graph", message: "estimating focal lengths"})
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
	// TracksPerView is the number of tracks of each image with which global_mapper is content: it begins with those that hold
	// images together best, and finds the others again once the cameras are placed. 0: all of them.
	TracksPerView int
	// What mapper asks of the pair that it begins with, and of an image to register it.
	InitMinNumInliers, AbsPoseMinNumInliers   int
	InitMinTriAngleDeg, AbsPoseMinInlierRatio float64
	// KnownIntrinsics keeps the cameras' parameters as they are, KnownRigs the way from each sensor to its rig.
	KnownIntrinsics, KnownRigs bool
	// HeldFocalLength keeps the focal lengths only.
	HeldFocalLength bool
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
	a.integer("GlobalMapper.track_required_tracks_per_view", o.TracksPerView)
	a.keep(o.KnownIntrinsics || o.HeldFocalLength, "GlobalMapper.ba_refine_focal_length")
	a.keep(o.KnownIntrinsics, "GlobalMapper.ba_refine_extra_params")
	a.keep(o.KnownRigs, "GlobalMapper.refine_sensor_from_rig")
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
	a.integer("Mapper.init_min_num_inliers", o.InitMinNumInliers)
	a.number("Mapper.init_min_tri_angle", o.InitMinTriAngleDeg)
	a.integer("Mapper.abs_pose_min_num_inliers", o.AbsPoseMinNumInliers)
	a.number("Mapper.abs_pose_min_inlier_ratio", o.AbsPoseMinInlierRatio)
	a.keep(o.KnownIntrinsics || o.HeldFocalLength, "Mapper.ba_refine_focal_length")
	a.keep(o.KnownIntrinsics, "Mapper.ba_refine_extra_params")
	a.keep(o.KnownRigs, "Mapper.ba_refine_sensor_from_rig")
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
	if value != "" && strings.HasSuffix(name, "_path") {
		value = tool.File(value)
	}
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

// keep turns refinements off.
func (a *arguments) keep(known bool, refinements ...string) {
	for _, name := range refinements {
		if known {
			a.text(name, "0")
		}
	}
}

// rigs has matches of two frames verified with the sensors' known places in the rig, all pairs of their images together.
// Images of one frame are not matched: they see different things, or the same from one place.
func (a *arguments) rigs(any bool) {
	a.flag("FeatureMatching.rig_verification", any)
	a.flag("FeatureMatching.skip_image_pairs_in_same_frame", any)
}

func (a *arguments) matching(c *Colmap, m Matching) {
	a.flag("FeatureMatching.guided_matching", m.GuidedMatching)
	a.integer("FeatureMatching.max_num_matches", m.MaxNumMatches)
	a.number("SiftMatching.max_ratio", m.MaxRatio)
	a.integer("TwoViewGeometry.min_num_inliers", m.MinNumInliers)
	a.integer("FeatureMatching.num_threads", c.Threads)
	a.text("FeatureMatching.use_gpu", "0")
	a.rigs(m.Rigs)
}
