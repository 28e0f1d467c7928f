package depth

import (
	"math"
	"math/rand/v2"
)

const (
	fitPairs   = 300 // lines through two samples: with half of them wrong, one pair in four is right
	fitSamples = 500 // on which a line is judged
	fitRounds  = 50
)

// fit finds target ≈ scale·model + shift robustly: the line through two samples with the least median residual
// (Rousseeuw, J. Am. Stat. Assoc. 79, 1984, breaks down only when half are wrong), then iteratively reweighted least
// squares with Tukey's biweight (c = 4.685 standard deviations, Beaton & Tukey 1974), whose outliers do not count at all.
// The draw of pairs is fixed: equal samples, equal bits.
func fit(samples []sample, kind OutputKind) (scale, shift float64) {
	scale, shift = leastMedian(samples, kind)
	if math.IsNaN(scale) {
		return scale, shift
	}
	floor := 1e-9 * spreadOf(samples)
	for range fitRounds {
		sigma := max(1.4826*weightedMedian(samples, func(s sample) float64 { return math.Abs(scale*s.model + shift - s.target) }), floor)
		var w, x, y, xx, xy float64
		for _, s := range samples {
			t := (scale*s.model + shift - s.target) / (4.685 * sigma)
			if !(t*t < 1) {
				continue
			}
			// The weights are reciprocal standard deviations: least squares takes their squares.
			k := s.weight * s.weight * (1 - t*t) * (1 - t*t)
			w, x, y = w+k, x+k*s.model, y+k*s.target
			xx, xy = xx+k*s.model*s.model, xy+k*s.model*s.target
		}
		newScale, newShift := xy/xx, 0.0
		if kind != MetricDepth {
			newScale = (w*xy - x*y) / (w*xx - x*x)
			newShift = (y - newScale*x) / w
		}
		if math.IsNaN(newScale) || math.IsInf(newScale, 0) || math.IsNaN(newShift) {
			return scale, shift // too few samples agree to say more
		}
		done := math.Abs(newScale-scale) <= 1e-12*math.Abs(scale) && math.Abs(newShift-shift) <= 1e-12*math.Abs(shift)
		scale, shift = newScale, newShift
		if done {
			break
		}
	}
	return scale, shift
}

// leastMedian is the start: NaN when the model says the same everywhere.
func leastMedian(samples []sample, kind OutputKind) (scale, shift float64) {
	if kind == MetricDepth {
		var ratios []sample
		for _, s := range samples {
			if s.model > 0 {
				ratios = append(ratios, sample{model: s.target / s.model, weight: s.weight})
			}
		}
		return weightedMedian(ratios, func(s sample) float64 { return s.model }), 0
	}
	rng := rand.New(rand.NewPCG(0xa119, 0xde9))
	judges := samples
	if len(judges) > fitSamples {
		judges = make([]sample, fitSamples)
		for i := range judges {
			judges[i] = samples[i*len(samples)/fitSamples]
		}
	}
	scale, shift = math.NaN(), math.NaN()
	best := math.Inf(1)
	for range fitPairs {
		a, b := samples[rng.IntN(len(samples))], samples[rng.IntN(len(samples))]
		k := (a.target - b.target) / (a.model - b.model)
		if math.IsNaN(k) || math.IsInf(k, 0) {
			continue // the same sample twice, or values that say nothing apart
		}
		c := a.target - k*a.model
		off := weightedMedian(judges, func(s sample) float64 { return math.Abs(k*s.model + c - s.target) })
		if off < best {
			best, scale, shift = off, k, c
		}
	}
	return scale, shift
}

// spreadOf is the distance between the smallest and the largest target.
func spreadOf(samples []sample) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range samples {
		low, high = min(low, s.target), max(high, s.target)
	}
	return high - low
}
