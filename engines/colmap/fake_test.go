package colmap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/tool"
)

// fake makes a Colmap whose program is a shell script. $command is COLMAP's command.
func fake(t *testing.T, body string) *Colmap {
	t.Helper()
	path := filepath.Join(t.TempDir(), "colmap")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncommand=$1\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Colmap{Path: path, RandomSeed: 3, Threads: 2, Timeout: time.Minute}
}

// Every command runs on the CPU, logs to standard error without colours, and gets the seed and the threads.
func TestEveryCommandLine(t *testing.T) {
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := fake(t, `printf '%s\n' "$*" > `+dir+`/args`)
	global := "--log_target stderr --log_color 0 --default_random_seed 3 "
	for _, test := range []struct {
		run  func() error
		want string
	}{
		{func() error {
			_, _, err := c.FeatureExtractor(t.Context(), FeatureExtractorOptions{DatabasePath: "d.db", ImagePath: "images", MaskPath: "masks", CameraModel: "OPENCV", SingleCamera: true,
				CameraParams: []float64{500, 320.5, 240}, DefaultFocalLengthFactor: 0.85, MaxImageSize: 1600, MaxNumFeatures: 4096})
			return err
		}, "feature_extractor " + global + "--database_path d.db --image_path images --ImageReader.mask_path masks --ImageReader.camera_model OPENCV --ImageReader.single_camera 1 --ImageReader.camera_params 500,320.5,240 --ImageReader.default_focal_length_factor 0.85 --FeatureExtraction.max_image_size 1600 --SiftExtraction.max_num_features 4096 --FeatureExtraction.num_threads 2 --FeatureExtraction.use_gpu 0"},
		{func() error {
			_, _, err := c.FeatureExtractor(t.Context(), FeatureExtractorOptions{DatabasePath: "d.db", ImagePath: "images", PeakThreshold: 0.003, AffineShape: true, DomainSizePooling: true})
			return err
		}, "feature_extractor " + global + "--database_path d.db --image_path images --SiftExtraction.peak_threshold 0.003 --SiftExtraction.estimate_affine_shape 1 --SiftExtraction.domain_size_pooling 1 --FeatureExtraction.num_threads 2 --FeatureExtraction.use_gpu 0"},
		{func() error {
			_, err := c.ExhaustiveMatcher(t.Context(), ExhaustiveMatcherOptions{DatabasePath: "d.db", Matching: Matching{GuidedMatching: true, MaxNumMatches: 9000, MaxRatio: 0.9, MinNumInliers: 12, Rigs: true}})
			return err
		}, "exhaustive_matcher " + global + "--database_path d.db --FeatureMatching.guided_matching 1 --FeatureMatching.max_num_matches 9000 --SiftMatching.max_ratio 0.9 --TwoViewGeometry.min_num_inliers 12 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0 --FeatureMatching.rig_verification 1 --FeatureMatching.skip_image_pairs_in_same_frame 1"},
		{func() error {
			_, err := c.Mapper(t.Context(), MapperOptions{DatabasePath: "d.db", ImagePath: "images", OutputPath: dir + "/m", InitMinNumInliers: 50, InitMinTriAngleDeg: 8, AbsPoseMinNumInliers: 20, AbsPoseMinInlierRatio: 0.15})
			return err
		}, "mapper " + global + "--database_path d.db --image_path images --output_path " + dir + "/m --Mapper.init_min_num_inliers 50 --Mapper.init_min_tri_angle 8 --Mapper.abs_pose_min_num_inliers 20 --Mapper.abs_pose_min_inlier_ratio 0.15 --Mapper.num_threads 2"},
		{func() error {
			_, err := c.SequentialMatcher(t.Context(), SequentialMatcherOptions{DatabasePath: "d.db", Overlap: 10, QuadraticOverlap: true})
			return err
		}, "sequential_matcher " + global + "--database_path d.db --SequentialMatching.overlap 10 --SequentialMatching.quadratic_overlap 1 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0"},
		{func() error {
			_, err := c.ExhaustiveMatcher(t.Context(), ExhaustiveMatcherOptions{DatabasePath: "d.db", BlockSize: 10})
			return err
		}, "exhaustive_matcher " + global + "--database_path d.db --ExhaustiveMatching.block_size 10 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0"},
		{func() error {
			_, err := c.SequentialMatcher(t.Context(), SequentialMatcherOptions{DatabasePath: "d.db", VocabTreePath: "v.bin", LoopPeriod: 5, LoopImages: 6, LoopDistance: 20})
			return err
		}, "sequential_matcher " + global + "--database_path d.db --SequentialMatching.quadratic_overlap 0 --SequentialMatching.loop_detection 1 --SequentialMatching.vocab_tree_path v.bin --SequentialMatching.loop_detection_period 5 --SequentialMatching.loop_detection_num_images 6 --SequentialMatching.loop_detection_min_index_distance 20 --SequentialMatching.num_threads 2 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0"},
		{func() error {
			_, err := c.SpatialMatcher(t.Context(), SpatialMatcherOptions{DatabasePath: "d.db", MaxNumNeighbors: 50, MaxDistanceM: 200})
			return err
		}, "spatial_matcher " + global + "--database_path d.db --SpatialMatching.max_num_neighbors 50 --SpatialMatching.max_distance 200 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0"},
		{func() error {
			_, err := c.VocabTreeBuilder(t.Context(), VocabTreeBuilderOptions{DatabasePath: "d.db", VocabTreePath: "v.bin", NumVisualWords: 256, NumIterations: 5, NumRounds: 1, MaxNumDescriptors: 20000})
			return err
		}, "vocab_tree_builder " + global + "--database_path d.db --vocab_tree_path v.bin --num_visual_words 256 --num_iterations 5 --num_rounds 1 --max_num_descriptors 20000 --num_threads 2"},
		{func() error {
			_, err := c.VocabTreeMatcher(t.Context(), VocabTreeMatcherOptions{DatabasePath: "d.db", VocabTreePath: "v.bin", NumImages: 50})
			return err
		}, "vocab_tree_matcher " + global + "--database_path d.db --VocabTreeMatching.vocab_tree_path v.bin --VocabTreeMatching.num_images 50 --VocabTreeMatching.num_threads 2 --FeatureMatching.num_threads 2 --FeatureMatching.use_gpu 0"},
		{func() error { _, err := c.RotationAverager(t.Context(), "d.db", dir+"/r"); return err },
			"rotation_averager " + global + "--database_path d.db --output_path " + dir + "/r --num_threads 2"},
		{func() error { _, err := c.ViewGraphCalibrator(t.Context(), "d.db"); return err },
			"view_graph_calibrator " + global + "--database_path d.db"},
		{func() error {
			_, err := c.GlobalMapper(t.Context(), MapperOptions{DatabasePath: "d.db", ImagePath: "images", OutputPath: dir + "/g", MinModelSize: 3, MinNumMatches: 50, TracksPerView: 300})
			return err
		}, "global_mapper " + global + "--database_path d.db --image_path images --output_path " + dir + "/g --GlobalMapper.min_model_size 3 --GlobalMapper.min_num_matches 50 --GlobalMapper.track_required_tracks_per_view 300 --GlobalMapper.num_threads 2 --GlobalMapper.gp_use_gpu 0 --GlobalMapper.ba_ceres_use_gpu 0"},
		{func() error {
			_, err := c.Mapper(t.Context(), MapperOptions{DatabasePath: "d.db", ImagePath: "images", OutputPath: dir + "/m", MinModelSize: 3})
			return err
		}, "mapper " + global + "--database_path d.db --image_path images --output_path " + dir + "/m --Mapper.min_model_size 3 --Mapper.num_threads 2"},
		{func() error {
			_, err := c.ImageUndistorter(t.Context(), ImageUndistorterOptions{ImagePath: "images", InputPath: "sparse", OutputPath: dir + "/u", MaxImageSize: 640})
			return err
		}, "image_undistorter " + global + "--image_path images --input_path sparse --output_path " + dir + "/u --max_image_size 640 --jpeg_quality 98 --num_threads 2"},
	} {
		if err := test.run(); err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile(dir + "/args")
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSpace(string(args))
		if relative := regexp.MustCompile(`_path [^/]\S*`).FindString(got); relative != "" {
			t.Errorf("%q could be taken for an option", relative)
		}
		if got = strings.ReplaceAll(got, here+"/", ""); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// The logs are COLMAP 4.2.1's own, shortened.
func TestProgressOfRecordedLogs(t *testing.T) {
	logs, err := filepath.Abs("testdata/logs")
	if err != nil {
		t.Fatal(err)
	}
	c := fake(t, `cat "`+logs+`/$command.txt" >&2`)
	ctx, out := t.Context(), t.TempDir()
	for command, test := range map[string]struct {
		run                 func() error
		last, total, events int
	}{
		"feature_extractor": {func() error {
			_, extracted, err := c.FeatureExtractor(ctx, FeatureExtractorOptions{})
			if extracted.Images != 6 || extracted.Features["frame_0050.jpg"] != 2898 || extracted.Features["frame_0004.jpg"] != 2154 || len(extracted.Unreadable) != 0 {
				t.Errorf("extracted %+v", extracted)
			}
			return err
		}, 50, 50, 7},
		"sequential_matcher":    {func() error { _, err := c.SequentialMatcher(ctx, SequentialMatcherOptions{}); return err }, 50, 50, 7},
		"exhaustive_matcher":    {func() error { _, err := c.ExhaustiveMatcher(ctx, ExhaustiveMatcherOptions{}); return err }, 4, 4, 5},
		"view_graph_calibrator": {func() error { _, err := c.ViewGraphCalibrator(ctx, "d"); return err }, 1, 1, 2},
		"global_mapper":         {func() error { _, err := c.GlobalMapper(ctx, MapperOptions{OutputPath: out}); return err }, 100, 100, 10},
		"mapper":                {func() error { _, err := c.Mapper(ctx, MapperOptions{OutputPath: out}); return err }, 50, 50, 12},
		"image_undistorter": {func() error {
			_, err := c.ImageUndistorter(ctx, ImageUndistorterOptions{OutputPath: out + "/u"})
			return err
		}, 50, 50, 9},
	} {
		var events []Progress
		c.Progress = func(p Progress) { events = append(events, p) }
		if err := test.run(); err != nil {
			t.Fatal(err)
		}
		if len(events) != test.events {
			t.Errorf("%s: %d events, want %d: %+v", command, len(events), test.events, events)
			continue
		}
		last := events[len(events)-1]
		if last.Step != test.last || last.Total != test.total || last.Command != command || last.Message == "" {
			t.Errorf("%s: the last event is %+v", command, last)
		}
		for i := 1; i < len(events); i++ {
			if events[i].Step < events[i-1].Step {
				t.Errorf("%s: progress fell from %+v to %+v", command, events[i-1], events[i])
			}
		}
	}
}

func TestUnreadableImagesAreNamed(t *testing.T) {
	c := fake(t, `cat >&2 <<E
I20261121 07:42:50.478268 32726 feature_extraction.cc:270] Processed file [4/5]
I20261121 07:42:50.478270 32726 feature_extraction.cc:273]   Name:            x.jpg
W20261121 07:42:50.478277 32726 feature_extraction.cc:277] x.jpg BITMAP_ERROR: Failed to read the image file format.
E`)
	_, extracted, err := c.FeatureExtractor(t.Context(), FeatureExtractorOptions{})
	if err != nil || !reflect.DeepEqual(extracted.Unreadable, []string{"x.jpg BITMAP_ERROR: Failed to read the image file format."}) || extracted.Images != 0 {
		t.Errorf("%+v, %v", extracted, err)
	}
}

func TestFailures(t *testing.T) {
	// What COLMAP 4.2.1 says and how it ends.
	for code, script := range map[string]string{
		NoSparseModel: `echo "E20261121 07:42:57.505463  1711 sfm.cc:409] Failed to create sparse model" >&2; exit 1`,
		OptionError:   `echo "E20261121 07:42:50.980342  1028 base_option_manager.cc:265] Failed to parse options - unrecognised option '--foo'." >&2; exit 1`,
		Crashed:       `printf "terminate called after throwing an instance of 'std::invalid_argument'\n  what():  [reconstruction.cc:995] no files\n" >&2; kill -ABRT $$`,
		Killed:        `kill -KILL $$`,
		TimedOut:      `sleep 60`,
		Failed:        `echo "E20261121 07:42:51.560655  1108 sfm.cc:363] output_path is not a directory." >&2; exit 1`,
	} {
		c := fake(t, script)
		if code == TimedOut {
			c.Timeout = 20 * time.Millisecond
		}
		_, err := c.ViewGraphCalibrator(t.Context(), "d.db")
		var failure *fault.Failure
		if !errors.As(err, &failure) || failure.Code != code || failure.Advice == "" || failure.Err == nil {
			t.Errorf("%s: got %v", code, err)
			continue
		}
		if (failure.Kind == fault.Input) != (code == NoSparseModel) || (failure.Kind == fault.Exhausted) != (code == Killed) || (failure.Kind == fault.Late) != (code == TimedOut) {
			t.Errorf("%s: kind %d", code, failure.Kind)
		}
	}
	c := &Colmap{Path: "no-such-colmap-anywhere"}
	var failure *fault.Failure
	if _, err := c.Mapper(t.Context(), MapperOptions{OutputPath: t.TempDir()}); !errors.As(err, &failure) || failure.Code != MissingTool {
		t.Errorf("missing: %v", err)
	}
	if _, err := fake(t, `echo "COLMAP 3.8 -- Structure-from-Motion"; echo "  mapper"`).Version(t.Context()); !errors.As(err, &failure) || failure.Code != MissingTool {
		t.Errorf("3.8: %v", err)
	}
	if version, err := fake(t, `echo "COLMAP 4.2.1 (Commit Unknown)"; echo "  global_mapper"`).Version(t.Context()); err != nil || version != "4.2.1" {
		t.Errorf("4.2.1: %q, %v", version, err)
	}
}

// A wrapper script that does not find the programs it calls, or a loader its libraries, is no fault of the images, and no retry helps.
func TestColmapThatCannotStart(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	wrapper := fake(t, `exec "$(dirname -- "$0")/root/colmap" "$@"`)
	for name, test := range map[string]struct {
		run  func() error
		says string
	}{
		"asked for its version": {func() error { _, err := wrapper.Version(t.Context()); return err }, "dirname"},
		"at work":               {func() error { _, err := wrapper.ViewGraphCalibrator(t.Context(), "d.db"); return err }, "dirname"},
		"a library is missing": {func() error {
			_, err := fake(t, `echo "colmap: error while loading shared libraries: libceres.so.4: cannot open" >&2; exit 127`).Version(t.Context())
			return err
		}, "libceres.so.4"},
		"no words": {func() error { _, err := fake(t, `exit 3`).Version(t.Context()); return err }, "exit code 3"},
	} {
		var failure *fault.Failure
		if err := test.run(); !errors.As(err, &failure) || failure.Code != MissingTool || failure.Kind != fault.Missing || !hopeless(err) {
			t.Errorf("%s: %v", name, err)
		} else if !strings.Contains(failure.Message, "could not start") || !strings.Contains(failure.Message, test.says) || !strings.Contains(failure.Advice, "'colmap help'") {
			t.Errorf("%s: %q, %q", name, failure.Message, failure.Advice)
		}
	}
	// A machine that can start no program at the moment lacks nothing.
	for _, busy := range []error{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE} {
		var failure *fault.Failure
		if err := wrapper.failure(probe, "", &tool.Error{Program: "colmap", Cause: busy}); errors.As(err, &failure) || !errors.Is(err, busy) {
			t.Errorf("%v: %v", busy, err)
		}
	}
}

// Memory that runs out while COLMAP works asks for a smaller plan; a signal while it is asked for its version does not.
func TestKilledProbeIsNoWantOfMemory(t *testing.T) {
	killed := fake(t, `kill -KILL $$`)
	if _, err := killed.ViewGraphCalibrator(t.Context(), "d.db"); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("at work: %v", err)
	}
	_, err := killed.Version(t.Context())
	var failure *fault.Failure
	if !errors.As(err, &failure) || failure.Code != Crashed || errors.Is(err, syscall.ENOMEM) {
		t.Errorf("asked for its version: %v", err)
	}
}

// A crash on a full disk is recognized although a stack trace follows the message.
func TestCrashOnAFullDisk(t *testing.T) {
	c := fake(t, `{
echo "terminate called after throwing an instance of 'std::runtime_error'"
echo "  what():  [database_sqlite.cc:1737] SQLite error: database or disk is full"
i=0; while [ $i -lt 500 ]; do echo "    @ 0x7f00 frame $i"; i=$((i+1)); done
} >&2; kill -ABRT $$`)
	_, err := c.ViewGraphCalibrator(t.Context(), "d.db")
	var failure *fault.Failure
	if !errors.As(err, &failure) || failure.Code != Crashed || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if _, err := fake(t, `kill -ABRT $$`).ViewGraphCalibrator(t.Context(), "d.db"); err == nil || errors.Is(err, syscall.ENOSPC) {
		t.Errorf("another crash: %v", err)
	}
}

func TestCancellationIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := fake(t, `echo "I20261121 07:39:39.999686 28142 feature_extraction.cc:270] Processed file [1/50]" >&2; exec sleep 60`)
	c.Progress = func(Progress) { cancel() }
	_, _, err := c.FeatureExtractor(ctx, FeatureExtractorOptions{})
	var failure *fault.Failure
	if !errors.Is(err, context.Canceled) || errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
}

