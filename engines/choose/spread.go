package choose

import (
	"cmp"
	"math"
	"slices"
)

const (
	// travelShare is how much the camera's travel counts against the number of frames in telling how far along its way it is.
	travelShare = 0.25
	// mostCandidates for each view that is chosen, or up to twice as many, are looked at.
	mostCandidates = 32
)

// spread chooses about n of more views: as evenly along the way as blurred ones allow.
//
// The place p of a view on the way runs from 0 to n-1: a quarter of it by the camera's travel, the rest by the number of views.
// Travel alone will not do. It is motion in the picture, which is small where a camera walks past what is far away and large
// where it turns, while a splat needs as many points of view in both: it pays for a gap that is a quarter too wide with half a
// decibel. The number alone would tear holes where the camera hurries.
//
// From every window of places, those that round to the same number, one view is taken (none where it is empty): those which
// together have the least
//
//	p[first]² + Σ (gap - 1)² + (n-1-p[last])² + Σ max(0, (1-clarity) / (1-blurredRatio))²
//
// where gap is the difference of neighbouring places, or of their travel in halves of largestHole if that is more. A view that
// is just blurred costs as much as a gap of two. The least is found window by window (Viterbi, IEEE Transactions on Information
// Theory 13, 1967), in V²/n steps for V views.
func (s *Selection) spread(views []int, frames []Frame, clarity []float64, n int) []int {
	all := len(views)
	if run := all / (mostCandidates * n); run > 1 {
		views = clearest(views, clarity, run)
	}
	travel := func(v int) float64 { return frames[views[v]].Travel - frames[views[0]].Travel }
	end, total := float64(n-1), travel(len(views)-1)
	place := make([]float64, len(views))
	for v := range views {
		part := float64(v) / float64(len(views)-1)
		if total > 0 {
			part += travelShare * (travel(v)/total - part)
		}
		place[v] = end * part
	}
	square := func(x float64) float64 { return x * x }

	cost := make([]float64, len(views)) // of the best choice that ends with this view
	before := make([]int, len(views))   // the view before it in that choice
	from, to := 0, 0                    // the window before
	for at := 0; at < len(views); at = to {
		last := to
		for to = at; to < len(views) && math.Round(place[to]) == math.Round(place[at]); to++ {
			v := to
			cost[v], before[v] = square(place[v]), -1
			if at > 0 {
				cost[v] = math.Inf(1)
			}
			for u := from; u < last; u++ {
				gap := max(place[v]-place[u], 2*(travel(v)-travel(u))/largestHole)
				if c := cost[u] + square(gap-1); c < cost[v] {
					cost[v], before[v] = c, u
				}
			}
			cost[v] += square(max(0, (1-clarity[views[v]])/(1-blurredRatio)))
		}
		from = at
	}

	best := from
	for v := from; v < len(views); v++ {
		if cost[v]+square(end-place[v]) < cost[best]+square(end-place[best]) {
			best = v
		}
	}
	kept := []int{}
	for v := best; v >= 0; v = before[v] {
		kept = append(kept, views[v])
	}
	slices.Reverse(kept)
	s.Thinned += all - len(kept)
	return kept
}

// clearest keeps the clearest of each run of n views.
func clearest(views []int, clarity []float64, run int) []int {
	var kept []int
	for some := range slices.Chunk(views, run) {
		kept = append(kept, slices.MaxFunc(some, func(a, b int) int { return cmp.Compare(clarity[a], clarity[b]) }))
	}
	return kept
}
