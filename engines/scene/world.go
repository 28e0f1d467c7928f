package scene

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// World says how the world frame of a reconstruction lies, once [Reconstruction.Settle] has chosen it: structure from
// motion finds it only up to a similarity.
type World struct {
	Up     string `json:"up"`              // the axis that points away from the ground: always "-y"
	UpFrom string `json:"up_from"`         // what decided: "gps", "asked", or "cameras", which people hold level
	Unit   string `json:"unit"`            // "metre", or "view_distance": the median distance at which images see points
	Origin string `json:"origin"`          // "focus": where the cameras look, or "points": the middle of the points
	North  string `json:"north,omitempty"` // "+z" when GPS determines it
	// UnitErrorPct is the standard error of the metre in percent, from how far the cameras are from their GPS positions.
	UnitErrorPct float64 `json:"unit_error_pct,omitempty"`
	// ScaleM is how many metres a unit has, where that is known: 1 where the unit is the metre, else what GPS says that is too uncertain
	// to decide on the unit.
	ScaleM        float64 `json:"scale_m,omitempty"`
	ScaleFrom     string  `json:"scale_from,omitempty"`      // what says so: "gps", or "distance", which was asked for
	ScaleErrorPct float64 `json:"scale_error_pct,omitempty"` // standard error of ScaleM in percent; of a distance, that of its marks
	// Place is where the world is on the Earth, where GPS determines north; see PlaceAt.
	Place *Place `json:"place,omitempty"`
	// enu takes points of the world to metres to the east, to the north and up, where GPS determines these.
	enu *Similarity
	// Refused is why what was asked for could not be used, in words for people.
	Refused string `json:"-"`
	// From takes points from the world that the reconstruction had before.
	From Similarity `json:"-"`
	// Given is From where poses were given: it takes their world to this one.
	Given *Similarity `json:"given,omitempty"`
}

// Units of [World].
const (
	UnitMetre        = "metre"
	UnitViewDistance = "view_distance"
)

// Moved returns a copy in another world frame: points go to s(x), and every camera sees what it saw. Track and feature
// slices are shared with r.
func (r *Reconstruction) Moved(s Similarity) *Reconstruction {
	out := &Reconstruction{Cameras: r.Cameras, Images: slices.Clone(r.Images), Points3D: slices.Clone(r.Points3D)}
	for i := range out.Images {
		pose := &out.Images[i].CamFromWorld
		rotation := mulMat(pose.Matrix(), transpose(s.Rotation))
		moved := mulVec(rotation, s.Translation)
		for k := range 3 {
			moved[k] = s.Scale*pose.Translation[k] - moved[k]
		}
		*pose = Rigid3{Rotation: MatrixQuaternion(rotation), Translation: moved}
	}
	for i := range out.Points3D {
		out.Points3D[i].XYZ = s.Apply(out.Points3D[i].XYZ)
	}
	return out
}

