package colmap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/splatworks/splatworks/engines/fault"
)

// extract finds features, once for each group of images that share a camera; again, and without EXIF data, where that gives a
// focal length that no lens has.
func (r *reconstructor) extract(ctx context.Context) error {
	implausible, err := r.extractOnce(ctx)
	if err != nil || len(implausible) == 0 || r.bare != "" || r.plan.knownIntrinsics(r.images) {
		return err
	}
	slices.Sort(implausible)
	r.warn("focal_length_ignored", "Nothing needs to be done; photos as the camera made them are best.",
		"%s a focal length that no lens has, first: %s; what photos say of it was not used.", say(len(implausible), "image says it has", "images say they have"), implausible[0])
	if err := r.withoutPriors(); err != nil {
		return err
	}
	_, err = r.extractOnce(ctx)
	return err
}

func (r *reconstructor) extractOnce(ctx context.Context) (implausible []string, err error) {
	r.progress.phase(phaseExtract)
	r.priors = 0
	groups, err := cameraGroups(r.plan, r.images)
	if err != nil {
		return nil, err
	}
	masks, err := r.completeMasks()
	if err != nil {
		return nil, err
	}
	var features []int
	var unreadable []string
	t := r.plan.Search.thresholds()
	begun := 0.0
	for i, group := range groups {
		begun += float64(len(group.names)) / float64(max(len(r.images), 1))
		r.progress.next(begun)
		options := FeatureExtractorOptions{
			DatabasePath: r.databasePath(), ImagePath: r.featurePath(), MaskPath: masks,
			CameraModel: group.model, CameraParams: group.params, SingleCamera: group.single, DefaultFocalLengthFactor: focalLengthFactor,
			MaxImageSize: r.plan.MaxImageSize, MaxNumFeatures: r.plan.MaxNumFeatures,
			PeakThreshold: t.peak, AffineShape: t.affine, DomainSizePooling: t.affine,
			ImageListPath: filepath.Join(r.plan.WorkPath, fmt.Sprintf("images-%d.txt", i)),
		}
		if i == 0 || len(group.names) > len(groups[0].names) {
			r.result.CameraModel = group.model
		}
		names := make([]string, len(group.names))
		for i, file := range group.names {
			names[i] = r.rigs.name(file)
		}
		if err := writeList(options.ImageListPath, names); err != nil {
			return nil, fmt.Errorf("preparing reconstruction: %w", err)
		}
		run, extracted, err := r.colmap.FeatureExtractor(ctx, options)
		if err := r.ran(run, err); err != nil {
			return nil, err
		}
		if group.params == nil {
			implausible = append(implausible, extracted.implausiblePriors()...)
			r.priors += extracted.priors()
		}
		unreadable = append(unreadable, extracted.Unreadable...)
		for _, n := range extracted.Features {
			features = append(features, n)
		}
	}
	if len(unreadable) > 0 {
		if len(r.images)-len(unreadable) < minImages {
			return nil, fail(UnreadableImage, "Check that the files are whole JPEG or PNG images.", "%d of %d images cannot be read, first: %s.", len(unreadable), len(r.images), unreadable[0])
		}
		r.warn(UnreadableImage, "Check that the files are whole JPEG or PNG images.", "%s could not be read and %s left out, first: %s.", say(len(unreadable), "image", "images"), be(len(unreadable)), unreadable[0])
	}
	// An interrupted run leaves features in the database; COLMAP does not count those again.
	if len(features) == len(r.images) {
		slices.Sort(features)
		const few = 50 // a pair needs 15 inliers, an image 30 to be registered
		if median := features[len(features)/2]; median < few {
			return nil, fail(NoFeatures, "Capture something with visible texture, in good light, without motion blur.", "The images show too little texture: half of them have fewer than %d features.", median+1)
		}
	}
	r.count(features)
	return implausible, nil
}

// count makes the plan anew, now that it is known how many features there are: their limit bounds them only roughly, and what a
// pair takes grows with their square.
func (r *reconstructor) count(features []int) {
	if len(features) == 0 || r.plan.Size.Images == 0 {
		return
	}
	r.expect(rootMeanSquare(features))
}

// expect estimates with a number of features; 0: not known yet.
func (r *reconstructor) expect(features int) {
	threads := cmp.Or(r.colmap.Threads, runtime.NumCPU())
	e := r.plan.Estimate(r.plan.Size, threads)
	if features > 0 {
		e = r.plan.estimateWith(features, r.plan.Size, threads)
	}
	r.result.Expected = e
	r.progress.expect(e.phases)
}

