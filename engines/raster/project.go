package raster

import (
	"math"

	"github.com/splatworks/splatworks/engines/splat"
)

// Gaussian is one splat's raw parameters, or the gradient of a loss by them.
type Gaussian[F real] struct {
	Mean     [3]F
	LogScale [3]F
	Quat     [4]F // w x y z
	Opacity  F    // logit
	SH       [16][3]F
}

// projected is one Gaussian seen by one camera: what blending needs, and the intermediate values of the backward.
type projected[F real] struct {
	u, v, z       F    // screen mean in pixels, depth
	conicA        F    // inverse of the dilated covariance [[a b][b c]]: exponent = −½(A dx² + 2B dx dy + C dy²)
	conicB        F    //
	conicC        F    //
	opacity       F    // effective: o' = o·ρ
	color         [3]F // clamped at 0 from below
	extentX       F    // half sides, in pixels, of the box around the pixels that reach MinAlpha
	extentY       F    //
	p             [3]F // camera space
	tx, ty        F    // x/z and y/z, clamped
	inX, inY      bool // not clamped
	quat          [4]F // unit
	quatNorm      F
	rotation      [3][3]F // of the quaternion; columns are the local axes
	scale         [3]F
	r1, r2        [3]F // rows of J·R
	s1, s2        [3]F // Σ·r1, Σ·r2
	a0, b, c0     F    // covariance before dilation
	a, c          F    // and its diagonal after
	det, ratio    F    // of the dilated one; det0/det
	o, rho        F
	direction     [3]F // unit, from the camera centre to the mean
	distance      F
	colorPositive [3]bool
}

// project computes what one camera sees of one Gaussian. It reports false when nothing is seen: nearer than near, far
// outside the image, no direction in the quaternion, too faint, a degenerate covariance, or any value not finite.
//
//	x_c = R·p + t;  u = fx·x/z + cx;  v = fy·y/z + cy
//	Σ = M·Mᵀ with M = R(q)·diag(exp(log scale))
//	J = [[fx/z, 0, −fx·τx/z], [0, fy/z, −fy·τy/z]],  τ = (x/z, y/z) clamped to the image widened by 15 % a side
//	cov = J·R·Σ·Rᵀ·Jᵀ = [[a0 b][b c0]];  a = a0+κ, c = c0+κ, κ = 0.3 px²;  conic = cov⁻¹
//	Mip: o' = o·√max(det0/det, 2.5e-5);  Classic: o' = o
//
// Sources: Zwicker et al. 2001 (EWA splatting), Kerbl et al. 2023, Yu et al. 2024 (the opacity factor).
func project[F real](g *Gaussian[F], cam *view[F], mode splat.RenderMode, degree int, minAlpha F) (pr projected[F], ok bool) {
	pr.p = transform(&cam.r, g.Mean, cam.t)
	x, y, z := pr.p[0], pr.p[1], pr.p[2]
	if !(z >= cam.near) {
		return pr, false
	}
	pr.tx, pr.ty, pr.z = x/z, y/z, z
	if !(pr.tx >= cam.cullMin[0] && pr.tx <= cam.cullMax[0] && pr.ty >= cam.cullMin[1] && pr.ty <= cam.cullMax[1]) {
		return pr, false
	}
	pr.u, pr.v = cam.fx*pr.tx+cam.cx, cam.fy*pr.ty+cam.cy
	pr.tx, pr.inX = clamp(pr.tx, cam.clampMin[0], cam.clampMax[0])
	pr.ty, pr.inY = clamp(pr.ty, cam.clampMin[1], cam.clampMax[1])

	pr.o = 1 / (1 + exp(-g.Opacity))
	if !(pr.o >= minAlpha) {
		return pr, false
	}
	norm2 := g.Quat[0]*g.Quat[0] + g.Quat[1]*g.Quat[1] + g.Quat[2]*g.Quat[2] + g.Quat[3]*g.Quat[3]
	if !(norm2 >= minQuatNorm) {
		return pr, false
	}
	pr.quatNorm = sqrt(norm2)
	for i := range 4 {
		pr.quat[i] = g.Quat[i] / pr.quatNorm
	}
	pr.rotation = rotationOf(pr.quat)
	for i := range 3 {
		pr.scale[i] = exp(g.LogScale[i])
	}

	// Rows of J·R, then Σ·r through the local axes: Σ·r = Σ_k s_k²·e_k·(e_k·r).
	j11, j22 := cam.fx/z, cam.fy/z
	j13, j23 := -j11*pr.tx, -j22*pr.ty
	for i := range 3 {
		pr.r1[i] = j11*cam.r[0][i] + j13*cam.r[2][i]
		pr.r2[i] = j22*cam.r[1][i] + j23*cam.r[2][i]
	}
	for k := range 3 {
		e := [3]F{pr.rotation[0][k], pr.rotation[1][k], pr.rotation[2][k]}
		w := pr.scale[k] * pr.scale[k]
		d1, d2 := w*dot(e, pr.r1), w*dot(e, pr.r2)
		for i := range 3 {
			pr.s1[i] += e[i] * d1
			pr.s2[i] += e[i] * d2
		}
	}
	pr.a0, pr.b, pr.c0 = dot(pr.r1, pr.s1), dot(pr.r1, pr.s2), dot(pr.r2, pr.s2)
	pr.a, pr.c = pr.a0+Dilation, pr.c0+Dilation
	pr.det = pr.a*pr.c - pr.b*pr.b
	if !(pr.det >= minDet && pr.det <= math.MaxFloat32) {
		return pr, false
	}
	pr.conicA, pr.conicB, pr.conicC = pr.c/pr.det, -pr.b/pr.det, pr.a/pr.det
	pr.rho = 1
	if mode == splat.Mip {
		pr.ratio = (pr.a0*pr.c0 - pr.b*pr.b) / pr.det
		pr.rho = sqrt(max(pr.ratio, minRatio))
	}
	pr.opacity = pr.o * pr.rho
	if !pr.footprint(minAlpha) {
		return pr, false
	}
	pr.shade(g, cam, degree)
	return pr, pr.color[0]+pr.color[1]+pr.color[2] <= maxColor
}