// Settle chooses the world frame: y points down along gravity, the origin is in the middle of what the cameras look at,
// and one unit is the median distance at which images see points. Seen from the origin, the first image by name looks
// along z.
//
// enu may hold where images were taken, by name, in metres to the east, to the north and up. Where these agree with the
// cameras they decide on the unit, which is then the metre, and on up and north.
//
// turned may hold the EXIF orientations of images that do not lie as they are shown, by name: people held the camera level as
// shown.
//
// asked overrules both. A distance that cannot be measured is left out, and the reason is World.Refused.
func (r *Reconstruction) Settle(enu map[string][3]float64, turned map[string]int, asked Asked) (*Reconstruction, World, error) {
	if len(r.Images) == 0 {
		return nil, World{}, fmt.Errorf("settling the world frame: no images")
	}
	world := World{Up: "-y", UpFrom: "cameras", Unit: UnitViewDistance}
	s := Similarity{Scale: 1 / r.viewDistance(), Rotation: r.level(turned)}
	fit, ok := r.georeference(enu)
	if ok {
		world.Unit, world.UnitErrorPct = UnitMetre, 100*fit.scaleError
		s.Scale = fit.similarity.Scale
		if fit.upError < upLimit && !asked.Level {
			world.UpFrom, world.North = "gps", "+z"
			eastDownNorth := [3][3]float64{{1, 0, 0}, {0, 0, -1}, {0, 1, 0}}
			s.Rotation = mulMat(eastDownNorth, fit.similarity.Rotation)
		}
	}
	if fit.scaleError > 0 && fit.scaleError < scaleLimit {
		world.ScaleM, world.ScaleFrom, world.ScaleErrorPct = fit.similarity.Scale/s.Scale, "gps", 100*fit.scaleError
	}
	r.obey(asked, &s, &world)
	center, ok := r.focus()
	world.Origin = "focus"
	if !ok {
		center, world.Origin = r.middle(), "points"
	}
	rotated := mulVec(s.Rotation, center)
	for k := range 3 {
		s.Translation[k] = -s.Scale * rotated[k]
	}
	if !finite(s.Scale, s.Translation[0], s.Translation[1], s.Translation[2]) || !(s.Scale > 0) {
		return nil, World{}, fmt.Errorf("settling the world frame: the reconstruction has no extent")
	}
	world.From = s
	if fit.scaleError > 0 && fit.scaleError < unitLimit && fit.upError < upLimit {
		world.enu = &Similarity{Scale: world.ScaleM, Rotation: mulMat(fit.similarity.Rotation, transpose(s.Rotation)), Translation: fit.similarity.Apply(center)}
	}
	return r.Moved(s), world, nil
}

// obey lets what was asked for overrule the rotation and the scale of s.
func (r *Reconstruction) obey(asked Asked, s *Similarity, world *World) {
	if n := norm(asked.Up); n > 0 && finite(n) {
		s.Rotation = mulMat(turning(unit(asked.Up), [3]float64{0, -1, 0}), s.Rotation)
		world.UpFrom, world.North = "asked", ""
	}
	d := asked.Distance
	if d == nil {
		return
	}
	was, share := norm(sub(d.Ends[0].Point, d.Ends[1].Point)), 0.0
	if d.Ends[0].Seen[0].Image != "" {
		length, of, err := r.length(d)
		if err != nil {
			world.Refused = err.Error()
			return
		}
		was, share = s.Scale*length, of
	}
	if scale := s.Scale * d.Metres / was; finite(scale) && scale > 0 {
		s.Scale = scale
		world.Unit, world.UnitErrorPct = UnitMetre, 0
		world.ScaleM, world.ScaleFrom, world.ScaleErrorPct = 1, "distance", 100*share
		return
	}
	world.Refused = "its two ends are in the same place"
}

// turning is the shortest rotation that takes the unit vector a to the unit vector b.
func turning(a, b [3]float64) [3][3]float64 {
	axis, cosine := cross(a, b), dot(a, b)
	if cosine < -1+1e-12 { // half a turn about any normal
		axis = reject([3]float64{1, 0, 0}, a)
		if norm(axis) < 0.1 {
			axis = reject([3]float64{0, 0, 1}, a)
		}
		axis = unit(axis)
		return QuaternionMatrix([4]float64{0, axis[0], axis[1], axis[2]})
	}
	w := 1 + cosine
	n := math.Sqrt(w*w + dot(axis, axis))
	return QuaternionMatrix([4]float64{w / n, axis[0] / n, axis[1] / n, axis[2] / n})
}

// shown are the axes of a camera, as rows, once its image is turned upright by its EXIF orientation (TIFF 6.0: which sides of the
// shown picture the stored first row and first column are).
func shown(m [3][3]float64, orientation int) [3][3]float64 {
	negative := func(v [3]float64) [3]float64 { return [3]float64{-v[0], -v[1], -v[2]} }
	switch orientation {
	case 2:
		m[0] = negative(m[0])
	case 3:
		m[0], m[1] = negative(m[0]), negative(m[1])
	case 4:
		m[1] = negative(m[1])
	case 5:
		m[0], m[1] = m[1], m[0]
	case 6:
		m[0], m[1] = negative(m[1]), m[0]
	case 7:
		m[0], m[1] = negative(m[1]), negative(m[0])
	case 8:
		m[0], m[1] = m[1], negative(m[0])
	}
	return m
}

