package trainer

import (
	"cmp"
	"math"
	"slices"
)

const (
	// exposureVaries is the difference of logarithms between an image and those that see most of the same from which exposures are
	// worth solving. Measured: 0.13 to 0.16 on photos in changing light (sceaux, flowerpot, brighton), 0.01 to 0.03 on two videos
	// and on photos in even light. How far all are apart says nothing: on a walk around fox it is 0.15, by its lamps and windows, and
	// compensation of that is lost on the images between.
	exposureVaries = 0.07
	fewestLooks    = 20 // of an image whose brightness is believed
	likest         = 2  // images that an image is compared with
)

// ExposureVaries says whether images that see the same were taken differently bright: by what their matched points say, before
// anything is trained.
func (d *Dataset) ExposureVaries() bool { return d.exposureJump() >= exposureVaries }

// exposureJump is the root of the mean square by which the logarithm of an image's brightness differs from the mean of the images that share
// most points with it.
func (d *Dataset) exposureJump() float64 {
	gains, looks := matchedGains(d)
	brightness := make([]float64, len(d.Train))
	for i := range brightness {
		brightness[i] = math.NaN()
		if min(looks[3*i], looks[3*i+1], looks[3*i+2]) >= fewestLooks {
			brightness[i] = float64(gains[3*i]+gains[3*i+1]+gains[3*i+2]) / 3
		}
	}
	sum, n := 0.0, 0
	for i, others := range d.sharing() {
		mean, k := 0.0, 0
		for _, other := range others {
			if !math.IsNaN(brightness[other]) && k < likest {
				mean, k = mean+brightness[other], k+1
			}
		}
		if k > 0 && !math.IsNaN(brightness[i]) {
			difference := brightness[i] - mean/float64(k)
			sum, n = sum+difference*difference, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return math.Sqrt(sum / float64(n))
}

// sharing lists for each training image the others with which it shares matched points, most of them first.
func (d *Dataset) sharing() [][]int {
	seenIn := make([][]int, len(d.Points))
	for i, v := range d.Train {
		for _, p := range v.Matched {
			seenIn[p] = append(seenIn[p], i)
		}
	}
	others := make([][]int, len(d.Train))
	for i, v := range d.Train {
		shared := make([]int, len(d.Train))
		for _, p := range v.Matched {
			for _, k := range seenIn[p] {
				if k != i && shared[k] == 0 {
					others[i] = append(others[i], k)
				}
				shared[k]++
			}
		}
		slices.SortFunc(others[i], func(a, b int) int { return cmp.Or(cmp.Compare(shared[b], shared[a]), cmp.Compare(a, b)) })
	}
	return others
}
