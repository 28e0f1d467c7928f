package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// backward256 writes one variant of blendBackwardPlain; see backward512. Depth and absolute sums are kept in memory.
func backward256(k piece, name string, depth, abs bool) {
	TEXT(name, 0, "func(tile *float32, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16, grads *float32, nGrads uint64) uint64")
	Pragma("noescape")
	Doc(name + " is blendBackwardPlain; it returns how many instances it did: fewer than n at an index outside.")
	tile, splats, inst, masks, grads, n := pointer("tile"), pointer("splats"), pointer("instances"), pointer("masks"), pointer("grads"), pointer("n")
	scr := aligned(scr2Backward)
	v := newVec(8, 24)

	i, id, slot, limit := GP64(), GP64(), GP64(), GP64()
	XORQ(i, i)
	TESTQ(n, n)
	JZ(LabelRef("return"))
	Label("instance")
	prefetchSplat(inst, splats, i, n, 6)
	prefetchSlot(inst, grads, i, n, 6)
	MOVL(Mem{Base: inst, Index: i, Scale: 8, Disp: 4}, slot.As32())
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

	lx, ly := v.load(k.lx), v.load(k.ly)
	at := func(disp int) *value { return v.scalar(Mem{Base: id, Disp: disp}) }
	record := func(disp int) Mem { return Mem{Base: scr, Disp: disp} }
	for part := range pieces / 8 {
		dx, dy := expand256(v, k, tile, id, scr, part)
		v.store(dx, record(scr2DX+32*part))
		v.store(dy, record(scr2DY+32*part))
		v.store(v.mul(dx, dx), record(scr2XX+32*part))
		v.store(v.mul(dx, dy), record(scr2XY+32*part))
		v.store(v.mul(dy, dy), record(scr2YY+32*part))
		v.flush()
	}
	if abs {
		a, b, c := at(splatA), at(splatBB), at(splatC)
		v.store(v.fma(ly, b, v.mul(lx, v.add(a, a))), record(scr2SlopeX))
		v.store(v.fma(lx, b, v.mul(ly, v.add(c, c))), record(scr2SlopeY))
		v.store(v.konst(0), record(scr2SumU))
		v.store(v.konst(0), record(scr2SumV))
	}
	if depth {
		v.store(v.konst(0), record(scr2SumZ))
	}
	v.store(quad256(v, id, lx, ly), record(scr2Quad))
	v.flush()
	sums := make([]*value, 9) // H ... DB, registers 0 to 8
	for s := range sums {
		sums[s] = pinLowest(v)
	}
	for _, s := range sums {
		v.set(s, v.konst(0))
	}
	v.flush()
	H, HX, HY, HXX, HXY, HYY, DR, DG, DB := sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8]

	piece, off := GP64(), GP64()
	e, hits := v.pin(), v.pin()
	hits.mask = true
	Label("block")
	TZCNTL(mask, piece.As32())
	SHLL(Imm(1), piece.As32())
	MOVL(piece.As32(), off.As32())
	SHLL(Imm(5), off.As32())
	ADDQ(tile, off)
	for half := range 2 {
		skip := []string{"second", "next"}[half]
		plane := func(disp int) Mem { return Mem{Base: off, Disp: disp + 32*half} }
		here := func(disp int) *value {
			return v.scalar(Mem{Base: scr, Index: piece, Scale: 4, Disp: disp + 4*half})
		}
		bits := GP32()
		v.set(e, v.fma(ly, here(scr2GY), v.fma(lx, here(scr2GX), v.add(v.load(record(scr2Quad)), here(scr2E)))))
		v.set(hits, v.both(v.cmp(gtOS, v.load(plane(tileT)), v.konst(1e-4)), v.cmp(geOS, e, v.konst(log2MinAlpha))))
		v.maskBits(hits, bits)
		v.flush()
		TESTL(bits, bits)
		JZ(LabelRef(skip))
		uncapped := v.cmp(leOS, e, v.konst(log2MaxAlpha))
		alpha := alpha256(v, e)
		T := v.load(plane(tileT))
		w := v.keep(hits, v.mul(alpha, T))
		v.store(v.sub(T, w), plane(tileT))
		gr, gg, gb := v.load(plane(tileGR)), v.load(plane(tileGG)), v.load(plane(tileGB))
		v.plusMul(DR, w, gr)
		v.plusMul(DG, w, gg)
		v.plusMul(DB, w, gb)
		kappa := v.mul(gr, at(splatRed))
		kappa = v.fma(gg, at(splatGreen), kappa)
		kappa = v.fma(gb, at(splatBlue), kappa)
		if depth {
			gd := v.load(plane(tileGD))
			kappa = v.fma(gd, at(splatInvZ), kappa)
			v.store(v.fma(w, gd, v.load(record(scr2SumZ))), record(scr2SumZ))
		}
		S := v.fnma(w, kappa, v.load(plane(tileS)))
		v.store(S, plane(tileS))
		// h = alpha·(T·kappa - S/(1-alpha)); alpha·T is w where it counts
		x := v.sub(v.konst(1), alpha)
		r := v.op("rcp", nil, x)
		r = v.mul(r, v.fnma(x, r, v.konst(2))) // one Newton step on 1.5·2^-12
		h := v.fnma(v.mul(alpha, S), r, v.mul(w, kappa))
		h = v.keep(v.both(hits, uncapped), h)
		v.plus(H, h)
		v.plusMul(HX, h, here(scr2DX))
		v.plusMul(HY, h, here(scr2DY))
		v.plusMul(HXX, h, here(scr2XX))
		v.plusMul(HXY, h, here(scr2XY))
		v.plusMul(HYY, h, here(scr2YY))
		if abs {
			u := v.add(v.load(record(scr2SlopeX)), here(scr2GX))
			v.store(v.add(v.abs(v.mul(h, u)), v.load(record(scr2SumU))), record(scr2SumU))
			u = v.add(v.load(record(scr2SlopeY)), here(scr2GY))
			v.store(v.add(v.abs(v.mul(h, u)), v.load(record(scr2SumV))), record(scr2SumV))
		}
		v.flush()
		Label(skip)
	}
	next := GP32()
	LEAL(Mem{Base: mask, Disp: -1}, next)
	ANDL(next, mask)
	JNZ(LabelRef("block"))
	v.unpin(e, hits)

	Comment("From piece centres to pixels.")
	t := v.add(HX, v.fma(lx, H, HX))
	v.plusMul(HXX, lx, t)
	v.plusMul(HXY, lx, HY)
	v.plusMul(HXY, ly, v.fma(lx, H, HX))
	v.plusMul(HYY, ly, v.add(HY, v.fma(ly, H, HY)))
	v.plusMul(HX, lx, H)
	v.plusMul(HY, ly, H)
	v.flush()

	reduce256(v, sums, record, depth, abs)
	VMOVUPS(X0, Mem{Base: slot})
	VMOVUPS(X4, Mem{Base: slot, Disp: 16})
	VMOVUPS(X8, Mem{Base: slot, Disp: 32})
	v.unpin(sums...)
	Label("advance")
	INCQ(i)
	CMPQ(i, n)
	JB(LabelRef("instance"))
	JMP(LabelRef("return"))

	Label("nothing")
	VXORPS(Y0, Y0, Y0)
	VMOVUPS(Y0, Mem{Base: slot})
	VMOVUPS(X0, Mem{Base: slot, Disp: 32})
	JMP(LabelRef("advance"))

	Label("return")
	VZEROUPPER()
	Store(i, ReturnIndex(0))
	RET()
}

