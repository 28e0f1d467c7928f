package splat

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Reduction merges Gaussians in pairs, the pair that is missed least first. The cost of a pair is the bound of Runnalls ("Kullback-
// Leibler Approach to Gaussian Mixture Reduction", 2007) on what the mixture loses, plus the difference of their colours:
//
//	½·[(wᵢ+wⱼ)·ln|Σ| − wᵢ·ln|Σᵢ| − wⱼ·ln|Σⱼ|] + colourCost · wᵢ·wⱼ/(wᵢ+wⱼ) · |cᵢ−cⱼ|²
//
// with w the optical depth times the area, and Σ the covariance of the pair by moment matching:
//
//	μ = Σ w·μᵢ / Σ w,   Σ = Σ w·(Σᵢ + (μᵢ−μ)(μᵢ−μ)ᵀ) / Σ w
//
// Colours are means with the same weights; the opacity is what keeps the sum of optical depth times area.

const (
	colourCost = 40   // of a squared difference of colours from 0 to 1, against the shape's
	flatShare  = 0.02 // of the sum of variances, added to each: the cost would see only how discs are tilted otherwise
	leafSize   = 16   // Gaussians among which pairs are sought
	mergeShare = 0.25 // of the Gaussians that one round may merge away
	fullest    = 0.99 // opacity of a merged Gaussian, at most
)

// moments is a Gaussian as the reduction sees it.
type moments struct {
	mean   [3]float64
	cov    [6]float64 // xx xy xz yy yz zz
	weight float64    // optical depth times area
	logDet float64    // logarithm of the determinant of cov, flat axes widened
	colour [3]float64
}

// Reduced merges Gaussians until at most n are left. It takes about a second for a million.
func (c *Cloud) Reduced(n int) (*Cloud, error) {
	if n < 1 {
		return nil, fmt.Errorf("a splat of %d Gaussians shows nothing", n)
	}
	for round := 0; c.Len() > n; round++ {
		pairs := c.pairs(round)
		most := min(c.Len()-n, max(1, int(mergeShare*float64(c.Len()))))
		if len(pairs) > most {
			slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.a, b.a)) })
			pairs = pairs[:most]
		}
		c = c.paired(pairs)
	}
	return c, nil
}

// pair of Gaussians that may be merged; no two pairs share one.
type pair struct {
	cost float64
	a, b int32
}

// pairs finds near partners: the cloud is split at medians into leaves, along another axis first in every round, so that what a
// split parts in one round may meet in the next.
func (c *Cloud) pairs(round int) []pair {
	all := make([]moments, c.Len())
	parallel(len(all), func(from, to int) {
		for i := from; i < to; i++ {
			all[i] = c.momentsOf(i)
		}
	})
	leaves := c.leaves(leafSize, round)
	found := make([][]pair, len(leaves))
	parallelEach(len(leaves), func(k int) { found[k] = pairsIn(all, leaves[k]) })
	return slices.Concat(found...)
}

// pairsIn takes the cheapest pair of a leaf, then the cheapest of what is left, and so on.
func pairsIn(all []moments, leaf []int32) (taken []pair) {
	var candidates []pair
	for k, a := range leaf {
		for _, b := range leaf[k+1:] {
			candidates = append(candidates, pair{cost(&all[a], &all[b]), a, b})
		}
	}
	slices.SortFunc(candidates, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.a, b.a), cmp.Compare(a.b, b.b))
	})
	used := make(map[int32]bool, len(leaf))
	for _, p := range candidates {
		if !used[p.a] && !used[p.b] {
			used[p.a], used[p.b] = true, true
			taken = append(taken, p)
		}
	}
	return taken
}

// leaves splits the cloud into parts of at most size Gaussians that are near each other.
func (c *Cloud) leaves(size, turn int) [][]int32 {
	members := make([]int32, c.Len())
	for i := range members {
		members[i] = int32(i)
	}
	var leaves [][]int32
	var split func(part []int32)
	split = func(part []int32) {
		if len(part) <= size {
			leaves = append(leaves, part)
			return
		}
		axis := c.widest(part)
		if len(part) == c.Len() {
			axis = turn % 3
		}
		// Not in the middle, so that the cuts of two rounds differ.
		at := len(part) / 2
		if turn%2 == 1 {
			at = len(part) * 3 / 7
		}
		selectNth(part, at, func(i int32) float32 { return c.Means[3*i+int32(axis)] })
		split(part[:at])
		split(part[at:])
	}
	split(members)
	return leaves
}