// footprint finds the box around all pixels where o'·exp(−½q) ≥ minAlpha: q ≤ 2τ with τ = ln(o'/minAlpha), so the half
// sides are √(2τ·a) and √(2τ·c) (Hanson et al. 2024, "Speedy-Splat"). It reports false for a splat that reaches none.
func (pr *projected[F]) footprint(minAlpha F) bool {
	if minAlpha <= 0 {
		pr.extentX, pr.extentY = F(math.Inf(1)), F(math.Inf(1))
		return true
	}
	tau := F(math.Log(float64(pr.opacity / minAlpha)))
	if !(tau > 0) {
		return false
	}
	pr.extentX, pr.extentY = sqrt(2*tau*pr.a), sqrt(2*tau*pr.c)
	return true
}

// shade evaluates colour = max(0, ½ + Σ_k Y_k(d)·c_k), d the unit vector from the camera centre to the mean.
func (pr *projected[F]) shade(g *Gaussian[F], cam *view[F], degree int) {
	d := [3]F{g.Mean[0] - cam.center[0], g.Mean[1] - cam.center[1], g.Mean[2] - cam.center[2]}
	pr.distance = sqrt(dot(d, d))
	for i := range 3 {
		pr.direction[i] = d[i] / pr.distance
	}
	basis := shBasis(degree, pr.direction[0], pr.direction[1], pr.direction[2])
	for channel := range 3 {
		sum := F(0.5)
		for k := range (degree + 1) * (degree + 1) {
			sum += basis[k] * g.SH[k][channel]
		}
		pr.colorPositive[channel] = sum > 0
		pr.color[channel] = max(sum, 0)
	}
}

// screenGradient is ∂L by what blending used of one projected Gaussian.
type screenGradient[F real] struct {
	u, v                   F
	conicA, conicB, conicC F // B counted once: the exponent holds 2B dx dy
	opacity                F // effective
	color                  [3]F
	inverseDepth           F // ∂L/∂(1/z)
}

// Pose is ∂L by a small change of the camera, x_c' = exp(ω)·x_c + τ.
type Pose[F real] struct{ Omega, Tau [3]F }

