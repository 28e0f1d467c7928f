package trainer

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// fewPoints is the number of sparse points below which random ones are added: with fewer, densification has too little
// to grow from (3DGS-MCMC and gsplat PR 238 start from random points with a loss of 0.3-0.5 dB).
const fewPoints = 2000

// scarcePoints is the number below which a person should know: ordinary captures of 30 images have more, and were fine.
const scarcePoints = 500

// initialise makes the first Gaussians: one at each sparse point, as wide as the distance to its neighbours, with the
// point's colour. Where they are few, the prior depth of the images adds its own; a capture with few points and no prior
// gets random ones in front of its cameras.
func initialise(p *raster.Params, d *Dataset, cfg *Config, opacity float64, rng *rand.Rand) {
	points := slices.Clone(d.Points)
	if len(points) > cfg.MaxGaussians {
		rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:cfg.MaxGaussians]
	}
	points = append(points, seedPoints(d, points, min(seedMost, cfg.MaxGaussians/2)-len(points), rng)...)
	if len(points) < fewPoints {
		points = append(points, randomPoints(d, min(fewPoints, cfg.MaxGaussians)-len(points), rng)...)
	}
	positions := make([][3]float64, len(points))
	for i, p := range points {
		positions[i] = p.XYZ
	}
	spacing := neighbourSpacing(positions)
	// An isolated point would fill the screen: three times the 95th percentile is the widest start.
	sorted := slices.Clone(spacing)
	slices.Sort(sorted)
	widest := 3 * sorted[len(sorted)*95/100]
	if !(widest > 0) {
		widest = 0.01 * d.Extent
	}

	p.Resize(len(points))
	for i, point := range points {
		scale := math.Log(min(max(spacing[i], 1e-4*d.Extent), widest))
		for k := range 3 {
			*p.At(i, simd.RowMean+k) = float32(point.XYZ[k])
			*p.At(i, simd.RowScale+k) = float32(scale)
			*p.At(i, simd.RowDC+k) = (float32(point.RGB[k])/255 - 0.5) / splat.C0
		}
		*p.At(i, simd.RowRotation) = 1
		*p.At(i, simd.RowOpacity) = logit(opacity)
	}
}

func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

func sigmoid(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }

// randomPoints draws points from the pixels of the training images, with their colours, at depths spread evenly in
// disparity between 0.3 and 3 times the extent.
func randomPoints(d *Dataset, n int, rng *rand.Rand) []Point {
	points := make([]Point, 0, n)
	for range n {
		pic := &d.Train[rng.IntN(len(d.Train))].Levels[0]
		cam := &pic.Camera
		x, y := rng.IntN(cam.Width), rng.IntN(cam.Height)
		z := d.Extent / (1/3.0 + rng.Float64()*(1/0.3-1/3.0))
		p := Point{XYZ: unproject(cam, float64(x)+0.5, float64(y)+0.5, z)}
		for k := range 3 {
			p.RGB[k] = pic.Pix[k][y*cam.Width+x]
		}
		points = append(points, p)
	}
	return points
}

// neighbourSpacing is, for each point, the root mean square distance to its three nearest neighbours; 0 when there is
// none. It searches a k-d tree.
func neighbourSpacing(points [][3]float64) []float64 {
	tree := make([]int32, len(points))
	for i := range tree {
		tree[i] = int32(i)
	}
	buildTree(points, tree, 0)
	spacing := make([]float64, len(points))
	for i := range points {
		nearest := [3]float64{math.Inf(1), math.Inf(1), math.Inf(1)}
		searchTree(points, tree, 0, int32(i), &nearest)
		sum, n := 0.0, 0
		for _, d := range nearest {
			if !math.IsInf(d, 1) {
				sum += d
				n++
			}
		}
		if n > 0 {
			spacing[i] = math.Sqrt(sum / float64(n))
		}
	}
	return spacing
}

// buildTree orders the indices so that the middle of every range splits it along the axis depth%3.
func buildTree(points [][3]float64, tree []int32, depth int) {
	if len(tree) < 2 {
		return
	}
	axis := depth % 3
	slices.SortFunc(tree, func(a, b int32) int {
		switch d := points[a][axis] - points[b][axis]; {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return int(a - b)
	})
	middle := len(tree) / 2
	buildTree(points, tree[:middle], depth+1)
	buildTree(points, tree[middle+1:], depth+1)
}

// searchTree improves the three smallest squared distances from point i, ascending.
func searchTree(points [][3]float64, tree []int32, depth int, i int32, nearest *[3]float64) {
	if len(tree) == 0 {
		return
	}
	middle := len(tree) / 2
	if at := tree[middle]; at != i {
		d := 0.0
		for k := range 3 {
			d += (points[at][k] - points[i][k]) * (points[at][k] - points[i][k])
		}
		switch {
		case d < nearest[0]:
			nearest[0], nearest[1], nearest[2] = d, nearest[0], nearest[1]
		case d < nearest[1]:
			nearest[1], nearest[2] = d, nearest[1]
		case d < nearest[2]:
			nearest[2] = d
		}
	}
	offset := points[i][depth%3] - points[tree[middle]][depth%3]
	near, far := tree[:middle], tree[middle+1:]
	if offset > 0 {
		near, far = far, near
	}
	searchTree(points, near, depth+1, i, nearest)
	if offset*offset < nearest[2] {
		searchTree(points, far, depth+1, i, nearest)
	}
}
