package scene

import (
	"fmt"
	"math"
	"slices"
)

// Similarity takes points of one world frame to another: y = Scale·Rotation·x + Translation.
type Similarity struct {
	Scale       float64       `json:"scale"`
	Rotation    [3][3]float64 `json:"rotation"`
	Translation [3]float64    `json:"translation"`
}

// Apply transforms a point.
func (s Similarity) Apply(x [3]float64) [3]float64 {
	y := mulVec(s.Rotation, x)
	for i := range y {
		y[i] = s.Scale*y[i] + s.Translation[i]
	}
	return y
}

// Comparison says how far the camera poses of a reconstruction are from reference poses, after the similarity that
// brings the camera centres together. A reconstruction from images alone is only defined up to such a similarity.
type Comparison struct {
	Images             int        // that both have
	Similarity         Similarity // estimate → reference
	BoxDiagonal        float64    // of the bounding box of the reference's camera centres, in reference units
	PositionRMSE       float64    // of the camera centres, in reference units
	PositionMax        float64
	PositionRMSEPct    float64 // PositionRMSE in percent of BoxDiagonal
	PositionMaxPct     float64
	RotationMedianDeg  float64
	RotationMaxDeg     float64
	WorstPositionImage string // the name of the image with PositionMax
}

// Compare aligns the camera centres of est with those of truth and measures what is left. Images are matched by name;
// where no name is the same in both, by name without folder and extension. At least three common images are needed.
//
// When the centres lie on a line they leave a rotation about that line open; it is then taken from the cameras'
// orientations.
func Compare(est, truth *Reconstruction) (Comparison, error) {
	pairs := matchImages(est, truth)
	if len(pairs) < 3 {
		return Comparison{}, fmt.Errorf("comparing poses: %d common images, at least 3 are needed", len(pairs))
	}
	src, dst := make([][3]float64, len(pairs)), make([][3]float64, len(pairs))
	rotations := make([][3][3]float64, len(pairs))
	for i, pair := range pairs {
		src[i], dst[i] = pair.est.Center(), pair.truth.Center()
		// World rotation estimate → reference as this camera alone sees it.
		rotations[i] = mulMat(transpose(pair.truth.CamFromWorld.Matrix()), pair.est.CamFromWorld.Matrix())
	}
	similarity, err := align(src, dst, rotations)
	if err != nil {
		return Comparison{}, fmt.Errorf("comparing poses: %w", err)
	}

	c := Comparison{Images: len(pairs), Similarity: similarity, BoxDiagonal: boxDiagonal(dst)}
	angles := make([]float64, len(pairs))
	for i := range pairs {
		d := norm(sub(similarity.Apply(src[i]), dst[i]))
		c.PositionRMSE += d * d
		if i == 0 || d > c.PositionMax {
			c.PositionMax, c.WorstPositionImage = d, pairs[i].est.Name
		}
		angles[i] = RotationAngleDeg(similarity.Rotation, rotations[i])
	}
	c.PositionRMSE = math.Sqrt(c.PositionRMSE / float64(len(pairs)))
	c.PositionRMSEPct = 100 * c.PositionRMSE / c.BoxDiagonal
	c.PositionMaxPct = 100 * c.PositionMax / c.BoxDiagonal
	slices.Sort(angles)
	c.RotationMaxDeg = angles[len(angles)-1]
	c.RotationMedianDeg = (angles[(len(angles)-1)/2] + angles[len(angles)/2]) / 2
	return c, nil
}

type imagePair struct{ est, truth *Image }

// matchImages pairs images by name or, where that finds none, by stem; a stem that occurs twice pairs nothing.
func matchImages(est, truth *Reconstruction) []imagePair {
	for _, key := range []func(string) string{func(name string) string { return name }, stem} {
		byKey := make(map[string]*Image, len(truth.Images))
		count := make(map[string]int)
		for i := range truth.Images {
			byKey[key(truth.Images[i].Name)] = &truth.Images[i]
			count[key(truth.Images[i].Name)]++
		}
		estCount := make(map[string]int)
		for i := range est.Images {
			estCount[key(est.Images[i].Name)]++
		}
		var pairs []imagePair
		for i := range est.Images {
			k := key(est.Images[i].Name)
			if count[k] == 1 && estCount[k] == 1 {
				pairs = append(pairs, imagePair{&est.Images[i], byKey[k]})
			}
		}
		if len(pairs) > 0 {
			return pairs
		}
	}
	return nil
}

// collinear is the ratio of second to first principal extent below which centres count as lying on a line.
const collinear = 1e-3

