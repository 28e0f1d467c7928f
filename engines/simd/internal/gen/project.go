package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Byte offsets in View.
const (
	viewR, viewT, viewCenter             = 0, 36, 48
	viewFX, viewFY, viewCX, viewCY       = 60, 64, 68, 72
	viewNear                             = 76
	viewClampMin, viewClampMax           = 80, 88
	viewCullMin, viewCullMax             = 96, 104
	viewMip                              = 112
	dilation, minDet, minRatio, minQuat2 = 0.3, 1e-6, 2.5e-5, 1e-8
)

// Rows of a group.
const rowMean, rowScale, rowRotation, rowOpacity, rowDC = 0, 3, 6, 10, 11

// projection writes one width's projectGroup and backwardGroup. The formulas are those of package raster's reference; the
// covariance is taken through the Gaussian's axes e_k, with d1 = e_k·r1, d2 = e_k·r2, which also gives the undilated
// determinant as a sum of squares, where a0·c0 - b² would cancel.
func projection(lanes int) {
	suffix := map[int]string{16: "AVX512", 8: "AVX2"}[lanes]
	projectGroup(lanes, "projectGroup"+suffix)
	backwardGroup(lanes, "backwardGroup"+suffix)
}

// projector is the geometry of one register's Gaussians, as values.
type projector struct {
	v           *vec
	group, view Register
	x, y, z     *value // camera space
	invZ        *value
	tx, ty      *value    // x/z, y/z
	cx, cy      *value    // clamped
	inX, inY    *value    // masks: not clamped
	o           *value    // opacity
	q           [4]*value // unit
	norm2, invN *value
	e           [3][3]*value // columns of the rotation: e[k][i]
	s2          [3]*value    // squared scales
	j11, j22    *value
	j13, j23    *value
	r1, r2      [3]*value
	d1, d2      [3]*value
	cross       [3]*value // d1[k]·d2[k+1] - d1[k+1]·d2[k]
	a0, b, c0   *value
	a, c        *value
	det         *value
	invDet      *value
	ratio, rho  *value
	opacity     *value
	log2Opacity *value
	visible     *value // mask
}

func (p *projector) row(k int) *value { return p.v.load(Mem{Base: p.group, Disp: 64 * k}) }
func (p *projector) cam(disp int) *value {
	return p.v.scalar(Mem{Base: p.view, Disp: disp})
}