func (c *Cloud) widest(part []int32) (axis int) {
	var low, high [3]float32
	for k, i := range part {
		for a := range 3 {
			v := c.Means[3*i+int32(a)]
			if k == 0 {
				low[a], high[a] = v, v
			}
			low[a], high[a] = min(low[a], v), max(high[a], v)
		}
	}
	for a := range 3 {
		if high[a]-low[a] > high[axis]-low[axis] {
			axis = a
		}
	}
	return axis
}

// selectNth puts the n smallest by key before the others (Hoare's quickselect).
func selectNth[T any](part []T, n int, key func(T) float32) {
	for from, to := 0, len(part)-1; from < to; {
		pivot := key(part[(from+to)/2])
		i, j := from, to
		for i <= j {
			for key(part[i]) < pivot {
				i++
			}
			for key(part[j]) > pivot {
				j--
			}
			if i <= j {
				part[i], part[j] = part[j], part[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			to = j
		case n >= i:
			from = i
		default:
			return
		}
	}
}

func (c *Cloud) momentsOf(i int) (m moments) {
	m.mean = triple(c.Means, i)
	var s [3]float64
	for axis, l := range triple(c.LogScales, i) {
		s[axis] = math.Exp(l)
	}
	m.cov = covarianceOf(c.unitQuat(i), s)
	m.weight = depthOf(opacity(c.Opacities[i])) * areaOf(s)
	least := flatShare * (s[0]*s[0] + s[1]*s[1] + s[2]*s[2])
	for _, v := range s {
		m.logDet += math.Log(v*v + least)
	}
	for channel := range 3 {
		m.colour[channel] = C0 * float64(c.DC[3*i+channel])
	}
	return m
}

// depthOf is the optical depth of an opacity, and thickness its inverse.
func depthOf(opacity float64) float64 { return -math.Log1p(-min(opacity, fullest)) }
func thickness(depth float64) float64 { return min(fullest, -math.Expm1(-depth)) }

// areaOf is the area of an ellipsoid's shadow in its middle direction, but for a constant factor.
func areaOf(s [3]float64) float64 { return s[0]*s[1] + s[1]*s[2] + s[2]*s[0] }

// covarianceOf is R·diag(s²)·Rᵀ: xx xy xz yy yz zz.
func covarianceOf(q [4]float64, s [3]float64) (cov [6]float64) {
	r := matrixOf(q)
	at := 0
	for a := range 3 {
		for b := a; b < 3; b++ {
			for k := range 3 {
				cov[at] += r[a][k] * r[b][k] * s[k] * s[k]
			}
			at++
		}
	}
	return cov
}

// matrixOf is the rotation of a unit quaternion, w x y z; its columns are the turned axes.
func matrixOf(q [4]float64) [3][3]float64 {
	w, x, y, z := q[0], q[1], q[2], q[3]
	return [3][3]float64{
		{1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y)},
		{2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x)},
		{2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y)},
	}
}

// merged is the pair's mean and covariance.
func merged(a, b *moments) (mean [3]float64, cov [6]float64) {
	wa, wb := a.weight, b.weight
	if sum := wa + wb; sum > 0 {
		wa, wb = wa/sum, wb/sum
	} else {
		wa, wb = 0.5, 0.5
	}
	var d [3]float64
	for k := range 3 {
		mean[k], d[k] = wa*a.mean[k]+wb*b.mean[k], a.mean[k]-b.mean[k]
	}
	between := wa * wb
	for at, product := range [6]float64{d[0] * d[0], d[0] * d[1], d[0] * d[2], d[1] * d[1], d[1] * d[2], d[2] * d[2]} {
		cov[at] = wa*a.cov[at] + wb*b.cov[at] + between*product
	}
	return mean, cov
}

// cost of merging a pair.
func cost(a, b *moments) float64 {
	_, cov := merged(a, b)
	least := flatShare * (cov[0] + cov[3] + cov[5])
	xx, yy, zz := cov[0]+least, cov[3]+least, cov[5]+least
	det := xx*(yy*zz-cov[4]*cov[4]) - cov[1]*(cov[1]*zz-cov[4]*cov[2]) + cov[2]*(cov[1]*cov[4]-yy*cov[2])
	shape := max(0, 0.5*((a.weight+b.weight)*math.Log(max(det, 1e-300))-a.weight*a.logDet-b.weight*b.logDet))
	colour := 0.0
	for channel := range 3 {
		colour += (a.colour[channel] - b.colour[channel]) * (a.colour[channel] - b.colour[channel])
	}
	if sum := a.weight + b.weight; sum > 0 {
		colour *= colourCost * a.weight * b.weight / sum
	}
	return shape + colour
}