// pinLowest pins the lowest free register.
func pinLowest(v *vec) *value {
	p := newValue(computed, Mem{})
	p.pinned = true
	low := 0
	for i, r := range v.free {
		if r < v.free[low] {
			low = i
		}
	}
	p.reg = v.free[low]
	v.free = append(v.free[:low], v.free[low+1:]...)
	return p
}

// reduce256 sums the lanes of registers 0 ... 8 and of the sums in memory: Grad's 12 floats end in X0, X4 and X8.
func reduce256(v *vec, sums []*value, record func(int) Mem, depth, abs bool) {
	rest := []struct {
		want bool
		disp int
		r    VecPhysical
	}{{depth, scr2SumZ, Y9}, {abs, scr2SumU, Y10}, {abs, scr2SumV, Y11}}
	for i, s := range sums {
		if s.reg != i {
			panic("sums are not in registers 0 to 8")
		}
	}
	for _, s := range rest {
		if s.want {
			VMOVUPS(record(s.disp), s.r)
		} else {
			VXORPS(s.r, s.r, s.r)
		}
	}
	if abs {
		ln2 := v.konst(math.Ln2)
		VMULPS(ln2.mem, Y10, Y10)
		VMULPS(ln2.mem, Y11, Y11)
	}
	for q := 0; q < 12; q += 4 {
		a, b, c, d := ymm[q], ymm[q+1], ymm[q+2], ymm[q+3]
		VHADDPS(b, a, a) // a01 a23 b01 b23 | ...
		VHADDPS(d, c, c)
		VHADDPS(c, a, a) // a b c d | a b c d
		VEXTRACTF128(Imm(1), a, X12)
		VADDPS(X12, a.AsX(), a.AsX())
	}
}
