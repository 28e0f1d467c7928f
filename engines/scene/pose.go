package scene

import "math"

// Rigid3 is COLMAP's rigid transform: x_camera = R(Rotation)·x_world + Translation.
type Rigid3 struct {
	Rotation    [4]float64 // unit quaternion w, x, y, z (Hamilton)
	Translation [3]float64
}

// Matrix returns the rotation matrix, row-major.
func (p Rigid3) Matrix() [3][3]float64 { return QuaternionMatrix(p.Rotation) }

// Apply takes a world point to the camera frame.
func (p Rigid3) Apply(x [3]float64) [3]float64 {
	y := mulVec(p.Matrix(), x)
	return [3]float64{y[0] + p.Translation[0], y[1] + p.Translation[1], y[2] + p.Translation[2]}
}

// Center is the camera centre in the world frame: C = −Rᵀ·t.
func (p Rigid3) Center() [3]float64 {
	c := mulVec(transpose(p.Matrix()), p.Translation)
	return [3]float64{-c[0], -c[1], -c[2]}
}

// Unapply takes a point in the camera frame to the world.
func (p Rigid3) Unapply(x [3]float64) [3]float64 {
	return mulVec(transpose(p.Matrix()), sub(x, p.Translation))
}

// Rigid3FromCenter is the pose with the world-to-camera rotation R and the camera centre C.
func Rigid3FromCenter(rotation [3][3]float64, center [3]float64) Rigid3 {
	t := mulVec(rotation, center)
	return Rigid3{Rotation: MatrixQuaternion(rotation), Translation: [3]float64{-t[0], -t[1], -t[2]}}
}

// QuaternionMatrix is the rotation matrix, row-major, of the quaternion w, x, y, z, which need not be unit.
func QuaternionMatrix(q [4]float64) [3][3]float64 {
	n := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
	w, x, y, z := q[0]/n, q[1]/n, q[2]/n, q[3]/n
	return [3][3]float64{
		{1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y)},
		{2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x)},
		{2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y)},
	}
}

// MatrixQuaternion is the unit quaternion w, x, y, z with w ≥ 0 of a rotation matrix. It divides by the largest of the
// four components, so that it is accurate for every rotation (Shepperd, J. Guidance and Control 1(3), 1978).
func MatrixQuaternion(m [3][3]float64) [4]float64 {
	trace := m[0][0] + m[1][1] + m[2][2]
	squares := [4]float64{trace, m[0][0], m[1][1], m[2][2]}
	largest := 0
	for i, s := range squares {
		if s > squares[largest] {
			largest = i
		}
	}
	var q [4]float64
	switch largest {
	case 0:
		q = [4]float64{1 + trace, m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]}
	case 1:
		q = [4]float64{m[2][1] - m[1][2], 1 + m[0][0] - m[1][1] - m[2][2], m[0][1] + m[1][0], m[0][2] + m[2][0]}
	case 2:
		q = [4]float64{m[0][2] - m[2][0], m[0][1] + m[1][0], 1 - m[0][0] + m[1][1] - m[2][2], m[1][2] + m[2][1]}
	case 3:
		q = [4]float64{m[1][0] - m[0][1], m[0][2] + m[2][0], m[1][2] + m[2][1], 1 - m[0][0] - m[1][1] + m[2][2]}
	}
	n := math.Sqrt(q[0]*q[0] + q[1]*q[1] + q[2]*q[2] + q[3]*q[3])
	if q[0] < 0 {
		n = -n
	}
	return [4]float64{q[0] / n, q[1] / n, q[2] / n, q[3] / n}
}

// RotationAngleDeg is the angle in degrees of the rotation aᵀ·b, that is, how far apart two rotations are.
func RotationAngleDeg(a, b [3][3]float64) float64 {
	// atan2 of the skew part and the trace is accurate near 0° and 180°, where acos of the trace is not.
	d := mulMat(transpose(a), b)
	skew := [3]float64{d[2][1] - d[1][2], d[0][2] - d[2][0], d[1][0] - d[0][1]}
	return math.Atan2(norm(skew), d[0][0]+d[1][1]+d[2][2]-1) * 180 / math.Pi
}

func mulVec(m [3][3]float64, v [3]float64) [3]float64 {
	var out [3]float64
	for i := range 3 {
		out[i] = m[i][0]*v[0] + m[i][1]*v[1] + m[i][2]*v[2]
	}
	return out
}

func mulMat(a, b [3][3]float64) [3][3]float64 {
	var out [3][3]float64
	for i := range 3 {
		for j := range 3 {
			out[i][j] = a[i][0]*b[0][j] + a[i][1]*b[1][j] + a[i][2]*b[2][j]
		}
	}
	return out
}

func transpose(m [3][3]float64) [3][3]float64 {
	return [3][3]float64{{m[0][0], m[1][0], m[2][0]}, {m[0][1], m[1][1], m[2][1]}, {m[0][2], m[1][2], m[2][2]}}
}

func determinant(m [3][3]float64) float64 {
	return m[0][0]*(m[1][1]*m[2][2]-m[1][2]*m[2][1]) -
		m[0][1]*(m[1][0]*m[2][2]-m[1][2]*m[2][0]) +
		m[0][2]*(m[1][0]*m[2][1]-m[1][1]*m[2][0])
}

func sub(a, b [3]float64) [3]float64 { return [3]float64{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func norm(v [3]float64) float64 { return math.Sqrt(v[0]*v[0] + v[1]*v[1] + v[2]*v[2]) }