// Matcher is how the pairs of images that are matched are found.
type Matcher string

const (
	Exhaustive Matcher = "exhaustive" // every pair
	Sequential Matcher = "sequential" // neighbours in time, and images that look alike, which closes loops
	Spatial    Matcher = "spatial"    // neighbours on the ground, by GPS
	Vocabulary Matcher = "vocabulary" // images that look alike
	ByPoses    Matcher = "poses"      // images that may see the same by poses that were given
)

// MatcherFor chooses. frames says that the images are frames of videos, located that GPS positions are known.
func MatcherFor(images int, frames, located bool) Matcher {
	pairs := images * (images - 1) / 2
	switch {
	case frames && pairs > images*pairsPerFrame:
		return Sequential
	case images <= exhaustiveSet:
		return Exhaustive
	case located:
		return Spatial
	}
	return Vocabulary
}

// Pairs estimates how many pairs of images a matcher compares. A rig takes perFrame of them at once, other cameras one.
func (m Matcher) Pairs(images, perFrame int) int {
	frames := images / perFrame
	all := frames * (frames - 1) / 2 * perFrame * perFrame
	switch m {
	case Sequential:
		n, overlap := 0, overlap
		if perFrame > 1 {
			overlap = rigOverlap
		}
		for power := range overlap {
			n += max(frames-1<<power, 0)
		}
		n *= perFrame * perFrame
		if frames > 2*loopDistance {
			n += images / loopPeriod * loopImages
		}
		return min(all, n)
	case Spatial:
		return min(all, images*spatialNeighbours*3/4) // half of them twice
	case Vocabulary:
		return min(all, images*vocabularyImages*3/4)
	case ByPoses:
		return min(all, images*(nearestGiven+fartherGiven)*3/4)
	}
	return all
}

// likened is the number of pairs of images that are looked at, by a sample of features, to find those that look alike.
func (m Matcher) likened(images int) int {
	switch {
	case m == Vocabulary:
		return images * (images - 1)
	case m == Sequential && images > 2*loopDistance:
		return images / loopPeriod * max(images-2*loopDistance, 0)
	}
	return 0
}

const (
	// overlap of sequential matching, which is quadratic: each frame meets those 1, 2, 4, … up to 512 later.
	overlap = 10
	// pairsPerFrame is where sequential matching saves enough: up to 33 frames every pair is matched.
	pairsPerFrame = 16
	// Every loopPeriod-th frame is compared with the loopImages that look most like it and are at least loopDistance away
	// in time.
	loopPeriod   = 5
	loopImages   = 6
	loopDistance = 2 * overlap
	// spatialNeighbours on the ground; GPS of phones is wrong by several photos.
	spatialNeighbours = 50
	vocabularyImages  = 50
	// exhaustiveSet is the number of photos up to which each is matched with every other: 20,000 pairs at about
	// 0.07 CPU seconds for 2000 features.
	exhaustiveSet = 200
	// spatialReachM is how far apart photos may be that are matched by GPS.
	spatialReachM = 1000
	// rigOverlap is overlap in frames of rigs, which see much of each other: each meets those 1, 2, 4, 8 and 16 later, all of their images.
	rigOverlap = 5
)

// match matches features between images that may overlap.
func (r *reconstructor) match(ctx context.Context) error {
	wanted, located := r.plan.Matcher, len(r.positions()) == len(r.images)
	if r.bare != "" { // COLMAP knows places from EXIF data
		located = false
		if wanted == Spatial {
			wanted = ""
		}
	}
	return r.matchBy(ctx, cmp.Or(wanted, MatcherFor(len(r.images), r.plan.frames(), located)))
}

// wider is the matcher to try where the pairs of the first did not hold the images together; ok is false where there is
// none. Frames need not be one continuous walk, and receivers of GPS are lost in houses: what is far apart in time or on
// the ground may show the same.
func (r *reconstructor) wider() (m Matcher, ok bool) {
	switch first := r.result.Matcher; {
	case first != Exhaustive && len(r.images) <= exhaustiveSet:
		return Exhaustive, true
	case first == Spatial:
		return Vocabulary, true
	}
	return "", false
}

