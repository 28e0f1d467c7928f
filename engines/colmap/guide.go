package colmap

import (
	"context"
	"math"
	"time"

	"github.com/splatworks/splatworks/engines/simd"
)

// Guided matching compares the features of a verified pair once more, each only with those that the geometry of the pair allows: what
// looks like something elsewhere in the image is matched by its place. COLMAP does the same (FeatureMatcher::MatchGuided,
// feature/sift.cc) but tries every feature with every other: 1.2 CPU seconds for a pair with 8000 features.

const (
	guiding = "guide" // stands for COLMAP's command in the list of runs
	// admitted is how far, in pixels, features may be from where the geometry has them; COLMAP's TwoViewGeometry.max_error.
	admitted = 4
)

// Configurations of a pair of images (TwoViewGeometry::ConfigurationType, geometry/two_view_geometry.h).
const (
	calibrated        = 2
	uncalibrated      = 3
	planar            = 4
	panoramic         = 5
	planarOrPanoramic = 6
)

// guide matches all verified pairs along their epipolar lines. Where the database has another form than this COLMAP's, they stay as they are.
func (r *reconstructor) guide(ctx context.Context) error {
	begun, cpu := time.Now(), processCPU()
	err := r.guideAll(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.warn("not_guided", "Nothing needs to be done; the COLMAP that this version is made for would find more matches.", "Pairs of images were matched once only, since COLMAP's database could not be read: %v.", err)
		return nil
	}
	return r.ran(Run{Command: guiding, WallS: time.Since(begun).Seconds(), CPUS: (processCPU() - cpu).Seconds()}, nil)
}

func (r *reconstructor) guideAll(ctx context.Context) error {
	db, err := openDatabase(r.databasePath())
	if err != nil {
		return err
	}
	defer db.Close()
	images, _, err := db.described(ctx)
	if err != nil {
		return err
	}
	seen, err := db.sights(ctx, images)
	if err != nil {
		return err
	}
	pairs, err := db.geometries(ctx)
	if err != nil {
		return err
	}
	r.progress.next(1)
	return r.inParallel(ctx, len(pairs), "matching along epipolar lines", func(c *comparison, i int) error {
		p := pairs[i]
		a, b := seen[p.a], seen[p.b]
		if a == nil || b == nil {
			return nil
		}
		m := p.relation(a.camera, b.camera)
		if m == nil {
			return nil
		}
		found := c.guided(a, b, m)
		if len(found) <= p.inliers {
			return nil
		}
		return db.replaceInliers(ctx, matches{p.a, p.b, found})
	})
}

// geometry is a verified pair; the matrices are COLMAP's, nil where it has none.
type geometry struct {
	a, b    uint32 // ids, the smaller one first
	inliers int
	config  int
	f, e, h *mat3
	own     [2]intrinsics // of a and b, where the pair was solved with others than its cameras have
}

type mat3 [3][3]float64

func (m *mat3) times(x, y float64) [3]float64 {
	return [3]float64{m[0][0]*x + m[0][1]*y + m[0][2], m[1][0]*x + m[1][1]*y + m[1][2], m[2][0]*x + m[2][1]*y + m[2][2]}
}

func (m *mat3) transposed() *mat3 {
	var t mat3
	for i := range 3 {
		for k := range 3 {
			t[i][k] = m[k][i]
		}
	}
	return &t
}

// intrinsics of a camera without distortion, in pixels; the zero value is a camera whose pixels no matrix makes rays of.
type intrinsics struct{ fx, fy, cx, cy float64 }

// relation says which features of two images may belong together. Pixel coordinates are COLMAP's.
type relation interface {
	// near calls try with the features of the other image that may be where a feature at x, y of the first one belongs.
	near(x, y float64, in *sight, try func(k int))
}

// relation of a pair; nil where COLMAP left none that can be used.
func (g *geometry) relation(a, b intrinsics) relation {
	switch g.config {
	case calibrated, uncalibrated:
		if g.own[0].fx > 0 && g.own[1].fx > 0 {
			a, b = g.own[0], g.own[1]
		}
		if g.e != nil && a.fx > 0 && b.fx > 0 {
			return newEpipolar(fundamental(g.e, a, b))
		}
		if g.f != nil {
			return newEpipolar(g.f)
		}
	case planar, panoramic, planarOrPanoramic:
		if g.h != nil {
			return (*homography)(g.h)
		}
	}
	return nil
}

