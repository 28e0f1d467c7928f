package depth

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/scene"
)

// Alignment carries a model's answer for one image to the scene, in the model's own output space: Scale·output + Shift is
// 1/z for InverseDepth and z for the others, in world units. A metric answer has no shift.
type Alignment struct {
	Name      string  `json:"name"` // of the image
	Scale     float64 `json:"scale"`
	Shift     float64 `json:"shift"`
	Points    int     `json:"points"`    // sparse points that were compared
	Inliers   int     `json:"inliers"`   // of which agree within 15 % of the depth
	Residual  float64 `json:"residual"`  // median over all of |z/z_sfm − 1|
	Explained float64 `json:"explained"` // share of the points' spread that the map accounts for, at most 1
	Rejected  string  `json:"rejected,omitempty"`

	nearest float64 // the largest inverse depth of a point that agrees
}

// OK says whether the map can be used.
func (a *Alignment) OK() bool { return a.Rejected == "" }

// What an alignment must reach. Kerbl et al. (2024, "Hierarchical 3D Gaussians", make_depth_scale) ask for more than 10
// points and for a scale within a factor of 5 of the set's median; the other bounds are ours.
const (
	leastPoints    = 11
	mostResidual   = 0.15 // of the depth
	mostScaleRatio = 5.0
)

// leastExplained is what a map must account for of the points' spread. With few points a line through some of them
// explains much of anything: a map that has nothing to do with its image passes less than once in a hundred
// (simulated for 11 to 1000 points).
func leastExplained(points int) float64 { return 0.25 + 5/float64(points) }

// sample is one sparse point as the model and as the reconstruction see it.
type sample struct {
	model, target float64
	weight        float64
}

// Align fits a map to the sparse points that its image observes. It always returns: an image that cannot be aligned says
// why in Rejected.
func Align(model *scene.Reconstruction, im *scene.Image, m *Map, kind OutputKind) Alignment {
	a := Alignment{Name: im.Name}
	if len(m.Values) != m.Width*m.Height || m.Width < 2 || m.Height < 2 {
		return a.reject("the map has %d values for %dx%d pixels", len(m.Values), m.Width, m.Height)
	}
	samples := observe(model, im, m, kind)
	a.Points = len(samples)
	if a.Points < leastPoints {
		return a.reject("only %d sparse points, %d are needed", a.Points, leastPoints)
	}
	a.Scale, a.Shift = fit(samples, kind)
	a.judge(samples, kind)
	return a
}

func (a Alignment) reject(format string, args ...any) Alignment {
	a.Rejected = fmt.Sprintf(format, args...)
	return a
}

// observe reads the map at the image's features. A feature's weight is about the reciprocal of the standard deviation of
// its point: reprojection errors average out over a track, and below half a pixel other errors matter more. Depths are
// compared relatively: an error of the network, and of a triangulated depth, grows with the depth.
func observe(model *scene.Reconstruction, im *scene.Image, m *Map, kind OutputKind) []sample {
	cam := model.Camera(im.CameraID)
	if cam == nil || cam.Width <= 0 || cam.Height <= 0 {
		return nil
	}
	var samples []sample
	for _, p2 := range im.Points2D {
		p := model.Point3D(p2.Point3DID)
		if p == nil {
			continue
		}
		z := im.CamFromWorld.Apply(p.XYZ)[2]
		value, ok := m.at(p2.X/float64(cam.Width), p2.Y/float64(cam.Height))
		if !ok || !(z > 0) || math.IsInf(z, 0) {
			continue
		}
		reprojection := p.Error
		if !(reprojection >= 0) {
			reprojection = 1 // COLMAP did not compute it
		}
		s := sample{model: value, target: 1 / z, weight: math.Sqrt(float64(max(len(p.Track), 1))) / max(reprojection, 0.5)}
		if kind != InverseDepth {
			s.target, s.weight = z, s.weight/z
		}
		samples = append(samples, s)
	}
	return samples
}

// at interpolates bilinearly at a place given in shares of the image's sides.
func (m *Map) at(u, v float64) (float64, bool) {
	if !(u >= 0 && u <= 1 && v >= 0 && v <= 1) {
		return 0, false
	}
	x := min(max(u*float64(m.Width)-0.5, 0), float64(m.Width-1))
	y := min(max(v*float64(m.Height)-0.5, 0), float64(m.Height-1))
	x0, y0 := min(int(x), m.Width-2), min(int(y), m.Height-2)
	fx, fy := x-float64(x0), y-float64(y0)
	row, below := m.Values[y0*m.Width+x0:], m.Values[(y0+1)*m.Width+x0:]
	value := (1-fy)*((1-fx)*float64(row[0])+fx*float64(row[1])) + fy*((1-fx)*float64(below[0])+fx*float64(below[1]))
	return value, !math.IsNaN(value) && !math.IsInf(value, 0)
}

