package choose

import (
	"cmp"
	"math"
	"slices"
)

// Motion between two frames is found by matching blocks: coarsely in pictures of about 60 pixels, then refined in
// pictures of about 120, where the small picture's pixels are averages of 4x4 of the analysed one. Block matching by
// normalised correlation does not care about exposure, finds parallax, which moves blocks differently, and gives
// noise away: no block of it is found again.

const (
	coarseBlock = 9 // pixels
	coarseReach = 9 // pixels in each direction

	// motionReach is the largest displacement that can be measured, as a share of the longer edge; blocks that
	// moved further count as not matched.
	motionReach = float64(coarseReach) / (Edge / 8)

	matchCorrelation = 0.6 // a block is found again from here
	blockTexture     = 2.0 // gray levels of standard deviation that a block needs to be looked for

	// Below slowMotion from frame to frame, the camera's way is measured from an anchor frame further back, which is
	// renewed after renewAnchor: a tremble on the spot adds up to nothing, a crawl to what it is.
	slowMotion  = 0.004
	renewAnchor = 0.012

	// A frame is a duplicate when its blocks moved by less than half a pixel of the analysed picture, nearly all of them by
	// less than one, and it differs by no more than compression and the noise of a sensor in dim light make it.
	duplicateMotion     = 0.001
	duplicateMost       = 0.002
	duplicateDifference = 0.015

	// nearlyAll blocks move by no more than Frame.most. Who walks ahead, or past what is near before what is far, moves a
	// part of the picture only.
	nearlyAll = 0.8
)

// pyramid is a frame at the two sizes that motion is found in.
type pyramid struct{ fine, coarse Gray }

func newPyramid(g Gray) pyramid {
	fine := halve(halve(g))
	return pyramid{fine: fine, coarse: halve(fine)}
}

// Track follows the camera from frame to frame.
type Track struct {
	before, anchor, far             pyramid
	travel, anchorTravel, farTravel float64
	views                           views
	frames                          int // before the next
}

// Next measures the next picture of a video. All have the same size, the longer edge at most Edge.
func (t *Track) Next(g Gray) Frame {
	f := Frame{Index: t.frames, Matched: 1}
	f.measure(g)
	t.step(&f, newPyramid(g))
	t.frames++
	return f
}

// Still says whether the camera stays in one place; see views.still.
func (t *Track) Still() bool { return t.views.still() }

// step fills in what a frame shows together with those before it.
func (t *Track) step(f *Frame, now pyramid) {
	renew := f.Index == 0
	if f.Index > 0 {
		f.compare(now, t.before)
		if f.Motion >= slowMotion {
			t.travel += f.Motion
			renew = true
		} else {
			var far Frame
			far.compare(now, t.anchor)
			t.travel = max(t.travel, t.anchorTravel+far.most)
			renew = far.most >= renewAnchor
		}
	}
	if renew {
		t.anchor, t.anchorTravel = now, t.travel
	}
	if f.Index == 0 || t.travel-t.farTravel >= parallaxStep {
		if f.Index > 0 {
			moves, _, _ := blockMotion(now, t.far)
			if share, ok := parallax(moves); ok {
				f.Parallax = max(share, math.SmallestNonzeroFloat32)
			}
		}
		t.far, t.farTravel = now, t.travel
	}
	t.before, f.Travel = now, t.travel
	t.views.add(now)
}

// compare fills in what a frame's picture shows together with the picture before it.
func (f *Frame) compare(now, before pyramid) {
	f.Difference = difference(now.fine, before.fine)
	moves, textured, blocks := blockMotion(now, before)
	f.Texture = float64(textured) / float64(max(1, blocks))
	if textured > 0 {
		f.Matched = float64(len(moves)) / float64(textured)
		way := lengths(moves)
		f.Motion, f.most = median(way), quantile(way, nearlyAll)
		// What left the reach moved at least that far.
		if f.Matched < 0.5 {
			f.Motion, f.most = max(f.Motion, motionReach), max(f.most, motionReach)
		}
	}
	f.Duplicate = f.Difference < duplicateDifference && f.Motion < duplicateMotion && f.most < duplicateMost
}

// difference is the mean absolute difference of two pictures of the same size after their mean brightness is taken
// out, as a share of the full range.
func difference(a, b Gray) float64 {
	if len(a.Pix) == 0 || len(a.Pix) != len(b.Pix) {
		return 0
	}
	var sa, sb int64
	for i, p := range a.Pix {
		sa += int64(p)
		sb += int64(b.Pix[i])
	}
	n := int64(len(a.Pix))
	shift := int((sa - sb) / n)
	var sum int64
	for i, p := range a.Pix {
		sum += int64(absolute(int(p) - int(b.Pix[i]) - shift))
	}
	return float64(sum) / float64(n) / 255
}

