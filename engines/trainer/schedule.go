package trainer

import (
	"math"

	"github.com/splatworks/splatworks/engines/simd"
)

// schedule holds the numbers that decide how training moves through its budget. All of it is a function of the fraction
// of the budget that is spent, because a user buys seconds, not iterations. The values were measured for budgets of 10 to
// 300 seconds on two cores; the rates are 2 to 10 times those of the 30 000-iteration schedules of Kerbl et al.
type schedule struct {
	PositionRate  float64 // of the extent, at first
	PositionFinal float64 // of the first rate, at the end; log-linear on the way
	ScaleRate     float64
	RotationRate  float64
	OpacityRate   float64
	DCRate        float64
	RestRate      float64
	Pace          float64 // factor of all of these

	PoseRate  float64 // of radians and of the extent, at first
	PoseFinal float64 // of the first rate, at the end; log-linear on the way

	SSIM       float64 // weight of 1−SSIM in the loss; the rest is L1
	Depth      float64 // weight of the inverse depth, at first, where there is a prior
	DepthFinal float64 // of it, at the end; log-linear on the way

	// Images of a quarter and of half the side are used until these fractions, or until these numbers of passes over the images:
	// then they have taught what they can, and a long budget is better spent at full size.
	QuarterUntil, HalfUntil   float64
	QuarterEpochs, HalfEpochs int

	DegreeEvery float64 // fraction between two steps of the SH degree

	RefineLeast  int     // iterations between two refinements: half the number of images, within these
	RefineMost   int     //
	DensifyUntil float64 // fraction at which the number of Gaussians reaches its cap
	RefineUntil  float64 // fraction after which nothing is pruned or split any more
	MaxGrowth    float64 // of the number of Gaussians, in one refinement
	PruneOpacity float64 // below it nothing of a Gaussian reaches a pixel
	OpacityDecay float64 // off every opacity at a refinement, times the budget left (Brush)

	InitialOpacity float64
}

var defaultSchedule = schedule{
	PositionRate: 1.2e-3, PositionFinal: 0.01,
	ScaleRate: 1e-2, RotationRate: 2e-3, OpacityRate: 0.1, DCRate: 5e-3, RestRate: 5e-3 / 20, Pace: 1,
	PoseRate: 1e-4, PoseFinal: 0.01,
	SSIM: 0.2, Depth: 1, DepthFinal: 0.01,
	QuarterUntil: 0.10, HalfUntil: 0.30, QuarterEpochs: 30, HalfEpochs: 100, DegreeEvery: 0.05,
	RefineLeast: 50, RefineMost: 100, DensifyUntil: 0.5, RefineUntil: 0.9, MaxGrowth: 0.5,
	PruneOpacity: 1.0 / 255, OpacityDecay: 0.004,
	InitialOpacity: 0.1,
}

// level of the pyramid: 2, 1, then 0.
func (s *schedule) level(fraction float64, epoch int) int {
	switch {
	case fraction < s.QuarterUntil && epoch < s.QuarterEpochs:
		return 2
	case fraction < s.HalfUntil && epoch < s.HalfEpochs:
		return 1
	}
	return 0
}

// degree of the spherical harmonics in use.
func (s *schedule) degree(maximum int, fraction float64) int {
	return min(maximum, int(fraction/s.DegreeEvery))
}

// rates fills the learning rate of every row of a group.
func (s *schedule) rates(lr []float32, fraction, extent float64) {
	position := float32(s.PositionRate * extent * math.Pow(s.PositionFinal, fraction))
	for row := range lr {
		switch {
		case row < simd.RowScale:
			lr[row] = position
		case row < simd.RowRotation:
			lr[row] = float32(s.ScaleRate)
		case row < simd.RowOpacity:
			lr[row] = float32(s.RotationRate)
		case row < simd.RowDC:
			lr[row] = float32(s.OpacityRate)
		case row < simd.RowRest:
			lr[row] = float32(s.DCRate)
		default:
			lr[row] = float32(s.RestRate)
		}
		lr[row] *= float32(s.Pace)
	}
}

// depthWeight is that of the inverse depth loss.
func (s *schedule) depthWeight(fraction float64) float64 {
	return s.Depth * math.Pow(s.DepthFinal, fraction)
}

// target is the number of Gaussians at a fraction: linear from the first to the cap.
func (s *schedule) target(first, maximum int, fraction float64) int {
	return first + int(float64(maximum-first)*min(1, fraction/s.DensifyUntil))
}
