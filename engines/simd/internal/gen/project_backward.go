package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

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