// judge measures how well the fit agrees with the points and rejects it when that is not enough.
func (a *Alignment) judge(samples []sample, kind OutputKind) {
	off := make([]float64, len(samples))
	relative := make([]float64, len(samples))
	spread := make([]float64, len(samples))
	middle := weightedMedian(samples, func(s sample) float64 { return s.target })
	for i, s := range samples {
		aligned := a.Scale*s.model + a.Shift
		off[i] = math.Abs(aligned - s.target)
		spread[i] = math.Abs(s.target - middle)
		relative[i] = math.Abs(inverseOf(s.target, kind)/inverseOf(aligned, kind) - 1)
		if !(aligned > 0) {
			relative[i] = math.Inf(1) // behind the camera, or infinitely far
		}
		if relative[i] <= mostResidual {
			a.Inliers++
			a.nearest = max(a.nearest, inverseOf(s.target, kind))
		}
	}
	a.Residual = unweightedMedian(relative)
	if s := unweightedMedian(spread); s > 0 {
		a.Explained = 1 - unweightedMedian(off)/s
	}
	switch {
	case math.IsNaN(a.Scale):
		a.Rejected = "the same at every sparse point"
	case !(a.Scale > 0) || math.IsInf(a.Scale, 0) || math.IsNaN(a.Shift) || math.IsInf(a.Shift, 0):
		a.Rejected = "near and far are exchanged"
	case !(a.Residual <= mostResidual):
		a.Rejected = fmt.Sprintf("off by %.0f %% at half of the points", 100*min(a.Residual, 99))
	case !(a.Explained >= leastExplained(a.Points)):
		a.Rejected = "it says little about the points' depth"
	}
	// JSON knows no infinity.
	if math.IsInf(a.Residual, 0) || math.IsNaN(a.Residual) {
		a.Residual = math.MaxFloat32
	}
	for _, v := range []*float64{&a.Scale, &a.Shift, &a.Explained} {
		if math.IsInf(*v, 0) || math.IsNaN(*v) {
			*v = 0
		}
	}
}

// Reconcile rejects the alignments whose scale is far from that of the others: one model, one scene. It returns the
// median scale of those that are left, 0 without any.
func Reconcile(alignments []Alignment) (medianScale float64) {
	scales := func() []float64 {
		var s []float64
		for i := range alignments {
			if alignments[i].OK() {
				s = append(s, alignments[i].Scale)
			}
		}
		return s
	}
	all := scales()
	if len(all) == 0 {
		return 0
	}
	middle := unweightedMedian(all)
	for i := range alignments {
		a := &alignments[i]
		if ratio := a.Scale / middle; a.OK() && !(ratio <= mostScaleRatio && ratio >= 1/mostScaleRatio) {
			a.Rejected = fmt.Sprintf("its scale is %.2g times the others'", ratio)
		}
	}
	return unweightedMedian(scales())
}

// Apply turns a model's map into inverse depth in 1/world units; NaN where it says nothing that can be believed: behind
// the camera, or four times nearer than any sparse point. What lies beyond infinity is infinitely far: 0.
func (a *Alignment) Apply(m *Map, kind OutputKind) Map {
	out := Map{Width: m.Width, Height: m.Height, Values: make([]float32, len(m.Values))}
	for i, v := range m.Values {
		aligned := a.Scale*float64(v) + a.Shift
		inverse := math.NaN()
		switch {
		case kind == InverseDepth:
			inverse = max(0, aligned) // NaN stays
		case aligned > 0:
			inverse = 1 / aligned
		}
		if !(inverse <= 4*a.nearest) {
			inverse = math.NaN()
		}
		out.Values[i] = float32(inverse)
	}
	return out
}

func inverseOf(target float64, kind OutputKind) float64 {
	if kind == InverseDepth {
		return target
	}
	return 1 / target
}

// weightedMedian of a value over samples: half of the weight lies on either side.
func weightedMedian(samples []sample, value func(sample) float64) float64 {
	type pair struct{ value, weight float64 }
	pairs := make([]pair, len(samples))
	total := 0.0
	for i, s := range samples {
		pairs[i] = pair{value(s), s.weight}
		total += s.weight
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.value, b.value) })
	sum := 0.0
	for _, p := range pairs {
		if sum += p.weight; sum >= total/2 {
			return p.value
		}
	}
	return math.NaN()
}

func unweightedMedian(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return values[len(values)/2]
}
