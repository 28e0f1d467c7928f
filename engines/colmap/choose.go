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

// Candidate is what one mapper made of the images.
type Candidate struct {
	Mapper  string        `json:"mapper"`
	Models  int           `json:"models"` // separate models, of which this is the largest
	Quality scene.Quality `json:"quality"`
	// Score is the number of observations in tracks of three images or more. Two images agree on almost any wrong
	// pose, three do not: where a mapper places a camera wrongly, observations break off (measured: fox thinned to 25
	// and 17 images, wrong models kept 80 to 92 % of the observations of right ones at the same reprojection error).
	Score int `json:"score"`
	// WeakImages are registered but share hardly any points with the others: their poses cannot be trusted.
	WeakImages []string `json:"weak_images,omitempty"`
	Failure    string   `json:"failure,omitempty"` // why there is no model
}

// Agreement says how far the poses of the two mappers are apart after a similarity alignment.
type Agreement struct {
	Images         int     `json:"images"`           // that both registered
	PositionMaxPct float64 `json:"position_max_pct"` // of the cameras' bounding box diagonal
	RotationMaxDeg float64 `json:"rotation_max_deg"`
	Agree          bool    `json:"agree"`
}

// The mappers agree when no camera differs by more. Right models of the same images were measured to differ by 0.1 to
// 0.5 %; one misplaced camera among 25 makes it 30 %.
const (
	agreePositionPct = 2
	agreeRotationDeg = 2
)

// model is one mapper's largest model, or none.
type model struct {
	mapper         string
	reconstruction *scene.Reconstruction // nil when there is none
	models         int
	failure        *Failure
}

