package colmap

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/splatworks/splatworks/engines/scene"
)

// COLMAP's names of the two mappers.
const (
	globalMapper      = "global_mapper"
	incrementalMapper = "mapper"
)

// readLargest reads the models in a mapper's output folder and keeps the one with most registered images; COLMAP's
// numbering does not say which that is.
func (m *model) readLargest(outputPath string) error {
	entries, err := os.ReadDir(outputPath)
	if err != nil {
		return fmt.Errorf("reading models of %s: %w", m.mapper, err)
	}
	registered := make(map[string]bool)
	var pieces []*scene.Reconstruction
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		reconstruction, err := scene.Read(filepath.Join(outputPath, entry.Name()))
		if err != nil {
			return fmt.Errorf("reading models of %s: %w", m.mapper, err)
		}
		m.models++
		for i := range reconstruction.Images {
			reconstruction.Images[i].Name = m.rigs.file(reconstruction.Images[i].Name)
		}
		for i := range reconstruction.Images {
			registered[reconstruction.Images[i].Name] = true
		}
		pieces = append(pieces, reconstruction)
	}
	m.registered = len(registered)
	m.join(pieces)
	return nil
}

// join keeps the largest of the pieces, and adds to it those that share images with it, or with what was added before.
func (m *model) join(pieces []*scene.Reconstruction) {
	slices.SortStableFunc(pieces, func(a, b *scene.Reconstruction) int {
		switch {
		case larger(a, b):
			return -1
		case larger(b, a):
			return 1
		}
		return 0
	})
	for _, p := range pieces {
		m.pieces = append(m.pieces, len(p.Images))
	}
	if len(pieces) == 0 {
		return
	}
	m.reconstruction = pieces[0]
	left := pieces[1:]
	for again := !m.rigs.any(); again; { // a rig's images have one pose together
		again = false
		var apart []*scene.Reconstruction
		for _, p := range left {
			joined, err := scene.Join(m.reconstruction, p)
			if err != nil || len(joined.Images) == len(m.reconstruction.Images) {
				apart = append(apart, p)
				continue
			}
			m.reconstruction, again = joined, true
			m.joined++
		}
		left = apart
	}
}

func larger(a, b *scene.Reconstruction) bool {
	if len(a.Images) != len(b.Images) {
		return len(a.Images) > len(b.Images)
	}
	return explained(a) > explained(b)
}

// complete says that a model has all n images, none of them weakly.
func (m *model) complete(n int) bool {
	return m.reconstruction != nil && len(m.reconstruction.Images) == n && len(m.weakImages()) == 0
}

// clearly is by how much global_mapper's score must be ahead where the mappers disagree: it is the one that is known to
// misplace cameras without noticing.
const clearly = 1.05

// unconfirmedObservations is what an image must have on average where global_mapper alone made a model of a small set:
// right models of 7 and 8 images of fox have 160 to 200, a wrong one, 22 % off, had 39.
const unconfirmedObservations = 100

// choice is the model to continue with and how it was found.
type choice struct {
	model      *model // nil when there is none to be trusted
	candidates []Candidate
	agreement  *Agreement
	located    bool   // the places that photos state decided
	reason     string // for people
}

// chooseModel decides between the mappers' models of n images; models holds one or two.
//
//   - Where both agree on every camera the model with more images is taken, and of equals global_mapper's, which adjusts
//     all cameras together; agreement of two independent methods is the best evidence there is. Small sets are mapper's.
//   - Where they disagree, the one that fits the places which photos state clearly better; else the one with the better score, and
//     in doubt mapper's.
func chooseModel(models []model, n int, places map[string][3]float64) choice {
	byName := make(map[string]int)
	for i := range models {
		if models[i].reconstruction != nil && len(models[i].reconstruction.Images) > 0 {
			byName[models[i].mapper] = i
		}
	}
	g, hasGlobal := byName[globalMapper]
	m, hasIncremental := byName[incrementalMapper]
	var c choice
	if hasGlobal && hasIncremental {
		c.agreement = compare(models[g].reconstruction, models[m].reconstruction)
	}
	c.candidates = candidates(models, n, c.agreement)
	take := func(i int, reason string, args ...any) choice {
		c.model, c.reason = &models[i], fmt.Sprintf(reason, args...)
		return c
	}
	switch {
	case !hasGlobal && !hasIncremental:
		return c
	case !hasIncremental:
		if n < smallSet && len(models) > 1 && c.candidates[g].Quality.MeanObservationsPerImage < unconfirmedObservations {
			c.reason = "only global_mapper made a model, of a small set and with few observations: it cannot be trusted"
			return c
		}
		for i := range models {
			if f := models[i].failure; f != nil && f.Code == NotChecked {
				return take(g, "global_mapper registered every image; mapper, which checks it, took too long")
			}
		}
		return take(g, "only global_mapper made a model")
	case !hasGlobal && len(models) == 1:
		return take(m, "mapper registered every image; global_mapper was not needed")
	case !hasGlobal:
		return take(m, "only mapper made a model")
	}
	globalImages, incrementalImages := len(models[g].reconstruction.Images), len(models[m].reconstruction.Images)
	if c.agreement != nil && c.agreement.Agree && c.candidates[g].Evidence.Plausible == 1 {
		switch {
		case globalImages < incrementalImages:
			return take(m, "both mappers agree %s, and mapper registered %d images, global_mapper %d", c.agreement.where(), incrementalImages, globalImages)
		case globalImages == incrementalImages && n < smallSet:
			return take(m, "both mappers agree %s; of few images mapper's model is taken", c.agreement.where())
		}
		return take(g, "both mappers agree %s", c.agreement.where())
	}
	if i, ok := c.byPlaces(models, g, m, places); ok {
		c.located = true
		return take(i, "the mappers disagree; %s's model fits the GPS positions to %.1f %%, the other to %.1f %%", models[i].mapper,
			c.candidates[i].GPSErrorPct, c.candidates[g+m-i].GPSErrorPct)
	}
	global, incremental := c.candidates[g].Score, c.candidates[m].Score
	disagree := "the mappers disagree"
	if a := c.agreement; a != nil && a.alike() {
		disagree = fmt.Sprintf("the mappers agree %s, which are few", a.where())
	}
	if global > clearly*incremental {
		return take(g, "%s; global_mapper's model scores %.2f, mapper's %.2f", disagree, global, incremental)
	}
	return take(m, "%s; mapper's model scores %.2f, global_mapper's %.2f", disagree, incremental, global)
}

