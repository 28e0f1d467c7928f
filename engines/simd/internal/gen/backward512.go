package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// backward512 writes one variant of blendBackwardPlain. The moments are summed about the block centre's lanes: with
// dx = dxb + lx, the sums over blocks of h, h·dxb, h·dxb² ... need only broadcasts, and lx enters once, at the end.
func backward512(k blendConsts, name string, depth, abs bool) {
	TEXT(name, 0, "func(tile *float32, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16, grads *float32, nGrads uint64) uint64")
	Pragma("noescape")
	Doc(name + " is blendBackwardPlain; it returns how many instances it did: fewer than n at an index outside.")
	tile := Load(Param("tile"), GP64()).(GPVirtual)
	splats := Load(Param("splats"), GP64()).(GPVirtual)
	inst := Load(Param("instances"), GP64()).(GPVirtual)
	masks := Load(Param("masks"), GP64()).(GPVirtual)
	grads := Load(Param("grads"), GP64()).(GPVirtual)
	n := Load(Param("n"), GP64()).(GPVirtual)
	scr := aligned(scrBackward)

	lx, ly, thr, cap, floor, minT, one := Z31, Z30, Z29, Z28, Z27, Z26, Z25
	c0, c1, c2, c3, c4 := Z24, Z23, Z22, Z21, Z20
	VMOVUPS(k.lx, lx)
	VMOVUPS(k.ly, ly)
	for _, bc := range []struct {
		m Mem
		r VecPhysical
	}{{k.thr, thr}, {k.cap, cap}, {k.floor, floor}, {k.minT, minT}, {k.one, one}, {k.c[0], c0}, {k.c[1], c1}, {k.c[2], c2}, {k.c[3], c3}, {k.c[4], c4}} {
		VBROADCASTSS(bc.m, bc.r)
	}

	i, id, slot := GP64(), GP64(), GP64()
	XORQ(i, i)
	TESTQ(n, n)
	JZ(LabelRef("return"))
	Label("instance")
	prefetchSplat(inst, splats, i, n, 6)
	prefetchSlot(inst, grads, i, n, 6)
	MOVL(Mem{Base: inst, Index: i, Scale: 8, Disp: 4}, slot.As32())
	limit := GP64()
	Load(Param("nGrads"), limit)
	CMPQ(slot, limit)
	JAE(LabelRef("return"))
	LEAQ(Mem{Base: slot, Index: slot, Scale: 2}, slot)
	SHLQ(Imm(4), slot)
	ADDQ(grads, slot)
	mask := GP32()
	MOVWLZX(Mem{Base: masks, Index: i, Scale: 2}, mask)
	MOVL(Mem{Base: inst, Index: i, Scale: 8}, id.As32())
	Load(Param("nSplats"), limit)
	CMPQ(id, limit)
	JAE(LabelRef("return"))
	TESTL(mask, mask)
	JZ(LabelRef("nothing"))
	SHLQ(Imm(6), id)
	ADDQ(splats, id)

	H, HX, HY, HXX, HXY, HYY, DR, DG, DB := Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8
	quad := Z9
	DZ, AU, AV := Z16, Z17, Z18
	{
		dx, dy, a, b, c := Z0, Z1, Z2, Z3, Z4
		centre512(k, tile, id, dx, dy)
		VBROADCASTSS(Mem{Base: id, Disp: splatA}, a)
		VBROADCASTSS(Mem{Base: id, Disp: splatBB}, b)
		VBROADCASTSS(Mem{Base: id, Disp: splatC}, c)
		expand512(id, scr, dx, dy, a, b, c, Z5, Z6, Z7)
		quad512(k, a, b, c, quad)
		VMOVUPS(dx, Mem{Base: scr, Disp: scrDX})
		VMOVUPS(dy, Mem{Base: scr, Disp: scrDY})
		VMULPS(dx, dx, Z5)
		VMOVUPS(Z5, Mem{Base: scr, Disp: scrXX})
		VMULPS(dx, dy, Z6)
		VMOVUPS(Z6, Mem{Base: scr, Disp: scrXY})
		VMULPS(dy, dy, Z7)
		VMOVUPS(Z7, Mem{Base: scr, Disp: scrYY})
		if abs {
			VADDPS(a, a, a)
			VMULPS(lx, a, a)
			VFMADD231PS(ly, b, a)
			VMOVUPS(a, Mem{Base: scr, Disp: scrSlopeX})
			VADDPS(c, c, c)
			VMULPS(ly, c, c)
			VFMADD231PS(lx, b, c)
			VMOVUPS(c, Mem{Base: scr, Disp: scrSlopeY})
		}
	}
	sums := []VecPhysical{H, HX, HY, HXX, HXY, HYY, DR, DG, DB}
	if depth {
		sums = append(sums, DZ)
	}
	if abs {
		sums = append(sums, AU, AV)
	}
	for _, s := range sums {
		VPXORD(s, s, s)
	}

	block, off := GP64(), GP64()
	Label("block")
	TZCNTL(mask, block.As32())
	MOVL(block.As32(), off.As32())
	SHLL(Imm(6), off.As32())
	ADDQ(tile, off)
	bc := func(disp int) Mem { return Mem{Base: scr, Index: block, Scale: 4, Disp: disp} }
	plane := func(disp int) Mem { return Mem{Base: off, Disp: disp} }
	e, T, f, p := Z10, Z11, Z12, Z13
	VADDPS_BCST(bc(scrE), quad, e)
	VFMADD231PS_BCST(bc(scrGX), lx, e)
	VFMADD231PS_BCST(bc(scrGY), ly, e)
	VMOVUPS(plane(tileT), T)
	VCMPPS(gtOS, minT, T, K1)
	VCMPPS(geOS, thr, e, K1, K1)
	VCMPPS(leOS, cap, e, K1, K2)
	alpha512(e, f, p, cap, floor, c0, c1, c2, c3, c4)
	alpha, w, kappa, g := p, Z14, Z12, Z15
	VMULPS_Z(alpha, T, K1, w)
	// kappa = g·colour, and the colour sums
	VMOVUPS(plane(tileGR), g)
	VMULPS_BCST(Mem{Base: id, Disp: splatRed}, g, kappa)
	VFMADD231PS(g, w, K1, DR)
	VMOVUPS(plane(tileGG), g)
	VFMADD231PS_BCST(Mem{Base: id, Disp: splatGreen}, g, kappa)
	VFMADD231PS(g, w, K1, DG)
	VMOVUPS(plane(tileGB), g)
	VFMADD231PS_BCST(Mem{Base: id, Disp: splatBlue}, g, kappa)
	VFMADD231PS(g, w, K1, DB)
	if depth {
		VMOVUPS(plane(tileGD), g)
		VFMADD231PS_BCST(Mem{Base: id, Disp: splatInvZ}, g, kappa)
		VFMADD231PS(g, w, K1, DZ)
	}
	S := g
	VMOVUPS(plane(tileS), S)
	VFNMADD231PS(kappa, w, K1, S)
	VMOVUPS(S, plane(tileS))
	VMULPS(T, kappa, kappa)
	VSUBPS(w, T, T)
	VMOVUPS(T, plane(tileT))
	r := e
	VSUBPS(alpha, one, r)
	VRCP14PS(r, r)
	VFNMADD231PS(S, r, kappa) // dL/dalpha
	h := w
	VMULPS_Z(alpha, kappa, K2, h)
	VADDPS(h, H, H)
	VFMADD231PS_BCST(bc(scrDX), h, HX)
	VFMADD231PS_BCST(bc(scrDY), h, HY)
	VFMADD231PS_BCST(bc(scrXX), h, HXX)
	VFMADD231PS_BCST(bc(scrXY), h, HXY)
	VFMADD231PS_BCST(bc(scrYY), h, HYY)
	if abs {
		// dq/dx = -ln2·(2A·dx + B·dy), and 2A·dx + B·dy = gx + (2A·lx + B·ly); ln2 follows at the end
		for _, axis := range []struct {
			slope, g int
			sum      VecPhysical
		}{{scrSlopeX, scrGX, AU}, {scrSlopeY, scrGY, AV}} {
			t := e
			VMOVUPS(Mem{Base: scr, Disp: axis.slope}, t)
			VADDPS_BCST(bc(axis.g), t, t)
			VMULPS(h, t, t)
			VPANDD_BCST(k.absMask, t, t)
			VADDPS(t, axis.sum, axis.sum)
		}
	}
	clear := GP32()
	LEAL(Mem{Base: mask, Disp: -1}, clear)
	ANDL(clear, mask)
	JNZ(LabelRef("block"))

	Comment("From block centres to pixels.")
	hx := HX
	VMOVAPS(HX, Z10) // about the centre
	VFMADD231PS(lx, H, hx)
	VADDPS(hx, Z10, Z10)
	VFMADD231PS(lx, Z10, HXX)
	VFMADD231PS(lx, HY, HXY)
	VFMADD231PS(ly, hx, HXY)
	VMOVAPS(HY, Z11)
	VFMADD231PS(ly, H, HY)
	VADDPS(HY, Z11, Z11)
	VFMADD231PS(ly, Z11, HYY)

	reduce512(sums, depth, abs)
	if abs {
		VMULPS(k.scale, Z0, Z0)
	}
	VMOVUPS(Z0.AsY(), Mem{Base: slot})
	VEXTRACTF32X4(Imm(2), Z0, Mem{Base: slot, Disp: 32})
	Label("next")
	INCQ(i)
	CMPQ(i, n)
	JB(LabelRef("instance"))
	JMP(LabelRef("return"))

	Label("nothing")
	VPXORD(Z0, Z0, Z0)
	VMOVUPS(Y0, Mem{Base: slot})
	VMOVUPS(X0, Mem{Base: slot, Disp: 32})
	JMP(LabelRef("next"))

	Label("return")
	VZEROUPPER()
	Store(i, ReturnIndex(0))
	RET()
}