// align finds the least-squares similarity src → dst. The rotation is Horn's closed form with unit quaternions
// (J. Opt. Soc. Am. A 4(4), 1987), which never yields a reflection; scale and translation are Umeyama's (IEEE PAMI
// 13(4), 1991), the least-squares ones for errors in dst. rotations are per-camera estimates of the same rotation,
// used when the points leave it open.
func align(src, dst [][3]float64, rotations [][3][3]float64) (Similarity, error) {
	srcMean, dstMean := mean(src), mean(dst)
	var cross, srcCov, dstCov [3][3]float64
	for i := range src {
		s, d := sub(src[i], srcMean), sub(dst[i], dstMean)
		addOuter(&cross, d, s)
		addOuter(&srcCov, s, s)
		addOuter(&dstCov, d, d)
	}
	srcVariance := srcCov[0][0] + srcCov[1][1] + srcCov[2][2]
	dstVariance := dstCov[0][0] + dstCov[1][1] + dstCov[2][2]
	if !(srcVariance > 0 && dstVariance > 0) || math.IsInf(srcVariance+dstVariance, 0) {
		return Similarity{}, fmt.Errorf("all camera centres of one side coincide or are not finite")
	}
	sum := cross
	if spread(srcCov) < collinear || spread(dstCov) < collinear {
		sum = [3][3]float64{}
		for _, r := range rotations {
			for i := range 3 {
				for j := range 3 {
					sum[i][j] += r[i][j]
				}
			}
		}
	}
	rotation := nearestRotation(sum)
	numerator := 0.0 // trace(Rᵀ·cross)
	for i := range 3 {
		for j := range 3 {
			numerator += rotation[i][j] * cross[i][j]
		}
	}
	s := Similarity{Scale: numerator / srcVariance, Rotation: rotation}
	if !(s.Scale > 0) {
		return Similarity{}, fmt.Errorf("no similarity of positive scale aligns the camera centres")
	}
	rotated := mulVec(rotation, srcMean)
	for i := range 3 {
		s.Translation[i] = dstMean[i] - s.Scale*rotated[i]
	}
	return s, nil
}

// nearestRotation is the rotation R that maximises trace(Rᵀ·m): the largest eigenvector of Horn's 4×4 matrix.
func nearestRotation(m [3][3]float64) [3][3]float64 {
	// Horn writes the matrix for sums of src·dstᵀ; m is dst·srcᵀ, hence the transposed indices.
	n := [][]float64{
		{m[0][0] + m[1][1] + m[2][2], m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]},
		{0, m[0][0] - m[1][1] - m[2][2], m[0][1] + m[1][0], m[2][0] + m[0][2]},
		{0, 0, -m[0][0] + m[1][1] - m[2][2], m[1][2] + m[2][1]},
		{0, 0, 0, -m[0][0] - m[1][1] + m[2][2]},
	}
	for i := range 4 {
		for j := range i {
			n[i][j] = n[j][i]
		}
	}
	values, vectors := symmetricEigen(n)
	largest := 0
	for i, v := range values {
		if v > values[largest] {
			largest = i
		}
	}
	var q [4]float64
	for i := range 4 {
		q[i] = vectors[i][largest]
	}
	return QuaternionMatrix(q)
}

// symmetricEigen returns the eigenvalues of a small symmetric matrix and the eigenvectors as columns, by cyclic Jacobi
// rotations (Golub and Van Loan, Matrix Computations, section 8.5). It overwrites a.
func symmetricEigen(a [][]float64) (values []float64, vectors [][]float64) {
	n := len(a)
	vectors = make([][]float64, n)
	for i := range vectors {
		vectors[i] = make([]float64, n)
		vectors[i][i] = 1
	}
	const sweeps = 32 // converges quadratically; 4×4 needs fewer than 10
	for range sweeps {
		for p := range n {
			for q := p + 1; q < n; q++ {
				if a[p][q] == 0 {
					continue
				}
				tau := (a[q][q] - a[p][p]) / (2 * a[p][q])
				t := 1 / (math.Abs(tau) + math.Hypot(1, tau))
				if tau < 0 {
					t = -t
				}
				c := 1 / math.Hypot(1, t)
				s := t * c
				for k := range n {
					a[k][p], a[k][q] = c*a[k][p]-s*a[k][q], s*a[k][p]+c*a[k][q]
				}
				for k := range n {
					a[p][k], a[q][k] = c*a[p][k]-s*a[q][k], s*a[p][k]+c*a[q][k]
				}
				for k := range n {
					vectors[k][p], vectors[k][q] = c*vectors[k][p]-s*vectors[k][q], s*vectors[k][p]+c*vectors[k][q]
				}
			}
		}
	}
	values = make([]float64, n)
	for i := range values {
		values[i] = a[i][i]
	}
	return values, vectors
}

// spread is the ratio of the second to the first principal standard deviation of a covariance matrix.
func spread(covariance [3][3]float64) float64 {
	rows := [][]float64{covariance[0][:], covariance[1][:], covariance[2][:]}
	values, _ := symmetricEigen(rows)
	slices.Sort(values)
	return math.Sqrt(math.Max(values[1], 0) / values[2])
}

func mean(points [][3]float64) [3]float64 {
	var m [3]float64
	for _, p := range points {
		for i := range m {
			m[i] += p[i] / float64(len(points))
		}
	}
	return m
}

func addOuter(m *[3][3]float64, a, b [3]float64) {
	for i := range 3 {
		for j := range 3 {
			m[i][j] += a[i] * b[j]
		}
	}
}

func boxDiagonal(points [][3]float64) float64 {
	low, high := points[0], points[0]
	for _, p := range points {
		for i := range p {
			low[i], high[i] = min(low[i], p[i]), max(high[i], p[i])
		}
	}
	return norm(sub(high, low))
}