// paired is the cloud in which each pair is one Gaussian, at the place of the first.
func (c *Cloud) paired(pairs []pair) *Cloud {
	partner := make([]int32, c.Len())
	for i := range partner {
		partner[i] = -1
	}
	gone := make([]bool, c.Len())
	for _, p := range pairs {
		partner[p.a], gone[p.b] = p.b, true
	}
	var keep []int
	for i := range c.Len() {
		if !gone[i] {
			keep = append(keep, i)
		}
	}
	out := c.Picked(keep)
	parallel(len(keep), func(from, to int) {
		for at := from; at < to; at++ {
			if b := partner[keep[at]]; b >= 0 {
				out.put(at, c, keep[at], int(b))
			}
		}
	})
	return out
}

// put makes Gaussian at the pair a, b of another cloud.
func (c *Cloud) put(at int, from *Cloud, a, b int) {
	ma, mb := from.momentsOf(a), from.momentsOf(b)
	mean, cov := merged(&ma, &mb)
	values, axes := eigen(cov)
	var s [3]float64
	for k := range 3 {
		s[k] = math.Sqrt(max(values[k], 1e-16))
		c.Means[3*at+k], c.LogScales[3*at+k] = float32(mean[k]), logScale(s[k])
	}
	for j, v := range quatOf(axes) {
		c.Quats[4*at+j] = float32(v)
	}
	total := ma.weight + mb.weight
	c.Opacities[at] = logit(thickness(total / areaOf(s)))
	share := 0.5
	if total > 0 {
		share = ma.weight / total
	}
	blend := func(to, values []float32, width int) {
		for j := range width {
			to[at*width+j] = float32(share*float64(values[a*width+j]) + (1-share)*float64(values[b*width+j]))
		}
	}
	blend(c.DC, from.DC, 3)
	blend(c.Rest, from.Rest, 3*RestCount(c.Degree))
}

// eigen decomposes a symmetric matrix, xx xy xz yy yz zz, by Jacobi's rotations: axes' columns are the unit vectors of values, and
// a right-handed frame.
func eigen(m [6]float64) (values [3]float64, axes [3][3]float64) {
	a := [3][3]float64{{m[0], m[1], m[2]}, {m[1], m[3], m[4]}, {m[2], m[4], m[5]}}
	axes = [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	for range 12 { // sweeps; five reach the last bit
		if off := a[0][1]*a[0][1] + a[0][2]*a[0][2] + a[1][2]*a[1][2]; !(off > 1e-30*(a[0][0]*a[0][0]+a[1][1]*a[1][1]+a[2][2]*a[2][2])) {
			break
		}
		for _, pq := range [3][2]int{{0, 1}, {0, 2}, {1, 2}} {
			p, q := pq[0], pq[1]
			if a[p][q] == 0 {
				continue
			}
			theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
			t := math.Copysign(1, theta) / (math.Abs(theta) + math.Sqrt(theta*theta+1))
			cos := 1 / math.Sqrt(t*t+1)
			sin := t * cos
			for k := range 3 {
				a[k][p], a[k][q] = cos*a[k][p]-sin*a[k][q], sin*a[k][p]+cos*a[k][q]
			}
			for k := range 3 {
				a[p][k], a[q][k] = cos*a[p][k]-sin*a[q][k], sin*a[p][k]+cos*a[q][k]
				axes[k][p], axes[k][q] = cos*axes[k][p]-sin*axes[k][q], sin*axes[k][p]+cos*axes[k][q]
			}
		}
	}
	return [3]float64{a[0][0], a[1][1], a[2][2]}, axes
}

// quatOf is the unit quaternion, w x y z, of a rotation matrix (Shepperd 1978: from the largest component).
func quatOf(r [3][3]float64) [4]float64 {
	squares := [4]float64{1 + r[0][0] + r[1][1] + r[2][2], 1 + r[0][0] - r[1][1] - r[2][2], 1 - r[0][0] + r[1][1] - r[2][2], 1 - r[0][0] - r[1][1] + r[2][2]}
	at := largest(squares)
	f := 2 * math.Sqrt(squares[at]) // four times the largest
	switch at {
	case 0:
		return [4]float64{f / 4, (r[2][1] - r[1][2]) / f, (r[0][2] - r[2][0]) / f, (r[1][0] - r[0][1]) / f}
	case 1:
		return [4]float64{(r[2][1] - r[1][2]) / f, f / 4, (r[0][1] + r[1][0]) / f, (r[0][2] + r[2][0]) / f}
	case 2:
		return [4]float64{(r[0][2] - r[2][0]) / f, (r[0][1] + r[1][0]) / f, f / 4, (r[1][2] + r[2][1]) / f}
	}
	return [4]float64{(r[1][0] - r[0][1]) / f, (r[0][2] + r[2][0]) / f, (r[1][2] + r[2][1]) / f, f / 4}
}