// projectBackward takes the gradient from the screen to the Gaussian's raw parameters, and adds its part of the pose
// gradient to pose when that is not nil. The derivation is the chain rule over project; see the comments there.
func projectBackward[F real](g *Gaussian[F], cam *view[F], mode splat.RenderMode, degree int, pr *projected[F], d *screenGradient[F], pose *Pose[F]) (grad Gaussian[F]) {
	// Inverse of a symmetric 2×2: ∂L by the dilated covariance.
	a, b, c := pr.a, pr.b, pr.c
	det2 := 1 / (pr.det * pr.det)
	ga := (-c*c*d.conicA + b*c*d.conicB - b*b*d.conicC) * det2
	gb := (2*b*c*d.conicA - (a*c+b*b)*d.conicB + 2*a*b*d.conicC) * det2
	gc := (-b*b*d.conicA + a*b*d.conicB - a*a*d.conicC) * det2
	if mode == splat.Mip && pr.ratio > minRatio {
		// ρ = √r, r = det0/det. ∂r/∂a0 = (c0 − r·c)/det, and so on.
		dr := d.opacity * pr.o / (2 * pr.rho)
		ga += dr * (pr.c0 - pr.ratio*c) / pr.det
		gc += dr * (pr.a0 - pr.ratio*a) / pr.det
		gb -= 2 * b * (1 - pr.ratio) * dr / pr.det
	}
	grad.Opacity = d.opacity * pr.rho * pr.o * (1 - pr.o)

	// Rows of J·R, and through them J.
	var dr1, dr2 [3]F
	for i := range 3 {
		dr1[i] = 2*ga*pr.s1[i] + gb*pr.s2[i]
		dr2[i] = 2*gc*pr.s2[i] + gb*pr.s1[i]
	}
	dj11, dj13 := dot(dr1, cam.r[0]), dot(dr1, cam.r[2])
	dj22, dj23 := dot(dr2, cam.r[1]), dot(dr2, cam.r[2])

	// The mean in camera space: through u and v, through 1/z, through J.
	x, y, z := pr.p[0], pr.p[1], pr.p[2]
	fx, fy, z2 := cam.fx, cam.fy, z*z
	gx, gy := fx/z*d.u, fy/z*d.v
	gz := -fx*x/z2*d.u - fy*y/z2*d.v - d.inverseDepth/z2 - fx/z2*dj11 - fy/z2*dj22
	if pr.inX {
		gx -= fx / z2 * dj13
		gz += 2 * fx * x / (z2 * z) * dj13
	} else {
		gz += fx * pr.tx / z2 * dj13
	}
	if pr.inY {
		gy -= fy / z2 * dj23
		gz += 2 * fy * y / (z2 * z) * dj23
	} else {
		gz += fy * pr.ty / z2 * dj23
	}

	direction := pr.shadeBackward(g, degree, d.color, &grad)
	for i := range 3 {
		grad.Mean[i] = cam.r[0][i]*gx + cam.r[1][i]*gy + cam.r[2][i]*gz + direction[i]
	}
	pr.shapeBackward(ga, gb, gc, &grad)

	if pose != nil {
		j11, j22 := fx/z, fy/z
		j13, j23 := -j11*pr.tx, -j22*pr.ty
		omega := cross(pr.p, [3]F{gx, gy, gz})
		for col := range 3 {
			rotated := cross([3]F{cam.r[0][col], cam.r[1][col], cam.r[2][col]},
				[3]F{j11 * dr1[col], j22 * dr2[col], j13*dr1[col] + j23*dr2[col]})
			for i := range 3 {
				omega[i] += rotated[i]
			}
		}
		for i, gi := range [3]F{gx, gy, gz} {
			pose.Tau[i] += gi + dot(cam.r[i], direction)
			pose.Omega[i] += omega[i]
		}
	}
	return grad
}

