package colmap

import (
	"cmp"
	"math"
)

// Size is what decides on how long a reconstruction takes and how much memory it needs.
type Size struct {
	Images        int
	Width, Height int  // of the images that features are found in
	Frames        bool // of videos, or else photos
	Located       bool // by GPS
	PerFrame      int  // images that a rig takes at once; 0 and 1 without one
	// Speed of a core beside the one that costs were measured on; 0: the same. See CoreSpeed.
	Speed float64
}

// Estimate is what a reconstruction is expected to take.
type Estimate struct {
	Features    int // found in an image
	Matcher     Matcher
	Pairs       int // that are matched
	CPUS        float64
	WallS       float64 // on that number of threads, with nothing beside
	MemoryBytes int64   // of the largest command

	phases [numPhases]float64 // wall seconds of each
	share  float64            // of matching, before pairs are verified
}

// compared is the part of matching that is over once pairs are compared.
func (e Estimate) compared() float64 { return cmp.Or(e.share, 0.5) }

// What COLMAP takes on one core of a shared AMD EPYC (Zen 4), fitted to fox at 640 and 960 pixels (50 frames) and to
// sceaux at 960 (11 photos).
const (
	extractSPerPixel = 1.6e-6 // measured 1.55 to 1.77e-6
	featuresAtPixel  = 1.326  // times pixels to the power of 0.6: 2190 features at 640x360, 3560 at 960x540
	featuresGrowth   = 0.6    //
	// Comparing two images, times the features of both, here (nearestBlocks) and by COLMAP.
	comparedSPerFeature2 = 3.1e-9 // measured 3.1e-9 with 2190 features (fox) and 6000 (sceaux)
	matchedSPerFeature2  = 2.0e-8
	// Verifying them, times their features.
	verifiedSPerFeature = 8e-6
	// Guided matching, times the features of both, here: measured 5.4e-10 with 7966 features.
	guidedSPerFeature2 = 6e-10
	// COLMAP's compares every feature with every other: 0.085 s more with 2125 features, 0.32 with 4285, 1.3 with 6000.
	guidedS            = 1.7e-9 // a pair, times its features to the power of
	guidedGrowth       = 2.3
	undistortSPerPixel = 8e-8
	// overLimit is by how much the features of an image exceed their limit: COLMAP stops only after the level of its scale space
	// with which it is reached, and gives some two orientations (measured 1.0 to 2.3).
	overLimit = 2
	// photoFeatures is how many more features a photo has than a frame of a video of its size, which is softer (measured 1.0 to 2.4).
	photoFeatures = 1.4
	// lenientFeatures is how many more features are found with lower thresholds (1.4 to 1.8).
	lenientFeatures = 1.6
	affineCost      = 8 // times what extraction takes without affine shape and domain size pooling
	// rigShare is the part of its features that a sensor keeps which sees 90 degrees, where each has 60 for itself.
	rigShare = 0.58
	// The global mapper's time grows with the observations, the incremental one's with its repeated adjustment of all.
	globalSPerFeature       = 5e-5
	incrementalSPerFeature  = 5e-5
	incrementalGrowth       = 1.3
	triangulateSPerFeature  = 2.5e-5
	incrementalGrowthImages = 50
	// Memory: extraction holds a scale space for each thread (measured 278 to 286 bytes a pixel), mappers what they
	// adjust.
	baseBytes        = 130 << 20
	extractBytes     = 290 // for each pixel and thread
	mapperBytes      = 2300 * 0.45
	descriptorBytes  = 128 + 24
	matcherCacheSize = 1000 // images whose features the matcher keeps
)

// Estimate says what Reconstruct is expected to take on images of a size.
func (p Plan) Estimate(size Size, threads int) Estimate {
	p = p.withDefaults()
	width, height := fitted(size.Width, size.Height, p.MaxImageSize)
	features := int(featuresAtPixel * math.Pow(float64(width*height), featuresGrowth))
	if !size.Frames {
		features = int(photoFeatures * float64(features))
	}
	if p.Search >= SearchLenient {
		features = int(lenientFeatures * float64(features))
	}
	features = min(features, int(overLimit*float64(p.featureLimit(size.Images))))
	if size.PerFrame > 1 {
		features = int(float64(features) * rigShare)
	}
	return p.estimateWith(features, size, threads)
}

