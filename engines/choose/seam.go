package choose

import "math"

const (
	seamBands    = 8   // of the height
	seamTextured = 3   // bands at least must show something at the seam
	seamTexture  = 2.0 // gray levels of standard deviation that a band needs for that, what is smooth taken out
	seamMatch    = 0.7 // correlation over the seam
	seamSmooth   = 8   // rows on each side that a running mean takes out
)

// Wraps says whether a picture is equirectangular by what plain edges cannot show: the columns at its left and right edges
// carry texture, in several places along the height, and carry the same; and its first and last rows, each a single point of
// the sphere, are even.
func (g Gray) Wraps() bool {
	left, right := detail(g, 0), detail(g, g.W-1)
	textured, alike := 0, 0
	for band := range seamBands {
		a, b := left[band*g.H/seamBands:(band+1)*g.H/seamBands], right[band*g.H/seamBands:(band+1)*g.H/seamBands]
		var aa, bb, ab float64
		for i := range a {
			aa, bb, ab = aa+a[i]*a[i], bb+b[i]*b[i], ab+a[i]*b[i]
		}
		if least := seamTexture * seamTexture * float64(len(a)); !(max(aa, bb) > least) {
			continue
		}
		textured++
		if ab > seamMatch*math.Sqrt(aa*bb) {
			alike++
		}
	}
	all := deviation(g.Pix)
	// One band may hold what moved over the seam, or where two lenses were joined badly.
	return textured >= seamTextured && alike >= seamTextured && alike >= textured-1 &&
		deviation(g.Pix[:g.W]) < 0.25*all && deviation(g.Pix[len(g.Pix)-g.W:]) < 0.25*all
}

// detail is a column without what is smooth in it.
func detail(g Gray, x int) []float64 {
	out := make([]float64, g.H)
	for y := range out {
		sum, n := 0.0, 0.0
		for v := max(0, y-seamSmooth); v <= min(g.H-1, y+seamSmooth); v++ {
			sum, n = sum+float64(g.Pix[v*g.W+x]), n+1
		}
		out[y] = float64(g.Pix[y*g.W+x]) - sum/n
	}
	return out
}

// deviation is the standard deviation of gray levels.
func deviation(pix []byte) float64 {
	var sum, square float64
	for _, p := range pix {
		sum += float64(p)
		square += float64(p) * float64(p)
	}
	n := float64(len(pix))
	return math.Sqrt(max(0, square/n-sum*sum/n/n))
}
