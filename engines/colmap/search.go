package colmap

// Search is how hard features and matches are looked for. Each level does what the one before does, and costs more.
type Search int

const (
	SearchPlain Search = iota // COLMAP's own settings
	// SearchGuided matches every verified pair once more along its epipolar lines.
	SearchGuided
	// SearchLenient also takes fainter features and less distinct matches, and asks for fewer of them to try a pair or an image:
	// whatever comes of that is still verified geometrically.
	SearchLenient
	// SearchAffine also follows the slant of surfaces and describes features over several sizes (affine shape and domain size
	// pooling), which finds more where steps between images are large, at many times the cost of plain features.
	SearchAffine
)

func (s Search) String() string {
	switch s {
	case SearchGuided:
		return "guided"
	case SearchLenient:
		return "lenient"
	case SearchAffine:
		return "affine"
	}
	return "plain"
}

// thresholds are COLMAP's options for a level; zero leaves COLMAP's default.
type thresholds struct {
	peak             float64 // contrast of a feature (default 0.00667)
	ratio            float64 // distance of the best match beside that of the second best (default 0.8)
	pairInliers      int     // verified matches of a pair (default 15)
	initInliers      int     // of the pair that mapper begins with (default 100)
	initAngleDeg     float64 // under which that pair sees its points (default 16)
	poseInliers      int     // points by which mapper registers an image (default 30)
	poseInlierRatio  float64 // their part of the points that match (default 0.25)
	guided           bool
	affine           bool // affine shape and domain size pooling
	extractCost      float64
	lowestStrongPair int // see strongPair
}

// thresholds of a level. The lenient ones are half of COLMAP's, or as much less strict, which its documentation suggests where
// images show little texture or overlap little.
func (s Search) thresholds() thresholds {
	t := thresholds{extractCost: 1, lowestStrongPair: strongPair}
	if s >= SearchGuided {
		t.guided = true
	}
	if s >= SearchLenient {
		t.peak, t.ratio, t.pairInliers = 0.00333, 0.87, 12
		t.initInliers, t.initAngleDeg, t.poseInliers, t.poseInlierRatio = 50, 8, 20, 0.15
		t.lowestStrongPair = strongPair / 2
	}
	if s >= SearchAffine {
		t.affine, t.extractCost = true, affineCost
	}
	return t
}