func newProjector(v *vec, group, view Register) *projector {
	p := &projector{v: v, group: group, view: view}
	one := v.konst(1)
	var xyz [3]*value
	for i := range 3 {
		t := p.cam(viewT + 4*i)
		for j := range 3 {
			t = v.fma(p.row(rowMean+j), p.cam(viewR+12*i+4*j), t)
		}
		xyz[i] = t
	}
	p.x, p.y, p.z = xyz[0], xyz[1], xyz[2]
	p.invZ = v.div(one, p.z)
	p.tx, p.ty = v.mul(p.x, p.invZ), v.mul(p.y, p.invZ)
	inside := v.cmp(geOS, p.z, p.cam(viewNear))
	for axis, t := range []*value{p.tx, p.ty} {
		inside = v.both(inside, v.cmp(geOS, t, p.cam(viewCullMin+4*axis)))
		inside = v.both(inside, v.cmp(leOS, t, p.cam(viewCullMax+4*axis)))
	}
	p.cx = v.max(v.min(p.tx, p.cam(viewClampMax)), p.cam(viewClampMin))
	p.cy = v.max(v.min(p.ty, p.cam(viewClampMax+4)), p.cam(viewClampMin+4))

	p.o = v.div(one, v.add(one, v.exp(p.row(rowOpacity), -1)))
	inside = v.both(inside, v.cmp(geOS, p.o, v.konst(1.0/255)))

	for i := range 4 {
		p.q[i] = p.row(rowRotation + i)
	}
	p.norm2 = v.dot(p.q[:], p.q[:])
	inside = v.both(inside, v.cmp(geOS, p.norm2, v.konst(minQuat2)))
	p.invN = v.div(one, v.sqrt(p.norm2))
	for i := range 4 {
		p.q[i] = v.mul(p.q[i], p.invN)
	}
	w, x, y, z := p.q[0], p.q[1], p.q[2], p.q[3]
	x2, y2, z2 := v.add(x, x), v.add(y, y), v.add(z, z)
	xx, yy, zz := v.mul(x, x2), v.mul(y, y2), v.mul(z, z2)
	p.e[0][0], p.e[1][1], p.e[2][2] = v.sub(v.sub(one, yy), zz), v.sub(v.sub(one, xx), zz), v.sub(v.sub(one, xx), yy)
	xy, xz, yz := v.mul(x, y2), v.mul(x, z2), v.mul(y, z2)
	p.e[1][0], p.e[0][1] = v.fnma(w, z2, xy), v.fma(w, z2, xy)
	p.e[2][0], p.e[0][2] = v.fma(w, y2, xz), v.fnma(w, y2, xz)
	p.e[2][1], p.e[1][2] = v.fnma(w, x2, yz), v.fma(w, x2, yz)

	p.j11, p.j22 = v.mul(p.cam(viewFX), p.invZ), v.mul(p.cam(viewFY), p.invZ)
	p.j13, p.j23 = v.neg(v.mul(p.j11, p.cx)), v.neg(v.mul(p.j22, p.cy))
	for i := range 3 {
		p.r1[i] = v.fma(p.j13, p.cam(viewR+24+4*i), v.mul(p.j11, p.cam(viewR+4*i)))
		p.r2[i] = v.fma(p.j23, p.cam(viewR+24+4*i), v.mul(p.j22, p.cam(viewR+12+4*i)))
	}
	var w1, w2 [3]*value
	for k := range 3 {
		inside = v.both(inside, v.cmp(leOS, p.row(rowScale+k), v.konst(43))) // exp(2·43) is near the largest float32
		p.s2[k] = v.exp(p.row(rowScale+k), 2)
		p.d1[k], p.d2[k] = v.dot(p.e[k][:], p.r1[:]), v.dot(p.e[k][:], p.r2[:])
		w1[k], w2[k] = v.mul(p.s2[k], p.d1[k]), v.mul(p.s2[k], p.d2[k])
	}
	p.a0, p.b, p.c0 = v.dot(w1[:], p.d1[:]), v.dot(w1[:], p.d2[:]), v.dot(w2[:], p.d2[:])
	p.a, p.c = v.add(p.a0, v.konst(dilation)), v.add(p.c0, v.konst(dilation))
	var det0 *value
	for k := range 3 {
		l := (k + 1) % 3
		p.cross[k] = v.fms(p.d1[k], p.d2[l], v.mul(p.d1[l], p.d2[k]))
		term := v.mul(v.mul(p.s2[k], p.s2[l]), v.mul(p.cross[k], p.cross[k]))
		if det0 == nil {
			det0 = term
		} else {
			det0 = v.add(det0, term)
		}
	}
	p.det = v.fma(v.konst(dilation), v.add(p.a0, p.c), det0)
	inside = v.both(inside, v.cmp(geOS, p.det, v.konst(minDet)))
	inside = v.both(inside, v.cmp(leOS, p.det, v.konst(math.MaxFloat32)))
	p.invDet = v.div(one, p.det)
	p.ratio = v.mul(det0, p.invDet)
	mip := v.cmp(gtOS, p.cam(viewMip), v.konst(0))
	p.rho = v.pick(mip, v.sqrt(v.max(p.ratio, v.konst(minRatio))), one)
	p.opacity = v.mul(p.o, p.rho)
	p.visible = inside
	return p
}

// direction is the unit vector from the camera's centre to the mean, and 1/distance.
func direction(v *vec, group, view Register) (d [3]*value, inv *value) {
	for i := range 3 {
		d[i] = v.sub(v.load(Mem{Base: group, Disp: 64 * (rowMean + i)}), v.scalar(Mem{Base: view, Disp: viewCenter + 4*i}))
	}
	inv = v.div(v.konst(1), v.sqrt(v.dot(d[:], d[:])))
	for i := range 3 {
		d[i] = v.mul(d[i], inv)
	}
	return d, inv
}

