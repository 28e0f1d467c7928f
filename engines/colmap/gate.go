package colmap

import (
	"github.com/splatworks/splatworks/engines/scene"
)

// What a model must have for training to be worth its time.
const (
	// minPoints and minPointsPerImage: right models of 7 small images of fox have 48 points an image, wrong ones 13.
	minPoints         = 100
	minPointsPerImage = 15
	// minAngleDeg is the median angle under which points must be seen: COLMAP keeps none below 1.5°, so a camera that only
	// turned leaves points just above. fox has 33° to 43°, a straight walk towards its subject still 5°.
	minAngleDeg = 2
	// poorlyRegistered is the part of the images below which holes in the result are to be expected.
	poorlyRegistered = 0.8
)

// gate lets a model through, with warnings, or says why it is not worth training on. weak is the number of images that
// were left out of it, which a warning has reported.
func (r *reconstructor) gate(m *scene.Reconstruction, weak int) error {
	r.result.Quality = m.Quality()
	registered := make(map[string]bool, len(m.Images))
	for i := range m.Images {
		registered[m.Images[i].Name] = true
	}
	r.result.Unregistered = nil
	for _, name := range r.images {
		if !registered[name] {
			r.result.Unregistered = append(r.result.Unregistered, name)
		}
	}
	n, placed, points := len(r.images), len(m.Images), len(m.Points3D)
	switch {
	case placed < minImages || float64(placed) < r.plan.MinRegistered*float64(n):
		return fail(TooFewRegistered, adviceCapture, "The camera position is known for only %d of %d images.", placed, n)
	case points < minPoints || points < minPointsPerImage*placed:
		return fail(TooFewPoints, "Capture something with visible texture, in good light, and come closer to it.",
			"Only %d points of the scene could be found in %d images: too little to build on.", points, placed)
	case !(r.result.Quality.MedianTriangulationAngleDeg >= minAngleDeg):
		return fail(DegenerateBaseline, "Walk around the subject or sideways past it; turning on the spot shows no depth.",
			"The camera hardly moved: points are seen under %.1f° only, which leaves their distance unknown.", r.result.Quality.MedianTriangulationAngleDeg)
	}
	switch missing := n - placed; {
	case float64(placed) < poorlyRegistered*float64(n):
		r.warn("poorly_registered", adviceCapture, "Only %d of %d images could be placed: expect holes where the others were taken.", placed, n)
	case missing > weak:
		r.warn("unregistered_images", adviceCapture, "%d of %d images could not be placed and %s left out.", missing-weak, n, be(missing-weak))
	}
	return nil
}
