package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
)

// Everything below is a function of the fraction of the budget that is spent, because a user buys seconds, not
// iterations. The values were measured for budgets of 10 to 300 seconds; they are 5 to 10 times the rates of the
// 30 000-iteration schedules of Kerbl et al.

const (
	positionRate      = 1.2e-3 // times the extent
	positionRateFinal = 0.01   // of it at the end, log-linear on the way
	scaleRate         = 1e-2
	rotationRate      = 2e-3
	opacityRate       = 0.1
	dcRate            = 5e-3
	restRate          = dcRate / 20

	lossWeightSSIM = 0.2

	densifyUntil = 0.5 // fraction at which the count reaches its cap
	refineUntil  = 0.9 // fraction after which nothing is pruned or split any more
	refineEvery  = 100 // iterations between two refinements, at most
	degreeEvery  = 0.05
)

// downscale is the side factor of the images: 4, 2, then 1. Long budgets leave the small images early.
func (c *Config) downscale(fraction float64) int {
	switch {
	case fraction < 0.10:
		return 4
	case fraction < 0.30:
		return 2
	}
	return 1
}

// degree grows by one every 5 % of the budget.
func (c *Config) degree(fraction float64) int { return min(c.Degree, int(fraction/degreeEvery)) }

// rates fills the learning rate of every row of a group.
func rates(lr []float32, fraction, extent float64) {
	position := float32(positionRate * extent * math.Pow(positionRateFinal, fraction))
	for row := range lr {
		switch {
		case row < simd.RowScale:
			lr[row] = position
		case row < simd.RowRotation:
			lr[row] = scaleRate
		case row < simd.RowOpacity:
			lr[row] = rotationRate
		case row < simd.RowDC:
			lr[row] = opacityRate
		case row < simd.RowRest:
			lr[row] = dcRate
		default:
			lr[row] = restRate
		}
	}
}

// target is the number of Gaussians at a fraction: linear from the first to the cap.
func target(first, maximum int, fraction float64) int {
	return first + int(float64(maximum-first)*min(1, fraction/densifyUntil))
}