// viewDistance is the median over images of the median depth of the points each sees; without points, the largest
// distance between a camera and the middle of all.
func (r *Reconstruction) viewDistance() float64 {
	medians := make([]float64, 0, len(r.Images))
	for i := range r.Images {
		if depths := r.depths(&r.Images[i]); len(depths) > 0 {
			medians = append(medians, median(depths))
		}
	}
	if len(medians) > 0 {
		return median(medians)
	}
	centers := r.centers()
	middle, reach := mean(centers), 0.0
	for _, c := range centers {
		reach = max(reach, norm(sub(c, middle)))
	}
	return reach
}

// depths are those of the points that an image observes in front of it, in no order.
func (r *Reconstruction) depths(im *Image) []float64 {
	var depths []float64
	m, t := im.CamFromWorld.Matrix(), im.CamFromWorld.Translation
	for i := range im.Points2D {
		if p := r.Point3D(im.Points2D[i].Point3DID); p != nil {
			if z := m[2][0]*p.XYZ[0] + m[2][1]*p.XYZ[1] + m[2][2]*p.XYZ[2] + t[2]; z > 0 {
				depths = append(depths, z)
			}
		}
	}
	return depths
}

func (r *Reconstruction) centers() [][3]float64 {
	centers := make([][3]float64, len(r.Images))
	for i := range r.Images {
		centers[i] = r.Images[i].Center()
	}
	return centers
}

// turned is the part of the directions of the cameras' x axes that must lie outside one direction, as a mean square, for
// their plane to be known: turns of about ±10°.
const turned = 0.03