// blockMotion looks for each textured block of the present picture in the one before. It returns the displacements of
// those that were found, as shares of the longer edge, how many were looked for, and how many blocks there are.
func blockMotion(now, before pyramid) (moves []move, textured, blocks int) {
	c := now.coarse
	if len(c.Pix) == 0 || len(c.Pix) != len(before.coarse.Pix) || len(now.fine.Pix) != len(before.fine.Pix) {
		return nil, 0, 0
	}
	edge := float64(max(now.fine.W, now.fine.H))
	past := newTable(before.coarse)
	pastFine := newTable(before.fine)
	for y := 0; y+coarseBlock <= c.H; y += coarseBlock {
		for x := 0; x+coarseBlock <= c.W; x += coarseBlock {
			blocks++
			dx, dy, corr, ok := search(c, past, x, y, coarseBlock, 0, 0, coarseReach)
			if !ok {
				continue
			}
			textured++
			if corr < matchCorrelation {
				continue
			}
			fx, fy := refine(now.fine, pastFine, 2*x, 2*y, 2*coarseBlock, 2*dx, 2*dy)
			middle := float64(coarseBlock) // of a block of the finer picture
			moves = append(moves, move{
				(float64(2*x) + middle - float64(now.fine.W)/2) / edge, (float64(2*y) + middle - float64(now.fine.H)/2) / edge, fx / edge, fy / edge,
			})
		}
	}
	return moves, textured, blocks
}

// table gives the sum and the sum of squares of any rectangle of a picture in constant time.
type table struct {
	Gray
	sum, square []int64 // (w+1)*(h+1)
}

func newTable(g Gray) table {
	t := table{Gray: g, sum: make([]int64, (g.W+1)*(g.H+1)), square: make([]int64, (g.W+1)*(g.H+1))}
	for y := range g.H {
		var s, q int64
		at := (y+1)*(g.W+1) + 1
		for x := range g.W {
			p := int64(g.Pix[y*g.W+x])
			s += p
			q += p * p
			t.sum[at+x] = t.sum[at+x-g.W-1] + s
			t.square[at+x] = t.square[at+x-g.W-1] + q
		}
	}
	return t
}

func (t *table) block(x, y, n int) (sum, square int64) {
	w := t.W + 1
	a, b, c, d := y*w+x, y*w+x+n, (y+n)*w+x, (y+n)*w+x+n
	return t.sum[d] - t.sum[b] - t.sum[c] + t.sum[a], t.square[d] - t.square[b] - t.square[c] + t.square[a]
}

// search finds the displacement within reach of (dx0, dy0) at which the n by n block at (x, y) of g correlates best
// with the past picture. ok is false when the block has no texture.
func search(g Gray, past table, x, y, n, dx0, dy0, reach int) (dx, dy int, best float64, ok bool) {
	var sum, square int64
	for j := range n {
		for _, p := range g.Pix[(y+j)*g.W+x:][:n] {
			sum += int64(p)
			square += int64(p) * int64(p)
		}
	}
	count := float64(n * n)
	spread := float64(square) - float64(sum)*float64(sum)/count
	if spread < blockTexture*blockTexture*count {
		return 0, 0, 0, false
	}
	best = math.Inf(-1)
	for v := dy0 - reach; v <= dy0+reach; v++ {
		if y+v < 0 || y+v+n > g.H {
			continue
		}
		for u := dx0 - reach; u <= dx0+reach; u++ {
			if x+u < 0 || x+u+n > g.W {
				continue
			}
			if corr := correlation(g, past, x, y, u, v, n, float64(sum), spread); corr > best ||
				corr == best && u*u+v*v < dx*dx+dy*dy {
				best, dx, dy = corr, u, v
			}
		}
	}
	return dx, dy, best, true
}

// correlation is the normalised cross-correlation of a block with the past picture displaced by (u, v), -1 to 1.
func correlation(g Gray, past table, x, y, u, v, n int, sum, spread float64) float64 {
	var cross int64
	for j := range n {
		a := g.Pix[(y+j)*g.W+x:][:n]
		b := past.Pix[(y+v+j)*g.W+x+u:][:n]
		for i, p := range a {
			cross += int64(p) * int64(b[i])
		}
	}
	s, q := past.block(x+u, y+v, n)
	count := float64(n * n)
	other := float64(q) - float64(s)*float64(s)/count
	if other < count/4 {
		return 0
	}
	return (float64(cross) - sum*float64(s)/count) / math.Sqrt(spread*other)
}

// refine improves a displacement by a pixel each way and then below the pixel, by parabolas through the correlations
// at the best place and its neighbours.
func refine(g Gray, past table, x, y, n, dx0, dy0 int) (dx, dy float64) {
	u, v, _, ok := search(g, past, x, y, n, dx0, dy0, 2)
	if !ok {
		return float64(dx0), float64(dy0)
	}
	var sum, square int64
	for j := range n {
		for _, p := range g.Pix[(y+j)*g.W+x:][:n] {
			sum += int64(p)
			square += int64(p) * int64(p)
		}
	}
	spread := float64(square) - float64(sum)*float64(sum)/float64(n*n)
	at := func(u, v int) float64 {
		if x+u < 0 || x+u+n > g.W || y+v < 0 || y+v+n > g.H {
			return math.NaN()
		}
		return correlation(g, past, x, y, u, v, n, float64(sum), spread)
	}
	here := at(u, v)
	return float64(u) + vertex(at(u-1, v), here, at(u+1, v)), float64(v) + vertex(at(u, v-1), here, at(u, v+1))
}

// vertex is the place of the top of the parabola through values at -1, 0 and 1, or 0 where it has none there.
func vertex(before, here, after float64) float64 {
	bend := before - 2*here + after
	if !(bend < -1e-9) {
		return 0
	}
	return max(-0.5, min(0.5, (before-after)/(2*bend)))
}

// median of the values, which it sorts; 0 of none.
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// quantile is the value that a share of the sorted values stays below; 0 of none.
func quantile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