// fundamental is the matrix between pixels: K_b^-T E K_a^-1 (Hartley and Zisserman 2003, equation 9.12).
func fundamental(e *mat3, a, b intrinsics) *mat3 {
	inverse := func(k intrinsics) *mat3 {
		return &mat3{{1 / k.fx, 0, -k.cx / k.fx}, {0, 1 / k.fy, -k.cy / k.fy}, {0, 0, 1}}
	}
	return inverse(b).transposed().product(e).product(inverse(a))
}

func (m *mat3) product(n *mat3) *mat3 {
	var p mat3
	for i := range 3 {
		for k := range 3 {
			p[i][k] = m[i][0]*n[0][k] + m[i][1]*n[1][k] + m[i][2]*n[2][k]
		}
	}
	return &p
}

// epipolar is a fundamental matrix f: with p_b^T f p_a = 0 a feature of image b is on the epipolar line of one of image a.
type epipolar struct{ f, transposed *mat3 }

func newEpipolar(f *mat3) epipolar { return epipolar{f, f.transposed()} }

// near tries those with a Sampson error of at most admitted pixels (Hartley and Zisserman 2003, equation 11.9).
func (g epipolar) near(x, y float64, in *sight, try func(k int)) {
	line := g.f.times(x, y)
	across := math.Hypot(line[0], line[1])
	if !(across > 0) {
		return
	}
	within := func(k int) {
		at := in.at[k]
		back := g.transposed.times(at[0], at[1])
		off := line[0]*at[0] + line[1]*at[1] + line[2]
		if off*off <= admitted*admitted*(across*across+back[0]*back[0]+back[1]*back[1]) {
			try(k)
		}
	}
	// The error weighs both images: the line's neighbourhood is as wide as the largest weight of the other one makes it.
	most := 0.0
	for _, corner := range in.corners() {
		back := g.transposed.times(corner[0], corner[1])
		most = max(most, math.Hypot(back[0], back[1]))
	}
	in.along(line, admitted*math.Hypot(across, most)/across, within)
}

// homography maps the pixels of image a to those of image b.
type homography mat3

func (g *homography) near(x, y float64, in *sight, try func(k int)) {
	p := (*mat3)(g).times(x, y)
	if x, y = p[0]/p[2], p[1]/p[2]; math.IsNaN(x) || math.IsNaN(y) {
		return
	}
	in.around(x, y, admitted, func(k int) {
		if math.Hypot(in.at[k][0]-x, in.at[k][1]-y) <= admitted {
			try(k)
		}
	})
}

// sight is an image with the places of its features, sorted into squares of cellSize pixels.
type sight struct {
	rows          []byte // descriptors
	at            [][2]float64
	camera        intrinsics
	columns, high int
	first         []int // of each cell in features, row by row, and the end
	features      []int
}

const cellSize = 16

func newSight(rows []byte, at [][2]float64, camera intrinsics) *sight {
	s := &sight{rows: rows, at: at, camera: camera, columns: 1, high: 1}
	for _, p := range at {
		s.columns, s.high = max(s.columns, int(p[0])/cellSize+1), max(s.high, int(p[1])/cellSize+1)
	}
	s.first, s.features = make([]int, s.columns*s.high+1), make([]int, len(at))
	for _, p := range at {
		s.first[s.cell(p)+1]++
	}
	for i := range s.columns * s.high {
		s.first[i+1] += s.first[i]
	}
	next := append([]int(nil), s.first...)
	for k, p := range at {
		cell := s.cell(p)
		s.features[next[cell]] = k
		next[cell]++
	}
	return s
}

func (s *sight) cell(p [2]float64) int {
	return s.row(p[1], s.high)*s.columns + s.row(p[0], s.columns)
}

// row is the one of n rows, or columns, that a coordinate is in, or the nearest.
func (*sight) row(v float64, n int) int { return int(min(max(v/cellSize, 0), float64(n-1))) }

// corners of the part of the image that has features.
func (s *sight) corners() [4][2]float64 {
	w, h := float64(s.columns*cellSize), float64(s.high*cellSize)
	return [4][2]float64{{0, 0}, {w, 0}, {0, h}, {w, h}}
}

