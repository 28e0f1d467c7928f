package colmap

import (
	"fmt"
	"math"

	"github.com/splatworks/splatworks/engines/scene"
)

// Agreement says how far the poses of the two mappers are apart.
type Agreement struct {
	Images int `json:"images"` // that both registered
	// Common is their part of the images of the larger model.
	Common float64 `json:"common"`
	// Pairs is the part of the pairs of these images whose relative poses agree. Unlike the numbers below it does not
	// depend on an alignment, which one misplaced camera spoils for all.
	Pairs          float64 `json:"pairs"`
	PositionMaxPct float64 `json:"position_max_pct"` // after a similarity alignment, of the cameras' bounding box diagonal
	RotationMaxDeg float64 `json:"rotation_max_deg"`
	Agree          bool    `json:"agree"`
	// Apart names the images whose poses relative to most others differ.
	Apart []string `json:"apart,omitempty"`
}

const (
	// The mappers agree when no camera differs by more. Right models of the same images were measured to differ by 0.1 to
	// 0.5 %; one misplaced camera among 25 makes it 30 %.
	agreePositionPct = 2
	agreeRotationDeg = 2
	// agreeCommon is the part of the larger model's cameras that both must have placed: what one mapper alone placed is
	// confirmed by nobody.
	agreeCommon = 0.8
	// agreeDirectionDeg is how far the directions from one camera to another may differ; that of neighbours, nearer than
	// a twentieth of the cameras' extent, says nothing.
	agreeDirectionDeg = 5
	neighbours        = 0.05
)

// compare measures how far two mappers' poses are apart, or nothing when they share too few images.
func compare(global, incremental *scene.Reconstruction) *Agreement {
	c, err := scene.Compare(global, incremental)
	if err != nil {
		return nil
	}
	a := &Agreement{Images: c.Images, PositionMaxPct: c.PositionMaxPct, RotationMaxDeg: c.RotationMaxDeg,
		Common: float64(c.Images) / float64(max(len(global.Images), len(incremental.Images), 1))}
	a.Agree = a.alike() && a.Common >= agreeCommon
	a.comparePairs(global, incremental)
	return a
}

// alike says whether the cameras that both placed are placed alike.
func (a *Agreement) alike() bool {
	return a.PositionMaxPct <= agreePositionPct && a.RotationMaxDeg <= agreeRotationDeg
}

// where names the cameras that were compared.
func (a *Agreement) where() string {
	if a.Common == 1 {
		return "on every camera"
	}
	return fmt.Sprintf("on the %d cameras that both placed", a.Images)
}

// posed is one image in both models.
type posed struct {
	name      string
	rotations [2][3][3]float64
	centers   [2][3]float64
}

// comparePairs compares the relative poses of all pairs of images.
func (a *Agreement) comparePairs(global, incremental *scene.Reconstruction) {
	byName := make(map[string]*scene.Image, len(incremental.Images))
	for i := range incremental.Images {
		byName[incremental.Images[i].Name] = &incremental.Images[i]
	}
	var images []posed
	for i := range global.Images {
		g := &global.Images[i]
		if m := byName[g.Name]; m != nil {
			images = append(images, posed{name: g.Name,
				rotations: [2][3][3]float64{g.CamFromWorld.Matrix(), m.CamFromWorld.Matrix()},
				centers:   [2][3]float64{g.Center(), m.Center()}})
		}
	}
	if len(images) < 2 {
		return
	}
	extents := [2]float64{extent(images, 0), extent(images, 1)}
	agreeing := make([]int, len(images))
	total := 0
	for i := range images {
		for j := range i {
			if images[i].agrees(&images[j], extents) {
				agreeing[i]++
				agreeing[j]++
				total++
			}
		}
	}
	n := len(images)
	a.Pairs = float64(total) / float64(n*(n-1)/2)
	for i := range images {
		if 2*agreeing[i] < n-1 {
			a.Apart = append(a.Apart, images[i].name)
		}
	}
}

// extent is the largest distance of a camera from the first, in one of the models.
func extent(images []posed, model int) float64 {
	largest := 0.0
	for i := range images {
		largest = max(largest, length(minus(images[i].centers[model], images[0].centers[model])))
	}
	return largest
}

// agrees says whether both models see the second image alike from the first: its rotation and the direction to it.
func (p *posed) agrees(q *posed, extents [2]float64) bool {
	var relative [2][3][3]float64
	var directions [2][3]float64
	for m := range 2 {
		// Row i of A·Bᵀ holds the products of A's row i with B's rows.
		for i := range 3 {
			for j := range 3 {
				relative[m][i][j] = dot(p.rotations[m][i], q.rotations[m][j])
			}
		}
		d := minus(q.centers[m], p.centers[m])
		for i := range 3 {
			directions[m][i] = dot(p.rotations[m][i], d)
		}
	}
	if !(scene.RotationAngleDeg(relative[0], relative[1]) <= agreeRotationDeg) {
		return false
	}
	near := [2]bool{length(directions[0]) < neighbours*extents[0], length(directions[1]) < neighbours*extents[1]}
	if near[0] && near[1] {
		return true
	}
	cosine := dot(directions[0], directions[1]) / (length(directions[0]) * length(directions[1]))
	return cosine >= math.Cos(agreeDirectionDeg*math.Pi/180)
}

func minus(a, b [3]float64) [3]float64 { return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }
func dot(a, b [3]float64) float64      { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func length(a [3]float64) float64      { return math.Sqrt(dot(a, a)) }