// A cancellation in the middle of Reconstruct ends it with the context's error, whichever command runs.
func TestReconstructIsCanceled(t *testing.T) {
	images := t.TempDir()
	for i := range 25 {
		if err := os.WriteFile(filepath.Join(images, fmt.Sprintf("%02d.jpg", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := filepath.Abs("testdata/logs")
	if err != nil {
		t.Fatal(err)
	}
	for _, during := range []string{"feature_extractor", "exhaustive_matcher", "view_graph_calibrator", "mapper", "global_mapper"} {
		ctx, cancel := context.WithCancel(t.Context())
		dir := t.TempDir()
		c := fake(t, `: > "`+dir+`/database.db"
if [ $command = `+during+` ]; then cat "`+logs+`/$command.txt" >&2; exec sleep 60; fi`)
		c.Progress = func(p Progress) {
			if p.Command == during {
				cancel()
			}
		}
		_, err := c.Reconstruct(ctx, Plan{ImagePath: images, WorkPath: dir, OutputPath: dir + "/out", Video: true})
		var failure *fault.Failure
		if !errors.Is(err, context.Canceled) || errors.As(err, &failure) {
			t.Errorf("%s: got %v", during, err)
		}
		cancel()
	}
}

// A matcher whose pairs hold nothing together is followed by one with more, and so is a vocabulary that cannot be learned.
func TestWiderMatchers(t *testing.T) {
	for name, test := range map[string]struct {
		images   int
		first    Matcher
		fails    string
		want     string // matchers, in this order
		warnings int
	}{
		"few":           {25, Spatial, "no", "spatial exhaustive", 0},
		"many":          {201, Spatial, "no", "spatial vocab_tree", 0},
		"all of few":    {25, Exhaustive, "no", "exhaustive", 0},
		"frames":        {201, Sequential, "no", "sequential", 0},
		"no vocabulary": {201, Vocabulary, "vocab_tree_builder", "exhaustive", 1},
	} {
		images, dir := t.TempDir(), t.TempDir()
		for i := range test.images {
			if err := os.WriteFile(filepath.Join(images, fmt.Sprintf("%03d.jpg", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c := fake(t, `echo $command >> "`+dir+`/log"; : > "`+dir+`/database.db"; [ $command != `+test.fails+` ]`)
		result, err := c.Reconstruct(t.Context(), Plan{ImagePath: images, WorkPath: dir, OutputPath: dir + "/out", Matcher: test.first})
		var failure *fault.Failure
		if !errors.As(err, &failure) || failure.Code != NoSparseModel {
			t.Errorf("%s: %v", name, err)
		}
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		var matchers []string
		for command := range strings.Lines(string(log)) {
			if matcher, ok := strings.CutSuffix(strings.TrimSpace(command), "_matcher"); ok {
				matchers = append(matchers, matcher)
			}
		}
		if got := strings.Join(matchers, " "); got != test.want || len(result.Warnings) != test.warnings {
			t.Errorf("%s: %s; warnings %+v", name, got, result.Warnings)
		}
	}
}