// level is the rotation that takes down to y and the first camera's horizontal viewing direction to z.
//
// People hold cameras level, not upright: the horizon is where the x axes lie, whether one looks down on a table or up
// to a roof. Up is therefore the direction that is most nearly normal to all x axes, on the side of the images' upper
// edges. Where the camera never turned, x axes leave a rotation about them open; then the mean upper edge decides.
func (r *Reconstruction) level(orientations map[string]int) [3][3]float64 {
	var axes [3][3]float64
	var up [3]float64
	first := 0
	for i := range r.Images {
		m := shown(r.Images[i].CamFromWorld.Matrix(), orientations[r.Images[i].Name])
		addOuter(&axes, m[0], m[0])
		up = sub(up, m[1])
		if r.Images[i].Name < r.Images[first].Name {
			first = i
		}
	}
	values, vectors := symmetricEigen([][]float64{axes[0][:], axes[1][:], axes[2][:]})
	order := []int{0, 1, 2}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	column := func(i int) [3]float64 { return [3]float64{vectors[0][i], vectors[1][i], vectors[2][i]} }
	normal, along := column(order[0]), column(order[2])
	if values[order[1]] < turned*float64(len(r.Images)) {
		normal = reject(up, along)
	}
	if norm(normal) < 1e-9*float64(len(r.Images)) { // upper edges in all directions: nothing is known
		return [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	}
	normal = unit(normal)
	if dot(normal, up) < 0 {
		normal = sub([3]float64{}, normal)
	}
	m := shown(r.Images[first].CamFromWorld.Matrix(), orientations[r.Images[first].Name])
	ahead := reject(m[2], normal)
	if norm(ahead) < 1e-3 { // straight down: the upper edge points ahead
		ahead = reject(sub([3]float64{}, m[1]), normal)
	}
	down, ahead := sub([3]float64{}, normal), unit(ahead)
	return [3][3]float64{cross(down, ahead), down, ahead}
}

// converging is the smallest eigenvalue, of a mean over cameras, from which viewing directions are different enough to
// meet: they turn by about ±10°.
const converging = 0.03

// focus is where the optical axes of the images meet.
func (r *Reconstruction) focus() (point [3]float64, ok bool) {
	directions := make([][3]float64, len(r.Images))
	for i := range r.Images {
		directions[i] = r.Images[i].CamFromWorld.Matrix()[2]
	}
	return Focus(r.centers(), directions)
}

// Focus is the point that is nearest, in the sense of least squares, to the optical axes of cameras at the centers that look
// along unit directions: Σ(I − ddᵀ)x = Σ(I − ddᵀ)c. ok is false when the axes are all but parallel, or meet behind half of
// the cameras or more: then they look at no one thing.
func Focus(centers, directions [][3]float64) (point [3]float64, ok bool) {
	var a [3][3]float64
	var b [3]float64
	for i, d := range directions {
		across := [3][3]float64{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
		addOuter(&across, sub([3]float64{}, d), d)
		c := mulVec(across, centers[i])
		for j := range 3 {
			b[j] += c[j]
			for k := range 3 {
				a[j][k] += across[j][k]
			}
		}
	}
	rows := a
	values, _ := symmetricEigen([][]float64{rows[0][:], rows[1][:], rows[2][:]})
	if !(slices.Min(values) > converging*float64(len(centers))) {
		return point, false
	}
	inverse := determinant(a)
	for k := range 3 {
		with := a
		for j := range 3 {
			with[j][k] = b[j]
		}
		point[k] = determinant(with) / inverse
	}
	ahead := 0
	for i, d := range directions {
		if dot(d, sub(point, centers[i])) > 0 {
			ahead++
		}
	}
	return point, 2*ahead > len(centers)
}

// middle is the median of the points along each axis, or the mean camera when there are none.
func (r *Reconstruction) middle() [3]float64 {
	if len(r.Points3D) == 0 {
		return mean(r.centers())
	}
	var m [3]float64
	values := make([]float64, len(r.Points3D))
	for k := range 3 {
		for i := range r.Points3D {
			values[i] = r.Points3D[i].XYZ[k]
		}
		m[k] = median(values)
	}
	return m
}

// What GPS must allow to be decided: the unit to 5 %, up to 3°.
const (
	unitLimit  = 0.05
	upLimit    = 0.05
	scaleLimit = 0.5 // and to be worth saying
)

// georeferenced is how camera centres fit their GPS positions.
type georeferenced struct {
	similarity Similarity
	scaleError float64 // relative standard error of the scale
	upError    float64 // standard error of the tilt in radians
}

// GPSErrorPct is how badly camera centres fit the places where images were taken, by name, in metres to the east, to the north and
// up: the standard error of the scale in percent of it. ok is false where fewer than four are known or all lie on a line.
func (r *Reconstruction) GPSErrorPct(enu map[string][3]float64) (pct float64, ok bool) {
	fit, _ := r.georeference(enu)
	return 100 * fit.scaleError, fit.scaleError > 0
}

// georeference fits the camera centres to positions; ok is false when these say nothing about the scale. Receivers of
// phones are wrong by metres, so it takes a capture that is wide beside that.
func (r *Reconstruction) georeference(enu map[string][3]float64) (fit georeferenced, ok bool) {
	var src, dst [][3]float64
	for i := range r.Images {
		if p, found := enu[r.Images[i].Name]; found {
			src, dst = append(src, r.Images[i].Center()), append(dst, p)
		}
	}
	const few = 4 // three leave nothing to check by
	if len(src) < few {
		return fit, false
	}
	middle := mean(dst)
	var covariance [3][3]float64
	for _, p := range dst {
		d := sub(p, middle)
		addOuter(&covariance, d, d)
	}
	values, _ := symmetricEigen([][]float64{covariance[0][:], covariance[1][:], covariance[2][:]})
	slices.Sort(values)
	if !(math.Sqrt(max(values[1], 0)) > collinear*math.Sqrt(values[2])) {
		return fit, false
	}
	similarity, err := align(src, dst, make([][3][3]float64, len(src)))
	if err != nil {
		return fit, false
	}
	squares := 0.0
	for i := range src {
		d := norm(sub(similarity.Apply(src[i]), dst[i]))
		squares += d * d
	}
	// Seven parameters are fitted to three coordinates each.
	sigma := math.Sqrt(squares / float64(3*len(src)-7))
	fit = georeferenced{similarity: similarity, scaleError: sigma / math.Sqrt(values[1]+values[2]), upError: sigma / math.Sqrt(values[1])}
	return fit, fit.scaleError < unitLimit
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func unit(v [3]float64) [3]float64 {
	n := norm(v)
	return [3]float64{v[0] / n, v[1] / n, v[2] / n}
}

// reject is the part of v that is normal to the unit vector n.
func reject(v, n [3]float64) [3]float64 {
	d := dot(v, n)
	return sub(v, [3]float64{d * n[0], d * n[1], d * n[2]})
}
