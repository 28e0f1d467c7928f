package colmap

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/simd"
)

// Which pairs of images are compared. Images are in the order of their names, a pair is their places.

// everyPair are all pairs of images.
func everyPair(images []described) (pairs [][2]int) {
	for i := range images {
		for k := range i {
			pairs = append(pairs, [2]int{k, i})
		}
	}
	return pairs
}

// moments groups images by the frame of a rig that they belong to; other images are each a frame of their own. of is the frame of each.
func (r *reconstructor) moments(images []described) (frames [][]int, of []int) {
	at := make(map[string]int)
	for i, im := range images {
		name := r.rigs.frame(r.rigs.file(im.name))
		f, ok := at[name]
		if !ok {
			f = len(frames)
			at[name], frames = f, append(frames, nil)
		}
		frames[f] = append(frames[f], i)
		of = append(of, f)
	}
	return frames, of
}

// inSequence are the pairs that sequential_matcher asks for with quadratic overlap: of frames 1, 2, 4, ... apart, all images.
func (r *reconstructor) inSequence(images []described, overlap int) (pairs [][2]int) {
	frames, _ := r.moments(images)
	for f := range frames {
		for power := 0; power < overlap && f+1<<power < len(frames); power++ {
			for _, i := range frames[f] {
				for _, k := range frames[f+1<<power] {
					pairs = append(pairs, [2]int{i, k})
				}
			}
		}
	}
	return pairs
}

// loops are pairs of images far apart in a sequence that look alike.
func (r *reconstructor) loops(ctx context.Context, images []described) ([][2]int, error) {
	_, frame := r.moments(images)
	asks := func(i, k int) bool {
		return frame[i]%loopPeriod == 0 && max(frame[i]-frame[k], frame[k]-frame[i]) >= loopDistance
	}
	return r.alike(ctx, images, asks, loopImages)
}

// near are pairs of images that were taken near each other, by GPS.
func (r *reconstructor) near(images []described) (pairs [][2]int) {
	places := r.positions()
	for i, im := range images {
		place, reach := places[r.rigs.file(im.name)], make([]int, 0, len(images))
		distanceTo := func(k int) float64 { return distance(place, places[r.rigs.file(images[k].name)]) }
		for k := range images {
			if k != i && distanceTo(k) <= spatialReachM {
				reach = append(reach, k)
			}
		}
		slices.SortStableFunc(reach, func(a, b int) int { return cmp.Compare(distanceTo(a), distanceTo(b)) })
		for _, k := range reach[:min(len(reach), spatialNeighbours)] {
			pairs = append(pairs, [2]int{min(i, k), max(i, k)})
		}
	}
	return pairs
}

const (
	sampled     = 96 // features of an image by which others are found that look like it
	likenedCost = 2  // times what comparing them takes: the other image's features are laid out for it
)

// choosing is the part of comparing that alike takes where it is needed.
const choosing = 0.25

// alike are for each image the most others that look like it, of those that it asks for: where the largest part of a sample of its features has
// a match. Images that no sample matches are left out.
func (r *reconstructor) alike(ctx context.Context, images []described, asks func(i, k int) bool, most int) ([][2]int, error) {
	samples, likeness := make([]side, len(images)), make([][]int, len(images))
	every := make([]int, sampled)
	for i := range every {
		every[i] = i
	}
	for i, im := range images {
		samples[i].rows, likeness[i] = evenly(im.descriptors, sampled), make([]int, len(images))
	}
	r.progress.next(r.result.Expected.compared() * choosing)
	err := r.inParallel(ctx, len(images), "finding images that look alike", func(c *comparison, k int) error {
		c.b.set(images[k].descriptors)
		for i := range images {
			if i == k || !asks(i, k) {
				continue
			}
			for _, found := range c.nearest(&samples[i], &c.b, every[:len(samples[i].rows)/simd.DescriptorSize]) {
				if found >= 0 {
					likeness[i][k]++
				}
			}
		}
		return nil
	})
	var pairs [][2]int
	for i := range images {
		others := make([]int, 0, len(images))
		for k, n := range likeness[i] {
			if n > 0 {
				others = append(others, k)
			}
		}
		slices.SortStableFunc(others, func(a, b int) int { return cmp.Compare(likeness[i][b], likeness[i][a]) })
		for _, k := range others[:min(len(others), most)] {
			pairs = append(pairs, [2]int{min(i, k), max(i, k)})
		}
	}
	return pairs, err
}

// evenly takes n descriptors of all, evenly spaced.
func evenly(descriptors []byte, n int) []byte {
	count := len(descriptors) / simd.DescriptorSize
	if count <= n {
		return descriptors
	}
	rows := make([]byte, 0, n*simd.DescriptorSize)
	for i := range n {
		at := int(math.Round(float64(i)*float64(count-1)/float64(n-1))) * simd.DescriptorSize
		rows = append(rows, descriptors[at:at+simd.DescriptorSize]...)
	}
	return rows
}

// byNames are pairs of images that are named.
func byNames(images []described, names [][2]string) (pairs [][2]int) {
	at := make(map[string]int, len(images))
	for i, im := range images {
		at[im.name] = i
	}
	for _, p := range names {
		i, found := at[p[0]]
		k, there := at[p[1]]
		if found && there {
			pairs = append(pairs, [2]int{i, k})
		}
	}
	return pairs
}
