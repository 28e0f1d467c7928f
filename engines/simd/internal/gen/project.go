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

// exp is e^(factor·x), within the range of float32.
func (v *vec) exp(x *value, factor float64) *value {
	e := v.mul(x, v.konst(factor*math.Log2E))
	return v.exp2(v.max(v.min(e, v.konst(126)), v.konst(-126)), exp2Fine...)
}

// log2 of a positive number: the exponent, and for a mantissa m within sqrt(1/2) ... sqrt(2) the series of
// 2·atanh((m-1)/(m+1)) as far as its 7th power, 1e-8.
func (v *vec) log2(x *value) *value {
	e := v.shiftRight(v.subInt(x, v.bits(0x3f3504f3)), 23)
	m := v.subInt(x, v.shiftLeft(e, 23))
	one := v.konst(1)
	f := v.div(v.sub(m, one), v.add(m, one))
	c := func(i float64) float64 { return 2 / (math.Ln2 * i) }
	return v.fma(f, v.poly(v.mul(f, f), c(1), c(3), c(5), c(7)), v.toFloat(e))
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

// transpose16 writes the columns of a 16x16 matrix as rows, the first n of them.
func transpose16(from, to func(i int) Mem, n int) {
	for i := range 16 {
		VMOVUPS(from(i), zmm[i])
	}
	// 2x2 of floats, 2x2 of pairs, 2x2 of quarters, 2x2 of halves.
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(zmm[i+1], zmm[i], zmm[16+i])
		VUNPCKHPS(zmm[i+1], zmm[i], zmm[17+i])
	}
	for i := 0; i < 16; i += 4 {
		VUNPCKLPD(zmm[18+i], zmm[16+i], zmm[i])
		VUNPCKHPD(zmm[18+i], zmm[16+i], zmm[i+1])
		VUNPCKLPD(zmm[19+i], zmm[17+i], zmm[i+2])
		VUNPCKHPD(zmm[19+i], zmm[17+i], zmm[i+3])
	}
	// Register 4g+c holds, in quarter q, rows 4g..4g+3 of column 4q+c.
	for c := range 4 {
		a, b, d, e := zmm[c], zmm[4+c], zmm[8+c], zmm[12+c]
		VSHUFF32X4(Imm(0x88), b, a, Z16) // a0 a2 b0 b2
		VSHUFF32X4(Imm(0xdd), b, a, Z17) // a1 a3 b1 b3
		VSHUFF32X4(Imm(0x88), e, d, Z18)
		VSHUFF32X4(Imm(0xdd), e, d, Z19)
		for q, s := range []struct {
			imm  uint64
			x, y VecPhysical
		}{{0x88, Z16, Z18}, {0x88, Z17, Z19}, {0xdd, Z16, Z18}, {0xdd, Z17, Z19}} {
			if col := 4*q + c; col < n {
				VSHUFF32X4(Imm(s.imm), s.y, s.x, Z20)
				VMOVUPS(Z20, to(col))
			}
		}
	}
}

// transpose8 writes the columns of an 8x8 matrix as rows, the first n of them.
func transpose8(from, to func(i int) Mem, n int) {
	for i := range 8 {
		VMOVUPS(from(i), ymm[i])
	}
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(ymm[i+1], ymm[i], ymm[8+i])
		VUNPCKHPS(ymm[i+1], ymm[i], ymm[9+i])
	}
	for i := 0; i < 8; i += 4 {
		VUNPCKLPD(ymm[10+i], ymm[8+i], ymm[i])
		VUNPCKHPD(ymm[10+i], ymm[8+i], ymm[i+1])
		VUNPCKLPD(ymm[11+i], ymm[9+i], ymm[i+2])
		VUNPCKHPD(ymm[11+i], ymm[9+i], ymm[i+3])
	}
	// Register 4g+c holds, in half q, rows 4g..4g+3 of column 4q+c.
	for c := range 4 {
		for q, imm := range []uint64{0x20, 0x31} {
			if col := 4*q + c; col < n {
				VPERM2F128(Imm(imm), ymm[4+c], ymm[c], Y8)
				VMOVUPS(Y8, to(col))
			}
		}
	}
}