// estimateWith is Estimate once it is known how many features an image has: the root of the mean of the squares, since a pair
// takes as long as the product of two.
func (p Plan) estimateWith(found int, size Size, threads int) Estimate {
	p = p.withDefaults()
	threads = max(threads, 1)
	width, height := fitted(size.Width, size.Height, p.MaxImageSize)
	pixels := float64(width * height)
	n, search := float64(size.Images), p.Search.thresholds()
	e := Estimate{Features: found, Matcher: cmp.Or(p.Matcher, MatcherFor(size.Images, size.Frames, size.Located))}
	e.Pairs = e.Matcher.Pairs(size.Images, max(size.PerFrame, 1))
	features := float64(e.Features)

	extract := n * pixels * extractSPerPixel * search.extractCost
	compare, verify := float64(e.Pairs)*matchedSPerFeature2*features*features, float64(e.Pairs)*verifiedS(features, search.guided)
	if vectors {
		compared := min(features, float64(comparedLimit(p.featureLimit(size.Images))))
		likened := float64(e.Matcher.likened(size.Images)) * likenedCost * sampled * compared
		compare = comparedSPerFeature2 * (float64(e.Pairs)*compared*compared + likened)
		verify = float64(e.Pairs) * verifiedSPerFeature * compared
		if search.guided {
			verify += float64(e.Pairs) * guidedSPerFeature2 * features * features
		}
	}
	match := compare + verify
	e.share = compare / match
	mapped := min(features, float64(comparedLimit(p.featureLimit(size.Images))))
	global := n * mapped * globalSPerFeature
	incremental := n * mapped * incrementalSPerFeature * math.Pow(max(n/incrementalGrowthImages, 1), incrementalGrowth-1)
	if size.Images > crossCheckSet || e.Matcher == ByPoses {
		incremental = 0
	}
	if e.Matcher == ByPoses {
		global = n * mapped * triangulateSPerFeature
	}
	undistort := n * float64(size.Width*size.Height) * undistortSPerPixel
	speed := cmp.Or(size.Speed, 1)
	for _, s := range []*float64{&extract, &match, &global, &incremental, &undistort} {
		*s /= speed
	}
	e.CPUS = extract + match + global + incremental + undistort
	// Mappers run beside each other and use little more than a core each.
	mapping := max(global, incremental)
	if threads == 1 || size.Images < smallSet {
		mapping = global + incremental
	}
	e.phases = [numPhases]float64{phaseExtract: extract / float64(threads), phaseMatch: match / float64(threads), phaseMap: mapping,
		phaseUndistort: undistort / float64(threads)}
	for _, s := range e.phases {
		e.WallS += s
	}

	e.MemoryBytes = baseBytes + int64(max(
		pixels*extractBytes*float64(threads),
		min(n, matcherCacheSize)*features*descriptorBytes,
		n*features*mapperBytes))
	return e
}

// verifiedS is what verifying the matches of two images takes, and guided matching, CPU seconds.
func verifiedS(features float64, guided bool) float64 {
	s := verifiedSPerFeature * features
	if guided {
		s += guidedS * math.Pow(features, guidedGrowth)
	}
	return s
}

// ThreadsWithin is the largest number of threads, up to most, with which extraction stays within memory; at least 1.
func (p Plan) ThreadsWithin(memoryBytes int64, size Size, most int) int {
	p = p.withDefaults()
	width, height := fitted(size.Width, size.Height, p.MaxImageSize)
	each := int64(width*height)*extractBytes + 1
	return int(max(min((memoryBytes-baseBytes)/each, int64(most)), 1))
}

// fitted is the size of an image whose longer side is at most limit.
func fitted(width, height, limit int) (int, int) {
	if longer := max(width, height); longer > limit {
		return width * limit / longer, height * limit / longer
	}
	return width, height
}
