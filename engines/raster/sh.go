package raster

// The real spherical harmonics in the order and with the signs of the 3DGS reference (Sloan, "Stupid SH tricks").
const (
	sh0  = 0.28209479177387814
	sh1  = 0.4886025119029199
	sh2a = 1.0925484305920792
	sh2b = 0.31539156525252005
	sh2c = 0.5462742152960396
	sh3a = 0.5900435899266435
	sh3b = 2.890611442640554
	sh3c = 0.4570457994644658
	sh3d = 0.3731763325901154
	sh3e = 1.445305721320277
)

// shBasis evaluates the basis up to a degree at the unit vector (x, y, z). The rest of the array is zero.
func shBasis[F real](degree int, x, y, z F) (k [16]F) {
	k[0] = sh0
	if degree < 1 {
		return k
	}
	k[1], k[2], k[3] = -sh1*y, sh1*z, -sh1*x
	if degree < 2 {
		return k
	}
	xx, yy, zz := x*x, y*y, z*z
	k[4], k[5], k[6], k[7], k[8] = sh2a*x*y, -sh2a*y*z, sh2b*(2*zz-xx-yy), -sh2a*x*z, sh2c*(xx-yy)
	if degree < 3 {
		return k
	}
	k[9] = -sh3a * y * (3*xx - yy)
	k[10] = sh3b * x * y * z
	k[11] = -sh3c * y * (4*zz - xx - yy)
	k[12] = sh3d * z * (2*zz - 3*xx - 3*yy)
	k[13] = -sh3c * x * (4*zz - xx - yy)
	k[14] = sh3e * z * (xx - yy)
	k[15] = -sh3a * x * (xx - 3*yy)
	return k
}

// shBasisGradient differentiates the polynomials of shBasis by x, y and z, taken as independent.
func shBasisGradient[F real](degree int, x, y, z F) (d [16][3]F) {
	if degree < 1 {
		return d
	}
	d[1], d[2], d[3] = [3]F{0, -sh1, 0}, [3]F{0, 0, sh1}, [3]F{-sh1, 0, 0}
	if degree < 2 {
		return d
	}
	d[4] = [3]F{sh2a * y, sh2a * x, 0}
	d[5] = [3]F{0, -sh2a * z, -sh2a * y}
	d[6] = [3]F{-2 * sh2b * x, -2 * sh2b * y, 4 * sh2b * z}
	d[7] = [3]F{-sh2a * z, 0, -sh2a * x}
	d[8] = [3]F{2 * sh2c * x, -2 * sh2c * y, 0}
	if degree < 3 {
		return d
	}
	xx, yy, zz := x*x, y*y, z*z
	d[9] = [3]F{-6 * sh3a * x * y, -3 * sh3a * (xx - yy), 0}
	d[10] = [3]F{sh3b * y * z, sh3b * x * z, sh3b * x * y}
	d[11] = [3]F{2 * sh3c * x * y, -sh3c * (4*zz - xx - 3*yy), -8 * sh3c * y * z}
	d[12] = [3]F{-6 * sh3d * x * z, -6 * sh3d * y * z, sh3d * (6*zz - 3*xx - 3*yy)}
	d[13] = [3]F{-sh3c * (4*zz - 3*xx - yy), 2 * sh3c * x * y, -8 * sh3c * x * z}
	d[14] = [3]F{2 * sh3e * x * z, -2 * sh3e * y * z, sh3e * (xx - yy)}
	d[15] = [3]F{-3 * sh3a * (xx - yy), 6 * sh3a * x * y, 0}
	return d
}