// shadeBackward fills grad.SH and returns the part of ∂L/∂mean that goes through the view direction:
// (g − d(d·g))/‖p−C‖ with g = Σ_k (c_k·∂L/∂colour)·∇Y_k.
func (pr *projected[F]) shadeBackward(g *Gaussian[F], degree int, color [3]F, grad *Gaussian[F]) (direction [3]F) {
	for channel := range 3 {
		if !pr.colorPositive[channel] {
			color[channel] = 0
		}
	}
	d := pr.direction
	basis := shBasis(degree, d[0], d[1], d[2])
	slope := shBasisGradient(degree, d[0], d[1], d[2])
	var gd [3]F
	for k := range (degree + 1) * (degree + 1) {
		for channel := range 3 {
			grad.SH[k][channel] = basis[k] * color[channel]
		}
		weight := dot(g.SH[k], color)
		for i := range 3 {
			gd[i] += weight * slope[k][i]
		}
	}
	along := dot(d, gd)
	for i := range 3 {
		direction[i] = (gd[i] - d[i]*along) / pr.distance
	}
	return direction
}

// shapeBackward takes ∂L by the covariance's entries to log scales and quaternion. With
// G = ga·r1r1ᵀ + ½gb(r1r2ᵀ + r2r1ᵀ) + gc·r2r2ᵀ and e_k the local axes: ∂L/∂ls_k = 2s_k²·e_kᵀGe_k, and column k of
// ∂L/∂R(q) is 2s_k²·Ge_k.
func (pr *projected[F]) shapeBackward(ga, gb, gc F, grad *Gaussian[F]) {
	var dR [3][3]F
	for k := range 3 {
		e := [3]F{pr.rotation[0][k], pr.rotation[1][k], pr.rotation[2][k]}
		d1, d2 := dot(e, pr.r1), dot(e, pr.r2)
		w := 2 * pr.scale[k] * pr.scale[k]
		f1, f2 := w*(ga*d1+gb*d2/2), w*(gc*d2+gb*d1/2)
		grad.LogScale[k] = f1*d1 + f2*d2
		for i := range 3 {
			dR[i][k] = f1*pr.r1[i] + f2*pr.r2[i]
		}
	}
	w, x, y, z := pr.quat[0], pr.quat[1], pr.quat[2], pr.quat[3]
	dq := [4]F{
		2 * (x*(dR[2][1]-dR[1][2]) + y*(dR[0][2]-dR[2][0]) + z*(dR[1][0]-dR[0][1])),
		2 * (-2*x*(dR[1][1]+dR[2][2]) + y*(dR[0][1]+dR[1][0]) + z*(dR[0][2]+dR[2][0]) + w*(dR[2][1]-dR[1][2])),
		2 * (x*(dR[0][1]+dR[1][0]) - 2*y*(dR[0][0]+dR[2][2]) + z*(dR[1][2]+dR[2][1]) + w*(dR[0][2]-dR[2][0])),
		2 * (x*(dR[0][2]+dR[2][0]) + y*(dR[1][2]+dR[2][1]) - 2*z*(dR[0][0]+dR[1][1]) + w*(dR[1][0]-dR[0][1])),
	}
	along := w*dq[0] + x*dq[1] + y*dq[2] + z*dq[3]
	for i := range 4 {
		grad.Quat[i] = (dq[i] - pr.quat[i]*along) / pr.quatNorm
	}
}

func transform[F real](r *[3][3]F, p, t [3]F) (q [3]F) {
	for i := range 3 {
		q[i] = r[i][0]*p[0] + r[i][1]*p[1] + r[i][2]*p[2] + t[i]
	}
	return q
}

// clamp also says whether x was inside already.
func clamp[F real](x, low, high F) (F, bool) {
	if x < low {
		return low, false
	}
	if x > high {
		return high, false
	}
	return x, true
}

func dot[F real](a, b [3]F) F { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross[F real](a, b [3]F) [3]F {
	return [3]F{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

// rotationOf is the matrix of a unit quaternion w, x, y, z.
func rotationOf[F real](q [4]F) [3][3]F {
	w, x, y, z := q[0], q[1], q[2], q[3]
	return [3][3]F{
		{1 - 2*(y*y+z*z), 2 * (x*y - w*z), 2 * (x*z + w*y)},
		{2 * (x*y + w*z), 1 - 2*(x*x+z*z), 2 * (y*z - w*x)},
		{2 * (x*z - w*y), 2 * (y*z + w*x), 1 - 2*(x*x+y*y)},
	}
}
