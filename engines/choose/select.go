package choose

import (
	"cmp"
	"math"
	"slices"
)

// Options say how many frames are wanted. Zero fields take the default in parentheses.
type Options struct {
	MaxImages int // (300) at most this many are selected
	KeepAll   int // (120, at most MaxImages) up to this many different usable frames, all of them are
}

// WithDefaults is o with no field left zero.
func (o Options) WithDefaults() Options {
	o.MaxImages = cmp.Or(o.MaxImages, 300)
	o.KeepAll = min(cmp.Or(o.KeepAll, 120), o.MaxImages)
	return o
}

// Selection is the set of frames to extract, in order, and what became of the others.
type Selection struct {
	Frames     []Frame `json:"frames"`
	Unusable   int     `json:"unusable"`   // black, white or without any detail
	Duplicates int     `json:"duplicates"` // showed nothing new
	Blurred    int     `json:"blurred"`    // clearly less sharp than their neighbours
	Loose      int     `json:"loose"`      // before the camera settled at the start, or after at the end; see settled
	Thinned    int     `json:"thinned"`    // good, but another one is close by
}

const (
	// newView is the travel from which a frame shows something that the last one did not.
	newView = 0.002
	// comfortableStep is the travel between images below which more of them cost time and add nothing.
	comfortableStep = 0.01
	// largestHole is the travel that a dropped frame may leave between its neighbours: with an eighth of the picture
	// gone from the view, sequential matching is still easy.
	largestHole = 0.125
	// blurredRatio is the clarity below which a frame is blurred.
	blurredRatio = 0.88
	// looseEnds is the part of a capture at each end that may be given up.
	looseEnds = 0.12
	// blurNeighbours frames on each side are what a frame is compared with.
	blurNeighbours = 7
)

// Frames chooses the frames that a reconstruction should use.
//
// Frames are placed along the way of the camera, and not along time: where the camera stands still few are taken, where
// it hurries many, evenly but for what it takes to avoid blurred ones; see spread. When there are few different frames, all
// are kept, but for a blurred one whose neighbours see enough of each other without it.
func Frames(frames []Frame, o Options) Selection {
	o = o.WithDefaults()
	var s Selection
	clarity := clarities(frames)

	from, to := settled(frames)
	var usable []int
	for i, f := range frames {
		switch {
		case i < from || i >= to:
			s.Loose++
		case !f.Usable():
			s.Unusable++
		default:
			usable = append(usable, i)
		}
	}
	views := s.dropDuplicates(usable, frames)
	if n := o.enough(views, frames); len(views) > n {
		views = s.spread(views, frames, clarity, n)
	}
	views = s.dropBlurred(views, frames, clarity)
	for _, i := range views {
		s.Frames = append(s.Frames, frames[i])
	}
	return s
}

// settled is the range of frames between the last jump of the view near the start and the first near the end: where
// filming began while the camera was still being raised, and continued when it was put away. A few frames that nothing
// connects with the rest find no place. A capture that jumps all the time is left as it is.
func settled(frames []Frame) (from, to int) {
	jump := func(i int) bool { return frames[i].Matched < 0.5 && frames[i].Texture > 0 }
	from, to = 0, len(frames)
	edge, jumps := int(looseEnds*float64(len(frames))), 0
	for i := 1; i < len(frames); i++ {
		if !jump(i) {
			continue
		}
		jumps++
		if i <= edge {
			from = i
		}
		if i >= len(frames)-edge {
			to = min(to, i)
		}
	}
	if jumps > 2*edge || to-from < 3 {
		return 0, len(frames)
	}
	return from, to
}

// Usable says whether a frame shows something: it is neither black nor white, nor without any detail.
func (f Frame) Usable() bool {
	return !(f.Run != nil && f.Run.Other) && f.Contrast >= 0.015 && f.Dark <= 0.97 && f.Bright <= 0.97 && f.Sharpness > 0
}

// enough is the number of images beyond which more would add nothing, or that is all that was asked for.
func (o Options) enough(views []int, frames []Frame) int {
	if len(views) == 0 {
		return 0
	}
	travel := frames[views[len(views)-1]].Travel - frames[views[0]].Travel
	return max(o.KeepAll, min(o.MaxImages, int(travel/comfortableStep)))
}

// Blurred says of each frame whether it is clearly less sharp than its neighbours.
func Blurred(frames []Frame) []bool {
	blurred := make([]bool, len(frames))
	for i, clarity := range clarities(frames) {
		blurred[i] = clarity < blurredRatio
	}
	return blurred
}

// clarities are the frames' sharpness as parts of what is usual around them, since how sharp a scene can look depends on
// the scene. Usual is the upper quartile: half of a run of frames may be blurred, and then the median is a blurred one's.
func clarities(frames []Frame) []float64 {
	out := make([]float64, len(frames))
	for i := range frames {
		lo, hi := max(0, i-blurNeighbours), min(len(frames), i+blurNeighbours+1)
		around := make([]float64, 0, hi-lo)
		for _, f := range frames[lo:hi] {
			if f.Usable() {
				around = append(around, f.Sharpness)
			}
		}
		if out[i] = 1; len(around) > 0 {
			slices.Sort(around)
			out[i] = frames[i].Sharpness / around[len(around)*3/4]
		}
	}
	return out
}

// dropDuplicates keeps, of each run of frames that show the same, the sharpest.
func (s *Selection) dropDuplicates(usable []int, frames []Frame) []int {
	var views []int
	start := 0.0 // travel at which the present run began
	for _, i := range usable {
		last := len(views) - 1
		if last >= 0 && frames[i].Travel-start < newView {
			s.Duplicates++
			// A little sharper is compression, not a better picture; keep the first.
			if frames[i].Sharpness > 1.02*frames[views[last]].Sharpness {
				views[last] = i
			}
			continue
		}
		start = frames[i].Travel
		views = append(views, i)
	}
	return views
}

// dropBlurred takes blurred frames out, the worst first, as long as no hole opens. At the ends none can: a run of blurred
// frames there goes whole.
func (s *Selection) dropBlurred(views []int, frames []Frame, clarity []float64) []int {
	var bad []int
	for _, i := range views {
		if clarity[i] < blurredRatio {
			bad = append(bad, i)
		}
	}
	slices.SortStableFunc(bad, func(a, b int) int { return cmp.Compare(frames[a].Sharpness, frames[b].Sharpness) })
	views = slices.Clone(views)
	isBad := func(at int) bool { return clarity[views[at]] < blurredRatio }
	for len(views) > 3 && isBad(0) {
		views = views[1:]
		s.Blurred++
	}
	for len(views) > 3 && isBad(len(views)-1) {
		views = views[:len(views)-1]
		s.Blurred++
	}
	for _, i := range bad {
		at, there := slices.BinarySearch(views, i)
		if !there {
			continue
		}
		if at > 0 && at < len(views)-1 && !(frames[views[at+1]].Travel-frames[views[at-1]].Travel <= largestHole) {
			continue
		}
		if len(views) <= 2 {
			break
		}
		views = slices.Delete(views, at, at+1)
		s.Blurred++
	}
	return views
}

// Quantiles of a measure over frames: 10 %, median, 90 %.
func Quantiles(frames []Frame, of func(Frame) float64) (low, middle, high float64) {
	if len(frames) == 0 {
		return 0, 0, 0
	}
	values := make([]float64, len(frames))
	for i, f := range frames {
		values[i] = of(f)
	}
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(math.Round(q*float64(len(values)-1)))] }
	return at(0.1), at(0.5), at(0.9)
}
