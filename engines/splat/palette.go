package splat

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"sort"
)

// codebook256 chooses 256 values that stand for all of these with little squared error: Lloyd's iteration on a histogram, begun
// at its quantiles. They come sorted.
func codebook256(values []float32) (book [256]float32) {
	const bins, rounds = 4096, 16
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = math.Min(low, float64(v)), math.Max(high, float64(v))
	}
	if !(high > low) { // no values, or all equal
		for i := range book {
			if len(values) > 0 {
				book[i] = values[0]
			}
		}
		return book
	}
	var count, sum [bins + 1]float64 // running, so that a range's count and mean are differences
	for _, v := range values {
		bin := min(bins-1, int((float64(v)-low)/(high-low)*bins))
		count[bin+1]++
		sum[bin+1] += float64(v)
	}
	for i := range bins {
		count[i+1] += count[i]
		sum[i+1] += sum[i]
	}
	var centre [256]float64
	for i := range centre {
		at := sort.SearchFloat64s(count[:], (float64(i)+0.5)/256*count[bins])
		centre[i] = low + (float64(at)-0.5)/bins*(high-low)
	}
	for range rounds {
		from := 0
		for i := range centre {
			to := bins
			if i < 255 {
				to = max(from, min(bins, int(((centre[i]+centre[i+1])/2-low)/(high-low)*bins)+1))
			}
			if n := count[to] - count[from]; n > 0 {
				centre[i] = (sum[to] - sum[from]) / n
			}
			from = to
		}
		slices.Sort(centre[:])
	}
	for i, v := range centre {
		book[i] = float32(v)
	}
	return book
}

// nearest is the index of the value of a sorted book that is closest to v.
func nearest(book *[256]float32, v float32) byte {
	at, _ := slices.BinarySearch(book[:], v)
	switch {
	case at == 0:
		return 0
	case at == 256:
		return 255
	case v-book[at-1] <= book[at]-v:
		return byte(at - 1)
	}
	return byte(at)
}

// palette divides vectors of a width into at most k groups of similar ones: the group with the largest squared error is split at
// the mean of its widest coordinate, again and again. It returns the groups' means and each vector's group. A split costs one
// pass over its group, so that a million vectors take a second or two where k-means takes minutes.
func palette(vectors []float32, width, k int) (centroids []float32, labels []int32) {
	n := len(vectors) / width
	members := make([]int32, n)
	for i := range members {
		members[i] = int32(i)
	}
	groups := &groupHeap{newGroup(vectors, width, members)}
	for groups.Len() < k {
		worst := (*groups)[0]
		if !(worst.variance > 0) {
			break // every group is of equal vectors
		}
		left, right := worst.split(vectors, width)
		(*groups)[0] = left
		heap.Fix(groups, 0)
		heap.Push(groups, right)
	}
	// In an order that does not depend on the heap, similar ones near each other: they are stored as a picture.
	slices.SortFunc(*groups, func(a, b *group) int { return cmp.Compare(a.members[0], b.members[0]) })
	labels = make([]int32, n)
	for label, g := range *groups {
		centroids = append(centroids, g.mean...)
		for _, i := range g.members {
			labels[i] = int32(label)
		}
	}
	return centroids, labels
}

// group of similar vectors.
type group struct {
	members  []int32
	mean     []float32
	axis     int     // the coordinate with the largest variance
	variance float64 // summed over all members and coordinates
}

func newGroup(vectors []float32, width int, members []int32) *group {
	sum, squares := make([]float64, width), make([]float64, width)
	for _, i := range members {
		for j, v := range vectors[int(i)*width : (int(i)+1)*width] {
			sum[j] += float64(v)
			squares[j] += float64(v) * float64(v)
		}
	}
	g := &group{members: members, mean: make([]float32, width)}
	n, widest := math.Max(1, float64(len(members))), 0.0
	for j := range width {
		g.mean[j] = float32(sum[j] / n)
		spread := squares[j] - sum[j]*sum[j]/n
		g.variance += math.Max(0, spread)
		if spread > widest {
			g.axis, widest = j, spread
		}
	}
	if len(members) < 2 || widest <= 1e-9*(squares[g.axis]+1e-30) { // rounding, not difference
		g.variance = 0
	}
	return g
}

// split parts the members, in place, at the mean of the widest coordinate.
func (g *group) split(vectors []float32, width int) (left, right *group) {
	at := 0
	for i, m := range g.members {
		if vectors[int(m)*width+g.axis] < g.mean[g.axis] {
			g.members[i], g.members[at] = g.members[at], m
			at++
		}
	}
	at = min(max(at, 1), len(g.members)-1) // a mean that rounds to an end still parts them
	return newGroup(vectors, width, g.members[:at]), newGroup(vectors, width, g.members[at:])
}

// groupHeap has the group with the largest variance first.
type groupHeap []*group

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(a, b int) bool { return h[a].variance > h[b].variance }
func (h groupHeap) Swap(a, b int)      { h[a], h[b] = h[b], h[a] }
func (h *groupHeap) Push(x any)        { *h = append(*h, x.(*group)) }
func (h *groupHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