// readLargest reads the models in a mapper's output folder and keeps the one with most registered images; COLMAP's
// numbering does not say which that is.
func (m *model) readLargest(outputPath string) error {
	entries, err := os.ReadDir(outputPath)
	if err != nil {
		return fmt.Errorf("reading models of %s: %w", m.mapper, err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		reconstruction, err := scene.Read(filepath.Join(outputPath, entry.Name()))
		if err != nil {
			return fmt.Errorf("reading models of %s: %w", m.mapper, err)
		}
		m.models++
		if m.reconstruction == nil || better(reconstruction, m.reconstruction) {
			m.reconstruction = reconstruction
		}
	}
	return nil
}

func better(a, b *scene.Reconstruction) bool {
	if len(a.Images) != len(b.Images) {
		return len(a.Images) > len(b.Images)
	}
	return score(a) > score(b)
}

// score counts the observations in tracks of three images or more.
func score(r *scene.Reconstruction) int {
	n := 0
	for i := range r.Points3D {
		if len(r.Points3D[i].Track) >= 3 {
			n += len(r.Points3D[i].Track)
		}
	}
	return n
}

// weakImages names the images with fewer than 30 observations (mapper's own limit for registering one) and fewer than a
// tenth of the median.
func weakImages(r *scene.Reconstruction) []string {
	counts := make([]int, len(r.Images))
	for i := range r.Images {
		counts[i] = r.Images[i].NumObservations()
	}
	sorted := slices.Sorted(slices.Values(counts))
	var weak []string
	for i, n := range counts {
		if n < 30 && n*10 < sorted[len(sorted)/2] {
			weak = append(weak, r.Images[i].Name)
		}
	}
	return weak
}

func (m *model) candidate() Candidate {
	c := Candidate{Mapper: m.mapper, Models: m.models}
	if m.failure != nil {
		c.Failure = m.failure.Message
	}
	if m.reconstruction != nil {
		c.Quality = m.reconstruction.Quality()
		c.Score = score(m.reconstruction)
		c.WeakImages = weakImages(m.reconstruction)
	}
	return c
}

// complete says that a model has all n images, none of them weakly.
func (m *model) complete(n int) bool {
	return m.reconstruction != nil && len(m.reconstruction.Images) == n && len(weakImages(m.reconstruction)) == 0
}

// chooseModel decides between the mappers' models; models holds one or two. The reason is for people.
//
//   - Where both agree on every camera, global_mapper's is taken: it adjusts all cameras together, and agreement of two
//     independent methods is the best evidence there is.
//   - Where they disagree, the one that explains more observations. global_mapper has to be clearly ahead, since it is
//     the one that is known to misplace cameras without noticing.
func chooseModel(models []model) (chosen *model, agreement *Agreement, reason string) {
	byName := make(map[string]*model)
	for i := range models {
		if models[i].reconstruction != nil {
			byName[models[i].mapper] = &models[i]
		}
	}
	global, incremental := byName[globalMapper], byName[incrementalMapper]
	switch {
	case global == nil && incremental == nil:
		return nil, nil, ""
	case incremental == nil:
		return global, nil, "only global_mapper made a model"
	case global == nil && len(models) == 1:
		return incremental, nil, "mapper registered every image; global_mapper was not needed"
	case global == nil:
		return incremental, nil, "only mapper made a model"
	}
	agreement = compare(global.reconstruction, incremental.reconstruction)
	globalImages, incrementalImages := len(global.reconstruction.Images), len(incremental.reconstruction.Images)
	if agreement != nil && agreement.Agree {
		if globalImages >= incrementalImages {
			return global, agreement, "both mappers agree on every camera"
		}
		return incremental, agreement, fmt.Sprintf("both mappers agree, and mapper registered %d images, global_mapper %d", incrementalImages, globalImages)
	}
	const clearly = 1.05
	g, i := score(global.reconstruction), score(incremental.reconstruction)
	if float64(g) > clearly*float64(i) {
		return global, agreement, fmt.Sprintf("the mappers disagree, and global_mapper explains %d observations, mapper %d", g, i)
	}
	return incremental, agreement, fmt.Sprintf("the mappers disagree, and mapper explains %d observations, global_mapper %d", i, g)
}

// agree says whether two mappers' models place every camera alike.
func agree(global, incremental model) bool {
	if global.reconstruction == nil || incremental.reconstruction == nil {
		return false
	}
	agreement := compare(global.reconstruction, incremental.reconstruction)
	return agreement != nil && agreement.Agree
}

// compare measures how far two mappers' poses are apart, or nothing when they share too few images.
func compare(global, incremental *scene.Reconstruction) *Agreement {
	c, err := scene.Compare(global, incremental)
	if err != nil {
		return nil
	}
	return &Agreement{Images: c.Images, PositionMaxPct: c.PositionMaxPct, RotationMaxDeg: c.RotationMaxDeg,
		Agree: c.PositionMaxPct <= agreePositionPct && c.RotationMaxDeg <= agreeRotationDeg}
}

// choose decides, records how, and lets nothing through that is not worth training on.
func (r *reconstructor) choose(models []model) (*scene.Reconstruction, error) {
	for i := range models {
		r.result.Candidates = append(r.result.Candidates, models[i].candidate())
	}
	chosen, agreement, reason := chooseModel(models)
	r.result.Agreement, r.result.Reason = agreement, reason
	if chosen == nil {
		return nil, fail(NoSparseModel, adviceCapture, "no camera poses could be found: the %d images do not show one scene from overlapping views", len(r.images))
	}
	reconstruction := chosen.reconstruction
	if weak := weakImages(reconstruction); len(weak) > 0 {
		reconstruction = reconstruction.Without(weak)
		r.warn("weak_images", adviceCapture, "%d images share hardly any points with the others and were left out, first: %s", len(weak), weak[0])
	}
	r.result.Mapper, r.result.Quality = chosen.mapper, reconstruction.Quality()

	registered := make(map[string]bool, len(reconstruction.Images))
	for i := range reconstruction.Images {
		registered[reconstruction.Images[i].Name] = true
	}
	for _, name := range r.images {
		if !registered[name] {
			r.result.Unregistered = append(r.result.Unregistered, name)
		}
	}
	n := len(r.images)
	if len(registered) < minImages || float64(len(registered)) < r.plan.MinRegistered*float64(n) {
		return nil, fail(TooFewRegistered, adviceCapture, "the camera position is known for only %d of %d images", len(registered), n)
	}
	if missing := n - len(registered); missing > 0 {
		r.warn("unregistered_images", adviceCapture, "%d of %d images could not be placed and were left out", missing, n)
	}
	if agreement != nil && !agreement.Agree {
		r.warn("mappers_disagree", adviceCapture, "two methods place cameras differently (by up to %.1f %% of the camera path's extent); the more plausible result was used", agreement.PositionMaxPct)
	}
	return reconstruction, nil
}