// backwardGroup differentiates projectGroup, summing the gradient slots of each Gaussian first.
func backwardGroup(lanes int, name string) {
	TEXT(name, 0, "func(view, group *float32, degree uint64, visible uint32, splats, grads *float32, slots, counts *uint32, rows, screen *float32)")
	Pragma("noescape")
	Doc(name + " is Kernels.BackwardGroup for as many Gaussians as the register has lanes.")
	const sumRow, maskRow, directionRow, slopeRow = 16, 28, 29, 33
	scr := aligned(36 * 4 * lanes)
	v := newVec(lanes, 110)
	at := func(row int) Mem { return Mem{Base: scr, Disp: row * v.bytes()} }

	// Sums of the slots, a record of 16 floats for each lane. A colour that was clamped to 0 passes no gradient: the
	// colours are elements 6, 7 and 8 of both Splat and Grad.
	{
		splats, grads, slots, counts := pointer("splats"), pointer("grads"), pointer("slots"), pointer("counts")
		bits := Load(Param("visible"), GP32())
		record, lane, slot, count := GP64(), GP64(), GP64(), GP64()
		MOVQ(scr, record)
		XORQ(lane, lane)
		if lanes == 16 {
			t := GP32()
			MOVL(U32(0x0fff), t)
			KMOVW(t, K1)
			MOVL(U32(0xfe3f), t)
			KMOVW(t, K3)
		}
		free := GLOBL(name+"_free", rodataFlags)
		for i := range 12 {
			DATA(4*i, U32(map[bool]uint32{true: 0xffffffff}[i < 6 || i > 8]))
		}
		Label("lane")
		VXORPS(Y0, Y0, Y0)
		VXORPS(X1, X1, X1)
		BTL(lane.As32(), bits)
		JCC(LabelRef("summed"))
		MOVL(Mem{Base: slots, Index: lane, Scale: 4}, slot.As32())
		MOVL(Mem{Base: counts, Index: lane, Scale: 4}, count.As32())
		LEAQ(Mem{Base: slot, Index: slot, Scale: 2}, slot)
		SHLQ(Imm(4), slot)
		ADDQ(grads, slot)
		TESTL(count.As32(), count.As32())
		JZ(LabelRef("summed"))
		Label("slot")
		if lanes == 16 {
			VADDPS(Mem{Base: slot}, Z0, K1, Z0)
		} else {
			VADDPS(Mem{Base: slot}, Y0, Y0)
			VADDPS(Mem{Base: slot, Disp: 32}, X1, X1)
		}
		ADDQ(Imm(48), slot)
		DECL(count.As32())
		JNZ(LabelRef("slot"))
		if lanes == 16 {
			VXORPS(X2, X2, X2)
			VMOVUPS(Mem{Base: splats}, Z3)
			VCMPPS(gtOS, Z2, Z3, K2)
			KORW(K2, K3, K2)
			VMOVAPS_Z(Z0, K2, Z0)
		} else {
			VXORPS(Y2, Y2, Y2)
			VMOVUPS(Mem{Base: splats}, Y3)
			VCMPPS(gtOS, Y2, Y3, Y3)
			VORPS(free, Y3, Y3)
			VANDPS(Y3, Y0, Y0)
			VMOVUPS(Mem{Base: splats, Disp: 32}, X3)
			VCMPPS(gtOS, X2, X3, X3)
			VORPS(free.Offset(32), X3, X3)
			VANDPS(X3, X1, X1)
		}
		Label("summed")
		if lanes == 16 {
			VMOVUPS(Z0, Mem{Base: record})
		} else {
			VMOVUPS(Y0, Mem{Base: record})
			VMOVUPS(X1, Mem{Base: record, Disp: 32})
		}
		ADDQ(Imm(64), record)
		ADDQ(Imm(64), splats)
		INCQ(lane)
		CMPQ(lane, Imm(uint64(lanes)))
		JB(LabelRef("lane"))
	}
	if lanes == 16 {
		transpose16(func(i int) Mem { return Mem{Base: scr, Disp: 64 * i} }, func(i int) Mem { return at(sumRow + i) }, 12)
	} else {
		for half, n := range []int{8, 4} {
			transpose8(func(i int) Mem { return Mem{Base: scr, Disp: 64*i + 32*half} }, func(i int) Mem { return at(sumRow + 8*half + i) }, n)
		}
	}

	view, group, degree, rows, screen := pointer("view"), pointer("group"), pointer("degree"), pointer("rows"), pointer("screen")
	bits := Load(Param("visible"), GP32())
	out := func(row int) Mem { return Mem{Base: rows, Disp: 64 * row} }
	sum := func(i int) *value { return v.load(at(sumRow + i)) }
	lanesSet := laneMask(v, bits, at(maskRow), name)

	// Geometry. Afterwards the mean's gradient lacks what comes through the view direction.
	p := newProjector(v, group, view)
	half := v.konst(0.5)
	keep := func(x *value) *value { return v.keep(lanesSet(), x) }
	h, hx, hy := sum(0), sum(1), sum(2)
	A, B, C := v.mul(p.c, p.invDet), v.neg(v.mul(p.b, p.invDet)), v.mul(p.a, p.invDet)
	du, dv := keep(v.fma(A, hx, v.mul(B, hy))), keep(v.fma(B, hx, v.mul(C, hy)))
	v.store(du, Mem{Base: screen})
	v.store(dv, Mem{Base: screen, Disp: 64})
	v.store(sum(10), Mem{Base: screen, Disp: 128})
	v.store(sum(11), Mem{Base: screen, Disp: 192})

	v.store(keep(v.fnma(h, p.o, h)), out(rowOpacity)) // H·(1-o)

	// Mip's factor: rho² = ratio = det0/det with d ratio = ((1-ratio)·d det0 - ratio·dilation·d(a0+c0))/det, and dL/dratio =
	// H/(2·ratio).
	mip := v.both(v.cmp(gtOS, p.cam(viewMip), v.konst(0)), v.cmp(gtOS, p.ratio, v.konst(minRatio)))
	mipE := v.keep(mip, v.mul(v.mul(h, v.konst(dilation/2)), p.invDet))
	mipD := v.keep(mip, v.div(v.mul(mipE, v.mul(v.add(p.a0, p.c), p.invDet)), p.ratio))

	// f1 = dL/dd1, f2 = dL/dd2 for each axis k, through the covariance and its undilated determinant. Per unit of 2·s²,
	//
	//	P·m·P·d + D·(y1, y2) - E·d,  y1 = sum over l of s_l²·cross_kl·d2_l,  y2 = -sum over l of s_l²·cross_kl·d1_l
	//
	// where P is the conic, m half the second moments (its derivative, negated), and P·d = (dilation·d + y)/det: written
	// so, nothing cancels for needles, for which the covariance's entries are large and its determinant is not.
	mA, mB, mC := v.mul(half, sum(3)), v.mul(half, sum(4)), v.mul(half, sum(5))
	var f1, f2 [3]*value
	for k := range 3 {
		l, m := (k+1)%3, (k+2)%3
		wl, wm := v.mul(p.s2[l], p.cross[k]), v.mul(p.s2[m], p.cross[m]) // cross_km = -cross[m]
		y1 := v.fms(wl, p.d2[l], v.mul(wm, p.d2[m]))
		y2 := v.fms(wm, p.d1[m], v.mul(wl, p.d1[l]))
		v1 := v.mul(p.invDet, v.fma(v.konst(dilation), p.d1[k], y1))
		v2 := v.mul(p.invDet, v.fma(v.konst(dilation), p.d2[k], y2))
		t1, t2 := v.fma(mA, v1, v.mul(mB, v2)), v.fma(mB, v1, v.mul(mC, v2))
		u1, u2 := v.fma(A, t1, v.mul(B, t2)), v.fma(B, t1, v.mul(C, t2))
		u1, u2 = v.fnma(mipE, p.d1[k], u1), v.fnma(mipE, p.d2[k], u2)
		u1, u2 = v.fma(mipD, y1, u1), v.fma(mipD, y2, u2)
		s := v.add(p.s2[k], p.s2[k])
		f1[k], f2[k] = v.mul(s, u1), v.mul(s, u2)
		v.store(keep(v.fma(f1[k], p.d1[k], v.mul(f2[k], p.d2[k]))), out(rowScale+k))
	}

	// Rows of J·R, and through them J.
	var dr1, dr2 [3]*value
	for i := range 3 {
		axes := []*value{p.e[0][i], p.e[1][i], p.e[2][i]}
		dr1[i], dr2[i] = v.dot(axes, f1[:]), v.dot(axes, f2[:])
	}
	R := func(i int) []*value {
		return []*value{p.cam(viewR + 12*i), p.cam(viewR + 12*i + 4), p.cam(viewR + 12*i + 8)}
	}
	dj11, dj13 := v.dot(dr1[:], R(0)), v.dot(dr1[:], R(2))
	dj22, dj23 := v.dot(dr2[:], R(1)), v.dot(dr2[:], R(2))

	// The mean in camera space: through u and v, through 1/z, through J.
	jx, jy := v.mul(p.j11, p.invZ), v.mul(p.j22, p.invZ) // f/z²
	gx, gy := v.mul(p.j11, du), v.mul(p.j22, dv)
	gz := v.neg(v.mul(v.mul(p.invZ, p.invZ), sum(9)))
	gz = v.fnma(gx, p.tx, gz)
	gz = v.fnma(gy, p.ty, gz)
	for _, axis := range []struct {
		j, t, clamped, d1, d3 *value
		g                     **value
	}{{jx, p.tx, p.cx, dj11, dj13, &gx}, {jy, p.ty, p.cy, dj22, dj23, &gy}} {
		inside := v.cmp(eqOQ, axis.t, axis.clamped)
		d3 := v.mul(axis.j, axis.d3)
		gz = v.fnma(axis.j, axis.d1, gz)
		gz = v.fma(d3, v.add(axis.clamped, v.keep(inside, axis.clamped)), gz)
		*axis.g = v.sub(*axis.g, v.keep(inside, d3))
	}
	for i := range 3 {
		g := v.mul(gx, p.cam(viewR+4*i))
		g = v.fma(gy, p.cam(viewR+12+4*i), g)
		v.store(keep(v.fma(gz, p.cam(viewR+24+4*i), g)), out(rowMean+i))
	}

	// The rotation.
	var dR [3][3]*value // row, column
	for k := range 3 {
		for i := range 3 {
			dR[i][k] = v.fma(f1[k], p.r1[i], v.mul(f2[k], p.r2[i]))
		}
	}
	w, x, y, z := p.q[0], p.q[1], p.q[2], p.q[3]
	minus := func(i, j int) *value { return v.sub(dR[i][j], dR[j][i]) }
	plus := func(i, j int) *value { return v.add(dR[i][j], dR[j][i]) }
	twice := func(i, j int) *value { s := v.add(dR[i][i], dR[j][j]); return v.neg(v.add(s, s)) }
	m21, m02, m10 := minus(2, 1), minus(0, 2), minus(1, 0)
	p01, p02, p12 := plus(0, 1), plus(0, 2), plus(1, 2)
	dq := []*value{ // half of the derivative
		v.dot([]*value{x, y, z}, []*value{m21, m02, m10}),
		v.dot([]*value{x, y, z, w}, []*value{twice(1, 2), p01, p02, m21}),
		v.dot([]*value{x, y, z, w}, []*value{p01, twice(0, 2), p12, m02}),
		v.dot([]*value{x, y, z, w}, []*value{p02, p12, twice(0, 1), m10}),
	}
	along := v.dot(p.q[:], dq)
	scale := v.add(p.invN, p.invN)
	for i := range 4 {
		v.store(keep(v.mul(v.fnma(p.q[i], along, dq[i]), scale)), out(rowRotation+i))
	}
	v.flush()

	// Colour, degree by degree; slope rows gather the derivative by the direction.
	coefficient := func(k, channel int) *value {
		return v.load(Mem{Base: group, Disp: 64 * (rowDC + 3*k + channel)})
	}
	dc := func() []*value { return []*value{sum(6), sum(7), sum(8)} }
	for c := range 3 {
		v.store(v.mul(dc()[c], v.konst(sh0)), out(rowDC+c))
	}
	v.flush()
	TESTQ(degree, degree)
	JZ(LabelRef("return"))
	lanesSet = laneMask(v, bits, at(maskRow), name)
	d, inv := direction(v, group, view)
	for i := range 3 {
		v.store(keep(d[i]), at(directionRow+i))
		v.store(v.konst(0), at(slopeRow+i))
	}
	v.store(inv, at(directionRow+3))
	v.flush()
	load3 := func(row int) [3]*value { return [3]*value{v.load(at(row)), v.load(at(row + 1)), v.load(at(row + 2))} }
	for deg := 1; deg <= 3; deg++ {
		d, g, col := load3(directionRow), load3(slopeRow), dc()
		f, slope := basis(v, deg, d), slopes(v, deg, d)
		for k := range f {
			row := firstOf(deg) + k
			var weight *value
			for c := range 3 {
				v.store(v.mul(f[k], col[c]), out(rowDC+3*row+c))
				if c == 0 {
					weight = v.mul(coefficient(row, c), col[c])
				} else {
					weight = v.fma(coefficient(row, c), col[c], weight)
				}
			}
			for i := range 3 {
				if slope[k][i] != nil {
					g[i] = v.fma(weight, slope[k][i], g[i])
				}
			}
		}
		for i := range 3 {
			v.store(g[i], at(slopeRow+i))
		}
		v.flush()
		if deg < 3 {
			CMPQ(degree, Imm(uint64(deg)))
			JE(LabelRef("shaded"))
		}
	}
	Label("shaded")
	lanesSet = laneMask(v, bits, at(maskRow), name)
	g := load3(slopeRow)
	d = load3(directionRow)
	t := v.dot(d[:], g[:])
	for i := range 3 {
		part := v.mul(v.fnma(d[i], t, g[i]), v.load(at(directionRow+3)))
		v.store(v.add(v.load(out(rowMean+i)), keep(part)), out(rowMean+i))
	}
	v.flush()
	Label("return")
	finish()
}

// laneMask turns bits of a 32-bit register into a mask, of which it returns a reader to be used before the next flush. In
// AVX2 the mask is kept at m.
func laneMask(v *vec, bits Register, m Mem, name string) func() *value {
	if v.lanes == 16 {
		mask := v.maskFrom(bits)
		return func() *value { return mask }
	}
	table, ok := laneBits[name]
	if !ok {
		table = GLOBL(name+"_lanes", rodataFlags)
		for l := range 8 {
			DATA(4*l, U32(1<<l))
		}
		laneBits[name] = table
	}
	MOVL(bits, m)
	set := v.cmp(gtOS, v.toFloat(v.and(v.load(table), v.scalar(m))), v.konst(0))
	v.store(set, m)
	v.flush()
	return func() *value {
		l := v.load(m)
		l.mask = true
		return l
	}
}

var laneBits = map[string]Mem{}
