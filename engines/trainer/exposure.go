package trainer

import (
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
)

// exposures holds a gain per colour channel for each training image, applied to the render before the loss: C' = exp(g)·C.
// A phone changes exposure and white balance while it walks; without this, the splats learn the changes as fog and as
// view-dependent colour. Held-out images are compared without it.
//
// A gain is not trained by gradient: at every visit it moves a part of the way to the ratio of the image's mean colour to
// the render's, which a blurred or unfinished render gets right as well. Alone this has no anchor: a dark Gaussian right
// before one camera and a brighter gain of its image explain each other, and nothing pulls either back. So gains start at
// what the matched points say (matched.go) and stay near it. The gauge is fixed after every step: the mean over images of
// each gain is taken off all of them, so that no common colour cast moves from the splats into the gains.
type exposures struct {
	gains []float32 // natural logarithms, 3 for each image
	start []float32 // where they began
	slack []float64 // how far from there each may go
}

const (
	exposureStep  = 0.2  // of the way, at every visit
	exposureFrom  = 0.05 // fraction of the budget before which the render is too unlike the images
	exposureFloor = 0.02 // mean of a channel below which its ratio says nothing
	exposureSlack = 0.05 // of a gain that matched points say: they are not the whole image
	exposureLook  = 0.2  // and over the square root of their number: a look at one of them
	exposureWide  = 1.0  // of a gain about which they say nothing
)

// Exposure is what compensation found out about an image: how much brighter than the mean of all it was taken.
type Exposure struct {
	Name  string     `json:"name"`
	Stops [3]float64 `json:"stops"` // of red, green, blue
}

func newExposures(d *Dataset) exposures {
	gains, looks := matchedGains(d)
	e := exposures{gains: gains, slack: make([]float64, len(looks))}
	e.fixGauge()
	e.start = slices.Clone(e.gains)
	for i, n := range looks {
		e.slack[i] = min(exposureSlack+exposureLook/math.Sqrt(float64(n)), exposureWide)
	}
	return e
}

func (e *exposures) of(image int) []float32 { return e.gains[3*image : 3*image+3] }

// factors are the gains of an image.
func (e *exposures) factors(image int) (gains [3]float32) {
	for channel, log := range e.of(image) {
		gains[channel] = float32(math.Exp(float64(log)))
	}
	return gains
}

// expose changes the frame's colours to what the camera of an image with these gains would have shown.
func expose(workers int, f *raster.Frame, gains *[3]float32) {
	raster.Each(workers, 3, func(_, channel int) {
		plane := f.Color[channel]
		for i := range plane {
			plane[i] *= gains[channel]
		}
	})
}

// unexpose turns ∂L by the changed colours into ∂L by the drawn ones and restores the frame, both in place, and returns the
// means of the frame and of the image.
func unexpose(workers int, f *raster.Frame, grad *[3][]float32, pix *[3][]uint8, gains *[3]float32) (drawn, shown [3]float64) {
	raster.Each(workers, 3, func(_, channel int) {
		gain := gains[channel]
		inverse := 1 / gain
		plane, g, bytes := f.Color[channel], grad[channel], pix[channel]
		drawnSum, shownSum := 0.0, 0
		for i := range plane {
			plane[i] *= inverse
			g[i] *= gain
			drawnSum += float64(plane[i])
			shownSum += int(bytes[i])
		}
		n := float64(len(plane))
		drawn[channel], shown[channel] = drawnSum/n, float64(shownSum)/n/255
	})
	return drawn, shown
}

// move brings an image's gains nearer to the ratio that a visit measured.
func (e *exposures) move(m *measured, image int, fraction float64) {
	for channel, gain := range e.of(image) {
		if fraction >= exposureFrom && m.drawn[channel] > exposureFloor && m.shown[channel] > exposureFloor {
			start, slack := float64(e.start[3*image+channel]), e.slack[3*image+channel]
			ratio := min(max(math.Log(m.shown[channel]/m.drawn[channel]), start-slack), start+slack)
			e.of(image)[channel] += exposureStep * (float32(ratio) - gain)
		}
	}
	e.fixGauge()
}

func (e *exposures) fixGauge() {
	images := len(e.gains) / 3
	for channel := range 3 {
		mean := 0.0
		for i := range images {
			mean += float64(e.of(i)[channel]) / float64(images)
		}
		for i := range images {
			e.of(i)[channel] -= float32(mean)
		}
	}
}

// changes lists what was found out about each image.
func (e *exposures) changes(d *Dataset) (list []Exposure) {
	for i := range len(e.gains) / 3 {
		x := Exposure{Name: d.Train[i].Name}
		for channel, gain := range e.of(i) {
			x.Stops[channel] = float64(gain) / math.Ln2
		}
		list = append(list, x)
	}
	return list
}
