package colmap

import (
	"maps"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/fault"
	"github.com/splatworks/splatworks/engines/scene"
)

// Candidate is what one mapper made of the images.
type Candidate struct {
	Mapper string `json:"mapper"`
	Models int    `json:"models"` // separate models, of which this is the largest
	// Pieces are the images of each model, where there are several; Joined of them were added to the largest, with which they
	// share images.
	Pieces  []int         `json:"pieces,omitempty"`
	Joined  int           `json:"joined,omitempty"`
	Quality scene.Quality `json:"quality"`
	Score   float64       `json:"score"` // of the evidence, 0 to 1
	// Evidence is what the score is made of.
	Evidence Evidence `json:"evidence"`
	// FocalLengthRatio is the largest focal length over the image's longer side. The main cameras of phones have 0.7 to
	// 0.95.
	FocalLengthRatio float64 `json:"focal_length_ratio,omitempty"`
	// GPSErrorPct is how badly the model fits the places that photos state, beside the other model's, over the images that both
	// have: the standard error of the scale. 0: nothing is known of it.
	GPSErrorPct float64 `json:"gps_error_pct,omitempty"`
	// WeakImages are registered but share hardly any points with the others: their poses cannot be trusted.
	WeakImages []string `json:"weak_images,omitempty"`
	Failure    string   `json:"failure,omitempty"` // why there is no model
}

// Evidence is what speaks for a model, each from 0 to 1 beside the best of the models that are compared.
type Evidence struct {
	Registered float64 `json:"registered"` // part of the images given
	// Explained compares observations in tracks of three images or more, for all cameras together. Two images agree on
	// almost any wrong pose, three do not: where a mapper places a camera wrongly, observations break off (measured: fox
	// thinned to 25 and 17 images, wrong models kept 80 to 92 % of the observations of right ones at the same reprojection
	// error).
	Explained    float64 `json:"explained"`
	TrackLength  float64 `json:"track_length"`
	Reprojection float64 `json:"reprojection"` // the smallest error over this one's
	Strong       float64 `json:"strong"`       // part of the registered images that have enough observations
	InOneModel   float64 `json:"in_one_model"` // this model's part of all images that its mapper registered in any
	Agreeing     float64 `json:"agreeing"`     // part of the registered images that the other mapper places alike
	Plausible    float64 `json:"plausible"`    // part of the cameras whose focal length a lens can have
}

// score is the product of the evidence, so that whatever speaks strongly against a model counts. The exponents say how
// well each separates right from wrong: a wrong model has dropped observations, and what it kept fits well, so that its
// reprojection error is often the lower one.
func (e Evidence) score() float64 {
	return e.Registered * e.Explained * math.Sqrt(e.TrackLength) * math.Pow(e.Reprojection, 0.1) * e.Strong *
		math.Sqrt(e.InOneModel) * math.Sqrt((1+e.Agreeing)/2) * e.Plausible
}

// model is one mapper's largest model, or none.
type model struct {
	mapper         string
	reconstruction *scene.Reconstruction // nil when there is none; the largest, with the pieces joined to it
	models         int
	pieces         []int // images of each, the largest first
	joined         int   // pieces that were added to the largest
	registered     int   // images in all models together
	failure        *fault.Failure
	rigs           rigs // that took the images
}

// explained counts the observations in tracks of three images or more.
func explained(r *scene.Reconstruction) int {
	n := 0
	for i := range r.Points3D {
		if len(r.Points3D[i].Track) >= 3 {
			n += len(r.Points3D[i].Track)
		}
	}
	return n
}

// weakImages names the images with fewer than 30 observations (mapper's own limit for registering one) and fewer than a
// tenth of the median. Images that a rig took together have one pose, and its observations.
func (m *model) weakImages() []string {
	counts := make(map[string]int)
	for i := range m.reconstruction.Images {
		im := &m.reconstruction.Images[i]
		counts[m.rigs.frame(im.Name)] += im.NumObservations()
	}
	sorted := slices.Sorted(maps.Values(counts))
	var weak []string
	for i := range m.reconstruction.Images {
		name := m.reconstruction.Images[i].Name
		if n := counts[m.rigs.frame(name)]; n < 30 && n*10 < sorted[len(sorted)/2] {
			weak = append(weak, name)
		}
	}
	return weak
}

// The focal lengths that lenses of cameras and phones have, in units of the longer side: from ultra-wide (13 mm on a
// frame of 36 mm) to ten times telephoto.
const (
	shortestFocal = 0.33
	longestFocal  = 8
)

// focalLengths are the largest focal length over its image's longer side, and the part of the cameras whose focal length
// is plausible.
func focalLengths(cameras []scene.Camera) (largest, plausible float64) {
	for i := range cameras {
		c := &cameras[i]
		f := c.FocalLength() / float64(max(c.Width, c.Height, 1))
		largest = max(largest, f)
		if f >= shortestFocal && f <= longestFocal || c.Model == scene.Equirectangular {
			plausible++
		}
	}
	return largest, plausible / float64(max(len(cameras), 1))
}

// candidates weighs the models of one set of n images against each other.
func candidates(models []model, n int, agreement *Agreement) []Candidate {
	out := make([]Candidate, len(models))
	mostExplained, longest, smallest := 0, 0.0, math.Inf(1)
	for i := range models {
		c := &out[i]
		c.Mapper, c.Models, c.Joined = models[i].mapper, models[i].models, models[i].joined
		if len(models[i].pieces) > 1 {
			c.Pieces = models[i].pieces
		}
		if models[i].failure != nil {
			c.Failure = models[i].failure.Message
		}
		if r := models[i].reconstruction; r != nil {
			c.Quality, c.WeakImages = r.Quality(), models[i].weakImages()
			c.FocalLengthRatio, c.Evidence.Plausible = focalLengths(r.Cameras)
			mostExplained = max(mostExplained, explained(r))
			longest = max(longest, c.Quality.MeanTrackLength)
			if e := c.Quality.MeanReprojectionErrorPx; e > 0 {
				smallest = min(smallest, e)
			}
		}
	}
	for i := range models {
		r := models[i].reconstruction
		if r == nil || len(r.Images) == 0 {
			continue
		}
		c, e := &out[i], &out[i].Evidence
		registered := float64(len(r.Images))
		e.Registered = min(registered/float64(max(n, 1)), 1)
		e.Explained = share(float64(explained(r)), float64(mostExplained))
		e.TrackLength = share(c.Quality.MeanTrackLength, longest)
		e.Reprojection = 1
		if c.Quality.MeanReprojectionErrorPx > 0 {
			e.Reprojection = share(smallest, c.Quality.MeanReprojectionErrorPx)
		}
		e.Strong = 1 - float64(len(c.WeakImages))/registered
		e.InOneModel = share(registered, float64(max(models[i].registered, len(r.Images))))
		switch {
		case len(models) == 1 || agreement == nil && slices.ContainsFunc(models, func(m model) bool { return m.reconstruction == nil }):
			e.Agreeing = 1 // nobody to disagree
		case agreement != nil:
			e.Agreeing = float64(agreement.Images-len(agreement.Apart)) / registered
		}
		c.Score = e.score()
	}
	return out
}

func share(part, whole float64) float64 {
	if !(whole > 0) {
		return 0
	}
	return part / whole
}