// Constants of the spherical harmonics (raster's sh.go).
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

// basis returns the functions of one degree.
func basis(v *vec, degree int, d [3]*value) []*value {
	x, y, z := d[0], d[1], d[2]
	times := func(c float64, f *value) *value { return v.mul(f, v.konst(c)) }
	switch degree {
	case 0:
		return []*value{v.konst(sh0)}
	case 1:
		return []*value{times(-sh1, y), times(sh1, z), times(-sh1, x)}
	}
	xx, yy, zz := v.mul(x, x), v.mul(y, y), v.mul(z, z)
	sum, diff := v.add(xx, yy), v.sub(xx, yy)
	if degree == 2 {
		return []*value{
			times(sh2a, v.mul(x, y)), times(-sh2a, v.mul(y, z)), times(sh2b, v.sub(v.add(zz, zz), sum)),
			times(-sh2a, v.mul(x, z)), times(sh2c, diff),
		}
	}
	four := v.fms(v.konst(4), zz, sum) // 4zz - xx - yy
	return []*value{
		times(-sh3a, v.mul(y, v.fms(v.konst(3), xx, yy))),
		times(sh3b, v.mul(v.mul(x, y), z)),
		times(-sh3c, v.mul(y, four)),
		times(sh3d, v.mul(z, v.fma(v.konst(-3), sum, v.add(zz, zz)))),
		times(-sh3c, v.mul(x, four)),
		times(sh3e, v.mul(z, diff)),
		times(-sh3a, v.mul(x, v.fnma(v.konst(3), yy, xx))),
	}
}

// slopes returns the derivatives of the functions of one degree, nil for 0.
func slopes(v *vec, degree int, d [3]*value) [][3]*value {
	x, y, z := d[0], d[1], d[2]
	times := func(c float64, f *value) *value { return v.mul(f, v.konst(c)) }
	k := v.konst
	switch degree {
	case 1:
		return [][3]*value{{nil, k(-sh1), nil}, {nil, nil, k(sh1)}, {k(-sh1), nil, nil}}
	case 2:
		ax, ay, az := times(sh2a, x), times(sh2a, y), times(sh2a, z)
		return [][3]*value{
			{ay, ax, nil},
			{nil, v.neg(az), v.neg(ay)},
			{times(-2*sh2b, x), times(-2*sh2b, y), times(4*sh2b, z)},
			{v.neg(az), nil, v.neg(ax)},
			{times(2*sh2c, x), times(-2*sh2c, y), nil},
		}
	}
	xx, yy, zz := v.mul(x, x), v.mul(y, y), v.mul(z, z)
	xy, xz, yz := v.mul(x, y), v.mul(x, z), v.mul(y, z)
	diff := v.sub(xx, yy)
	four := v.mul(k(4), zz)
	return [][3]*value{
		{times(-6*sh3a, xy), times(-3*sh3a, diff), nil},
		{times(sh3b, yz), times(sh3b, xz), times(sh3b, xy)},
		{times(2*sh3c, xy), times(-sh3c, v.fnma(k(3), yy, v.sub(four, xx))), times(-8*sh3c, yz)},
		{times(-6*sh3d, xz), times(-6*sh3d, yz), times(3*sh3d, v.sub(v.add(zz, zz), v.add(xx, yy)))},
		{times(-sh3c, v.fnma(k(3), xx, v.sub(four, yy))), times(2*sh3c, xy), times(-8*sh3c, xz)},
		{times(2*sh3e, xz), times(-2*sh3e, yz), times(sh3e, diff)},
		{times(-3*sh3a, diff), times(6*sh3a, xy), nil},
	}
}

// firstOf is the first coefficient of a degree.
func firstOf(degree int) int { return degree * degree }

