package choose

// For the tests of the package choose_test.
const (
	TravelShare  = travelShare
	LargestHole  = largestHole
	BlurredRatio = blurredRatio
	NewView      = newView
)

func (s *Selection) Spread(views []int, frames []Frame, clarity []float64, n int) []int {
	return s.spread(views, frames, clarity, n)
}