// fitsPlaces is the part of the other model's misfit with GPS that a model must stay below for that to decide: what receivers are
// wrong by is the same for both.
const fitsPlaces = 0.6

// byPlaces is the model of two that fits the places of the images which both have clearly better.
func (c *choice) byPlaces(models []model, a, b int, places map[string][3]float64) (best int, ok bool) {
	common := make(map[string][3]float64)
	for i := range models[a].reconstruction.Images {
		if p, ok := places[models[a].reconstruction.Images[i].Name]; ok {
			common[models[a].reconstruction.Images[i].Name] = p
		}
	}
	both := make(map[string][3]float64, len(common))
	for i := range models[b].reconstruction.Images {
		if p, ok := common[models[b].reconstruction.Images[i].Name]; ok {
			both[models[b].reconstruction.Images[i].Name] = p
		}
	}
	for _, i := range []int{a, b} {
		pct, known := models[i].reconstruction.GPSErrorPct(both)
		if !known {
			return 0, false
		}
		c.candidates[i].GPSErrorPct = pct
	}
	if c.candidates[b].GPSErrorPct < c.candidates[a].GPSErrorPct {
		a, b = b, a
	}
	return a, c.candidates[a].GPSErrorPct < fitsPlaces*c.candidates[b].GPSErrorPct && c.candidates[a].Evidence.Plausible > 0
}

// doubtful says that two models disagree of which neither is clearly the wrong one, also where nothing speaks for either. Measured: wrong models of 7 to 10
// images of fox scored 0.05 to 0.4 times as much as right ones, one with two misplaced cameras of ten 0.86.
func (c *choice) doubtful() bool {
	if c.agreement == nil || c.agreement.alike() || c.located {
		return false
	}
	best, worst := 0.0, 1.0
	for i := range c.candidates {
		best, worst = max(best, c.candidates[i].Score), min(worst, c.candidates[i].Score)
	}
	return !(worst < best/2)
}

// agree says whether two mappers' models place the cameras alike that both have.
func agree(global, incremental model) bool {
	if global.reconstruction == nil || incremental.reconstruction == nil {
		return false
	}
	agreement := compare(global.reconstruction, incremental.reconstruction)
	return agreement != nil && agreement.alike()
}

// choose decides, records how, and lets nothing through that is not worth training on.
func (r *reconstructor) choose(models []model) (*scene.Reconstruction, error) {
	c := chooseModel(models, len(r.images), r.positions())
	r.result.Candidates, r.result.Agreement, r.result.Reason = c.candidates, c.agreement, c.reason
	if c.model == nil {
		return nil, fail(NoSparseModel, adviceCapture, "No camera poses could be found: the %d images do not show one scene from overlapping views.", len(r.images))
	}
	r.result.Mapper = c.model.mapper
	reconstruction := c.model.reconstruction
	if weak := c.model.weakImages(); len(weak) > 0 {
		reconstruction = reconstruction.Without(weak)
		r.warn("weak_images", adviceCapture, "%s hardly any points with the others and %s left out, first: %s.", say(len(weak), "image shares", "images share"), be(len(weak)), weak[0])
	}
	if err := r.gate(reconstruction, len(c.model.weakImages())); err != nil {
		return nil, err
	}
	if r.result.Doubtful = c.doubtful(); r.result.Doubtful {
		r.warn("mappers_disagree", adviceCapture, "Two methods place %d of %d cameras differently (by up to %.1f %% of the camera path's extent); the more plausible result was used.",
			len(c.agreement.Apart), c.agreement.Images, c.agreement.PositionMaxPct)
	}
	return reconstruction, nil
}