// projectGroup projects the first lanes Gaussians of a group; the Go side calls it twice for a group in AVX2.
func projectGroup(lanes int, name string) {
	TEXT(name, 0, "func(view, group *float32, degree uint64, id uint32, splats *float32) uint32")
	Pragma("noescape")
	Doc(name + " is Kernels.ProjectGroup for as many Gaussians as the register has lanes.")
	view, group, splats := pointer("view"), pointer("group"), pointer("splats")
	const idRow, directionRow = 16, 17
	rows := aligned(20 * 4 * lanes)
	v := newVec(lanes, 48)
	out := func(row int) Mem { return Mem{Base: rows, Disp: row * v.bytes()} }
	id := Load(Param("id"), GP32())
	MOVL(id, out(idRow))
	iota := GLOBL(name+"_iota", rodataFlags)
	for l := range lanes {
		DATA(4*l, U32(uint32(l)))
	}

	p := newProjector(v, group, view)
	l := v.log2(p.opacity)
	tau2 := v.mul(v.sub(l, v.konst(log2MinAlpha)), v.konst(2*math.Ln2))
	visible := GP32()
	v.maskBits(v.both(p.visible, v.cmp(gtOS, tau2, v.konst(0))), visible)
	v.store(v.fma(p.cam(viewFX), p.tx, p.cam(viewCX)), out(0))
	v.store(v.fma(p.cam(viewFY), p.ty, p.cam(viewCY)), out(1))
	v.store(v.mul(p.c, v.mul(p.invDet, v.konst(-0.5*math.Log2E))), out(2))
	v.store(v.mul(p.b, v.mul(p.invDet, v.konst(math.Log2E))), out(3))
	v.store(v.mul(p.a, v.mul(p.invDet, v.konst(-0.5*math.Log2E))), out(4))
	v.store(l, out(5))
	v.store(p.invZ, out(9))
	v.store(v.div(p.b, p.a), out(10))
	v.store(v.div(p.b, p.c), out(11))
	v.store(v.sqrt(v.mul(tau2, p.a)), out(12))
	v.store(v.sqrt(v.mul(tau2, p.c)), out(13))
	v.store(p.z, out(14))
	v.store(v.addInt(v.load(iota), v.scalar(out(idRow))), out(15))
	v.flush()
	TESTL(visible, visible)
	JZ(LabelRef("return"))

	// Colour, degree by degree.
	degree := pointer("degree")
	coefficient := func(k, channel int) *value {
		return v.load(Mem{Base: group, Disp: 64 * (rowDC + 3*k + channel)})
	}
	for c := range 3 {
		v.store(v.fma(v.konst(sh0), coefficient(0, c), v.konst(0.5)), out(6+c))
	}
	v.flush()
	TESTQ(degree, degree)
	JZ(LabelRef("shaded"))
	d, _ := direction(v, group, view)
	for i := range 3 {
		v.store(d[i], out(directionRow+i))
	}
	v.flush()
	for deg := 1; deg <= 3; deg++ {
		y := basis(v, deg, [3]*value{v.load(out(directionRow)), v.load(out(directionRow + 1)), v.load(out(directionRow + 2))})
		for c := range 3 {
			sum := v.load(out(6 + c))
			for k := range y {
				sum = v.fma(y[k], coefficient(firstOf(deg)+k, c), sum)
			}
			v.store(sum, out(6+c))
		}
		v.flush()
		if deg < 3 {
			CMPQ(degree, Imm(uint64(deg)))
			JE(LabelRef("shaded"))
		}
	}
	Label("shaded")
	for c := range 3 {
		v.store(v.max(v.load(out(6+c)), v.konst(0)), out(6+c))
	}
	v.flush()

	// Rows to records.
	if lanes == 16 {
		transpose16(func(i int) Mem { return out(i) }, func(i int) Mem { return Mem{Base: splats, Disp: 64 * i} }, 16)
	} else {
		for half := range 2 {
			transpose8(func(i int) Mem { return out(8*half + i) }, func(i int) Mem { return Mem{Base: splats, Disp: 64*i + 32*half} }, 8)
		}
	}
	Label("return")
	VZEROUPPER()
	Store(visible, ReturnIndex(0))
	RET()
}