// around calls try with all features in the cells within a distance of a point, and perhaps some more.
func (s *sight) around(x, y, distance float64, try func(k int)) {
	left, right := s.row(x-distance, s.columns), s.row(x+distance, s.columns)
	for row := s.row(y-distance, s.high); row <= s.row(y+distance, s.high); row++ {
		s.cells(row*s.columns+left, row*s.columns+right, 1, try)
	}
}

// along calls try with all features in the cells within a distance of the line l0 x + l1 y + l2 = 0, and perhaps some more.
func (s *sight) along(line [3]float64, distance float64, try func(k int)) {
	across := math.Hypot(line[0], line[1])
	if math.Abs(line[1]) >= math.Abs(line[0]) {
		reach := distance * across / math.Abs(line[1])
		for column := range s.columns {
			y0, y1 := onLine(line[0], line[1], line[2], column)
			top, bottom := min(y0, y1)-reach, max(y0, y1)+reach
			if bottom >= 0 && top <= float64(s.high*cellSize) {
				s.cells(s.row(top, s.high)*s.columns+column, s.row(bottom, s.high)*s.columns+column, s.columns, try)
			}
		}
		return
	}
	reach := distance * across / math.Abs(line[0])
	for row := range s.high {
		x0, x1 := onLine(line[1], line[0], line[2], row)
		left, right := min(x0, x1)-reach, max(x0, x1)+reach
		if right >= 0 && left <= float64(s.columns*cellSize) {
			s.cells(row*s.columns+s.row(left, s.columns), row*s.columns+s.row(right, s.columns), 1, try)
		}
	}
}

// onLine is where the line a u + b v + c = 0 enters and leaves a cell: v at both ends of its u.
func onLine(a, b, c float64, cell int) (v0, v1 float64) {
	u := float64(cell * cellSize)
	return -(a*u + c) / b, -(a*(u+cellSize) + c) / b
}

func (s *sight) cells(from, to, step int, try func(k int)) {
	for cell := from; cell <= to; cell += step {
		for _, k := range s.features[s.first[cell]:s.first[cell+1]] {
			try(k)
		}
	}
}

// closest is what a feature looks most like, and the next: squared distances of descriptors.
type closest struct {
	best, second int32
	index        int
}

func (c *closest) take(distance int32, index int) {
	if distance < c.best {
		c.second, c.best, c.index = c.best, distance, index
	} else if distance < c.second {
		c.second = distance
	}
}

// matches says whether the best is near enough, and clearly nearer than the second.
func (c *closest) matches(ratio float64) bool {
	return float64(c.best) <= maxDistance*maxDistance*descriptorNorm*descriptorNorm && math.Sqrt(float64(c.best)) < ratio*math.Sqrt(float64(c.second))
}

// guided returns the indices of features that match and that the relation allows: of the first image, then of the second. COLMAP
// compares by distance here (FindBestMatchesIndex), and has all others as far away as descriptors are long.
func (c *comparison) guided(a, b *sight, m relation) [][2]uint32 {
	forth, back := make([]closest, len(a.at)), make([]closest, len(b.at))
	for _, side := range [][]closest{forth, back} {
		for i := range side {
			side[i] = closest{descriptorNorm * descriptorNorm, descriptorNorm * descriptorNorm, -1}
		}
	}
	for i, p := range a.at {
		row := a.descriptor(i)
		m.near(p[0], p[1], b, func(k int) {
			d := squaredDistance(row, b.descriptor(k))
			forth[i].take(d, k)
			back[k].take(d, i)
		})
	}
	var pairs [][2]uint32
	for i := range forth {
		if f := &forth[i]; f.index >= 0 && f.matches(c.ratio) && back[f.index].index == i && back[f.index].matches(c.ratio) {
			pairs = append(pairs, [2]uint32{uint32(i), uint32(f.index)})
		}
	}
	return pairs
}

func (s *sight) descriptor(i int) []byte {
	return s.rows[i*simd.DescriptorSize : (i+1)*simd.DescriptorSize]
}

func squaredDistance(a, b []byte) (sum int32) {
	for k, v := range a[:simd.DescriptorSize] {
		d := int32(v) - int32(b[k])
		sum += d * d
	}
	return sum
}