// reduce512 sums the lanes of sums (H ... DB, then DZ and AU, AV where wanted) into lanes 0 ... 11 of Z0, in the order of
// Grad, 0 where not wanted. Each step adds one half of the lanes of two registers to the other half.
func reduce512(sums []VecPhysical, depth, abs bool) {
	s := make([]VecPhysical, 12)
	copy(s, sums[:9])
	rest := sums[9:]
	if depth {
		s[9], rest = rest[0], rest[1:]
	}
	if abs {
		s[10], s[11] = rest[0], rest[1]
	}
	t := Z19
	// pair folds a and b with a two-source shuffle that takes lo of both and hi of both.
	pair := func(a, b VecPhysical, shuffle func(imm uint8, b, a, dst VecPhysical), lo, hi uint8) {
		shuffle(lo, b, a, t)
		shuffle(hi, b, a, a)
		VADDPS(t, a, a)
	}
	quarters := func(imm uint8, b, a, dst VecPhysical) { VSHUFF32X4(Imm(uint64(imm)), b, a, dst) }
	within := func(imm uint8, b, a, dst VecPhysical) { VSHUFPS(Imm(uint64(imm)), b, a, dst) }
	zero := func(r VecPhysical) VecPhysical { VPXORD(r, r, r); return r }

	// 128-bit quarters: after two steps register q holds, in quarter j, the four partial sums of s[4j+q].
	var q [4]VecPhysical
	for c := 0; c < 4; c++ {
		a, b, d := s[c], s[4+c], s[8+c]
		pair(a, b, quarters, 0x44, 0xee) // a01+a23, b01+b23
		if d == nil {
			d = zero([]VecPhysical{nil, Z16, Z17, Z18}[c])
		} else {
			VEXTRACTF64X4(Imm(1), d, t.AsY())
			VADDPS(t.AsY(), d.AsY(), d.AsY()) // upper half is zero now
		}
		pair(a, d, quarters, 0x88, 0xdd)
		q[c] = a
	}
	// Now quarter 0 = a, 1 = b, 2 = d (3 = 0) of each column; within a quarter, transpose and add.
	pair(q[0], q[1], within, 0x44, 0xee)
	pair(q[2], q[3], within, 0x44, 0xee)
	pair(q[0], q[2], within, 0x88, 0xdd)
}