// matchBy matches the pairs of a matcher that are not matched yet.
func (r *reconstructor) matchBy(ctx context.Context, matcher Matcher) error {
	r.progress.phase(phaseMatch)
	r.result.Matcher = matcher
	t := r.plan.Search.thresholds()
	how := Matching{MinNumInliers: t.pairInliers, MaxRatio: t.ratio, GuidedMatching: t.guided, Rigs: r.rigs.any()}
	overlap := overlap
	if how.Rigs {
		overlap = rigOverlap
	}
	// Where every frame meets frames far away in any case, there is no loop left to find.
	loops := matcher == Sequential && r.rigs.frames(r.images) > 2*loopDistance
	done, err := r.matchCompared(ctx, how, func(images []described) ([][2]int, error) {
		switch matcher {
		case Sequential:
			pairs := r.inSequence(images, overlap)
			if !loops {
				return pairs, nil
			}
			more, err := r.loops(ctx, images)
			return append(pairs, more...), err
		case Spatial:
			return r.near(images), nil
		case Vocabulary:
			return r.alike(ctx, images, func(int, int) bool { return true }, vocabularyImages)
		}
		return everyPair(images), nil
	})
	if done || err != nil {
		return err
	}
	return r.matchByCOLMAP(ctx, matcher, how, overlap, loops)
}

// matchByCOLMAP leaves the choice of pairs and their comparison to COLMAP's matchers.
func (r *reconstructor) matchByCOLMAP(ctx context.Context, matcher Matcher, how Matching, overlap int, loops bool) error {
	switch matcher {
	case Sequential:
		options := SequentialMatcherOptions{DatabasePath: r.databasePath(), Overlap: overlap, QuadraticOverlap: true, Matching: how}
		if loops {
			tree, err := r.vocabulary(ctx)
			if canceled(err) {
				return err
			}
			// Without words, which few features do not allow, loops stay open.
			if err == nil {
				options.VocabTreePath, options.LoopPeriod, options.LoopImages, options.LoopDistance = tree, loopPeriod, loopImages, loopDistance
			}
		}
		return r.ran(r.colmap.SequentialMatcher(ctx, options))
	case Spatial:
		return r.ran(r.colmap.SpatialMatcher(ctx, SpatialMatcherOptions{
			DatabasePath: r.databasePath(), MaxNumNeighbors: spatialNeighbours, MaxDistanceM: spatialReachM, Matching: how,
		}))
	case Vocabulary:
		tree, err := r.vocabulary(ctx)
		if hopeless(err) {
			return err
		}
		if err != nil {
			r.warn("no_vocabulary", "Send fewer photos, or photos with more texture.", "The images show too little to tell which look alike, so every one was compared with every other.")
			return r.matchBy(ctx, Exhaustive)
		}
		return r.ran(r.colmap.VocabTreeMatcher(ctx, VocabTreeMatcherOptions{
			DatabasePath: r.databasePath(), VocabTreePath: tree, NumImages: vocabularyImages, Matching: how,
		}))
	}
	// Progress comes once a block: blocks of a fifth of the images give 25 of them. Not smaller ones: with blocks of 4 a model of 8
	// images with affine features was 44 degrees off, which with one of 10 is right in five runs of five.
	return r.ran(r.colmap.ExhaustiveMatcher(ctx, ExhaustiveMatcherOptions{
		DatabasePath: r.databasePath(), BlockSize: min(max(len(r.images)/5, 10), 50), Matching: how,
	}))
}

// hopeless says whether an error ends the work: the next command would fail alike.
func hopeless(err error) bool {
	var failure *fault.Failure
	return err != nil && (!errors.As(err, &failure) || failure.Kind == fault.Exhausted || failure.Kind == fault.Late || failure.Kind == fault.Missing)
}

// vocabulary learns visual words from the images' own features. A general vocabulary would be larger, but it is a file
// of hundreds of megabytes from elsewhere; within one capture a small one of its own distinguishes places as well.
func (r *reconstructor) vocabulary(ctx context.Context) (path string, err error) {
	path = filepath.Join(r.plan.WorkPath, "vocabulary.bin")
	return path, r.ran(r.colmap.VocabTreeBuilder(ctx, VocabTreeBuilderOptions{
		DatabasePath: r.databasePath(), VocabTreePath: path,
		NumVisualWords: 256, NumIterations: 5, NumRounds: 1, MaxNumDescriptors: 20_000,
	}))
}
