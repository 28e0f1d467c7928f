package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// In AVX2 a register is half a block: 32 pieces of 4x2 pixels in a tile, with the exponent written around each piece's
// centre as in blend512.go, and lx in {-1.5 ... 1.5}, ly in {-0.5, 0.5}. A record of scratch memory holds 32 floats of each
// kind.
const (
	pieces = 32

	scr2E, scr2GX, scr2GY        = 0, 128, 256
	scr2Forward                  = 384
	scr2DX, scr2DY               = 384, 512
	scr2XX, scr2XY, scr2YY       = 640, 768, 896
	scr2SlopeX, scr2SlopeY       = 1024, 1056
	scr2SumZ, scr2SumU, scr2SumV = 1088, 1120, 1152
	scr2Quad                     = 1184
	scr2Backward                 = 1216

	batch256 = 16
)

type piece struct{ lx, ly, pieceX, pieceY Mem }

func pieceData(prefix string) piece {
	return piece{
		lx:     vectors(prefix+"lx", lanes(8, func(l int) float32 { return float32(l%4) - 1.5 })...),
		ly:     vectors(prefix+"ly", lanes(8, func(l int) float32 { return float32(l/4) - 0.5 })...),
		pieceX: vectors(prefix+"pieceX", lanes(pieces, func(s int) float32 { return float32(s/2%4*4 + 2) })...),
		pieceY: vectors(prefix+"pieceY", lanes(pieces, func(s int) float32 { return float32(s/8*4 + s%2*2 + 1) })...),
	}
}

func blend256() {
	k := pieceData("blend256_")
	forward256(k, "blendForwardAVX2", []int{splatRed, splatGreen, splatBlue})
	forward256(k, "blendForwardDepthAVX2", []int{splatRed, splatGreen, splatBlue, splatInvZ})
	for _, want := range wants {
		backward256(k, "blendBackward"+want.name+"AVX2", want.depth, want.abs)
	}
}

// Names of the limits in the exponent's terms.
var (
	log2MinAlpha = -7.994353436858858
	log2MaxAlpha = -0.01449956969511508
)

// expand256 evaluates and stores e0, gx, gy of 8 pieces, and returns what the caller may need.
func expand256(v *vec, k piece, tile, s, scr Register, part int) (dx, dy *value) {
	at := func(base Register, disp int) *value { return v.scalar(Mem{Base: base, Disp: disp}) }
	dx = v.sub(v.add(v.load(k.pieceX.Offset(32*part)), at(tile, tileX)), at(s, splatU))
	dy = v.sub(v.add(v.load(k.pieceY.Offset(32*part)), at(tile, tileY)), at(s, splatV))
	a, b, c := at(s, splatA), at(s, splatBB), at(s, splatC)
	t := v.fma(dx, a, v.mul(dy, b))
	cy := v.mul(dy, c)
	e := v.fma(dy, cy, v.fma(dx, t, at(s, splatL)))
	v.store(e, Mem{Base: scr, Disp: scr2E + 32*part})
	v.store(v.fma(dx, a, t), Mem{Base: scr, Disp: scr2GX + 32*part})
	v.store(v.fma(dx, b, v.add(cy, cy)), Mem{Base: scr, Disp: scr2GY + 32*part})
	return dx, dy
}

// quad256 is A·lx² + B·lx·ly + C·ly².
func quad256(v *vec, s Register, lx, ly *value) *value {
	at := func(disp int) *value { return v.scalar(Mem{Base: s, Disp: disp}) }
	t := v.fma(ly, at(splatBB), v.mul(lx, at(splatA)))
	return v.fma(v.mul(ly, at(splatC)), ly, v.mul(lx, t))
}

// exponent256 is e in a piece's lanes.
func exponent256(v *vec, scr, index Register, quad, lx, ly *value) *value {
	at := func(disp int) *value { return v.scalar(Mem{Base: scr, Index: index, Scale: 4, Disp: disp}) }
	return v.fma(ly, at(scr2GY), v.fma(lx, at(scr2GX), v.add(quad, at(scr2E))))
}

// alpha256 is 2^clamp(e, -8, cap).
func alpha256(v *vec, e *value) *value {
	return v.exp2(v.max(v.min(e, v.konst(log2MaxAlpha)), v.konst(-8)), exp2Blend...)
}

// forward256 blends the planes of the splat's fields into those from R on.
func forward256(k piece, name string, fields []int) {
	TEXT(name, 0, "func(tile *float32, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16) uint64")
	Pragma("noescape")
	Doc(name + " is blendForwardPlain; it returns how many instances it did: fewer than n at an index outside the splats.")
	tile, splats, inst, masks := pointer("tile"), pointer("splats"), pointer("instances"), pointer("masks")
	// The batch's masks of pieces follow its records.
	scratch := aligned(batch256*scr2Forward + batch256*4)
	const pieceMasks = batch256 * scr2Forward
	v := newVec(8, 0)

	Comment("Pieces with a living pixel.")
	alive := GP32()
	XORL(alive, alive)
	for s := pieces - 1; s >= 0; s-- {
		bit := GP32()
		v.maskBits(v.cmp(gtOS, v.load(Mem{Base: tile, Disp: tileT + 32*s}), v.konst(1e-4)), bit)
		v.flush()
		NEGL(bit) // carry = some bit set
		ADCL(alive, alive)
	}

	lx, ly := v.pin(), v.pin()
	v.set(lx, v.load(k.lx))
	v.set(ly, v.load(k.ly))
	v.flush()

	done, left := GP64(), GP64()
	XORQ(done, done)
	Label("batch")
	Load(Param("n"), left)
	SUBQ(done, left)
	JEQ(LabelRef("return"))
	rest := GP64()
	MOVQ(left, rest)
	CMPQ(left, Imm(batch256))
	JBE(LabelRef("sized"))
	MOVQ(U32(batch256), left)
	Label("sized")
	TESTL(alive, alive)
	JZ(LabelRef("dark"))

	Comment("Masks of the batch: at most left instances, fewer at a bad index.")
	i, scr, id, limit := GP64(), GP64(), GP64(), GP64()
	Load(Param("nSplats"), limit)
	XORQ(i, i)
	MOVQ(scratch, scr)
	Label("mask")
	prefetchSplat(inst, splats, i, rest, 16)
	MOVL(Mem{Base: inst, Index: i, Scale: 8}, id.As32())
	CMPQ(id, limit)
	JAE(LabelRef("bad"))
	SHLQ(Imm(6), id)
	ADDQ(splats, id)
	mask := GP32()
	for part := range pieces / 8 {
		dx, dy := expand256(v, k, tile, id, scr, part)
		at := func(disp int) *value { return v.scalar(Mem{Base: id, Disp: disp}) }
		clamp := func(x, low, high *value) *value { return v.max(low, v.min(high, x)) }
		xl, xh := v.sub(dx, v.konst(1.5)), v.add(dx, v.konst(1.5))
		yl, yh := v.sub(dy, v.konst(0.5)), v.add(dy, v.konst(0.5))
		mx, my := clamp(v.konst(0), xl, xh), clamp(v.konst(0), yl, yh)
		y1 := clamp(v.mul(mx, at(splatSlopeX)), yl, yh)
		x2 := clamp(v.mul(my, at(splatSlopeY)), xl, xh)
		reaches := func(x, y *value) *value {
			t := v.fma(x, at(splatA), v.mul(y, at(splatBB)))
			e := v.fma(y, v.mul(y, at(splatC)), v.fma(x, t, at(splatL)))
			return v.cmp(geOS, e, v.konst(log2MinAlpha))
		}
		hit := v.or(reaches(mx, y1), reaches(x2, my))
		bits := GP32()
		v.maskBits(hit, bits)
		v.flush()
		if part == 0 {
			MOVL(bits, mask)
		} else {
			SHLL(Imm(uint64(8*part)), bits)
			ORL(bits, mask)
		}
	}
	MOVL(mask, Mem{Base: scratch, Index: i, Scale: 4, Disp: pieceMasks})
	ADDQ(U32(scr2Forward), scr)
	INCQ(i)
	CMPQ(i, left)
	JB(LabelRef("mask"))
	JMP(LabelRef("blend"))
	Label("bad")
	Comment("Blend what was good, then stop.")
	MOVQ(i, left)
	TESTQ(i, i)
	JZ(LabelRef("return"))

	Label("blend")
	XORQ(i, i)
	MOVQ(scratch, scr)
	out := GP32()
	Label("instance")
	XORL(out, out)
	MOVL(Mem{Base: scratch, Index: i, Scale: 4, Disp: pieceMasks}, mask)
	ANDL(alive, mask)
	JZ(LabelRef("stored"))
	MOVL(Mem{Base: inst, Index: i, Scale: 8}, id.As32())
	SHLQ(Imm(6), id)
	ADDQ(splats, id)
	quad := v.pin()
	var colours []*value
	for range fields {
		colours = append(colours, v.pin())
	}
	v.set(quad, quad256(v, id, lx, ly))
	for c, disp := range fields {
		v.set(colours[c], v.scalar(Mem{Base: id, Disp: disp}))
	}
	v.flush()

	piece, off := GP64(), GP64()
	e, hits := v.pin(), v.pin()
	hits.mask = true
	Label("piece")
	TZCNTL(mask, piece.As32())
	MOVL(piece.As32(), off.As32())
	SHLL(Imm(5), off.As32())
	ADDQ(tile, off)
	plane := func(disp int) Mem { return Mem{Base: off, Disp: disp} }
	bits := GP32()
	v.set(e, exponent256(v, scr, piece, quad, lx, ly))
	m := v.both(v.cmp(gtOS, v.load(plane(tileT)), v.konst(1e-4)), v.cmp(geOS, e, v.konst(log2MinAlpha)))
	v.set(hits, m)
	v.maskBits(hits, bits)
	v.flush()
	TESTL(bits, bits)
	JZ(LabelRef("untouched"))
	T := v.load(plane(tileT))
	w := v.keep(hits, v.mul(alpha256(v, e), T))
	v.store(v.sub(T, w), plane(tileT))
	for c := range colours {
		p := plane(tileR + 1024*c)
		v.store(v.fma(w, colours[c], v.load(p)), p)
	}
	v.flush()
	SHRL(Imm(1), piece.As32())
	BTSL(piece.As32(), out)
	next := GP32()
	LEAL(Mem{Base: mask, Disp: -1}, next)
	ANDL(next, mask)
	JNZ(LabelRef("piece"))
	Label("stored")
	MOVW(out.As16(), Mem{Base: masks, Index: i, Scale: 2})
	ADDQ(U32(scr2Forward), scr)
	INCQ(i)
	CMPQ(i, left)
	JB(LabelRef("instance"))

	LEAQ(Mem{Base: inst, Index: left, Scale: 8}, inst)
	LEAQ(Mem{Base: masks, Index: left, Scale: 2}, masks)
	ADDQ(left, done)
	JMP(LabelRef("batch"))

	Label("untouched")
	v.maskBits(v.cmp(gtOS, v.load(plane(tileT)), v.konst(1e-4)), bits)
	v.flush()
	TESTL(bits, bits)
	JNZ(LabelRef("next"))
	BTRL(piece.As32(), alive)
	Label("next")
	LEAL(Mem{Base: mask, Disp: -1}, next)
	ANDL(next, mask)
	JNZ(LabelRef("piece"))
	JMP(LabelRef("stored"))

	dark(inst, masks, i, id, left, done)
}

// dark ends a forward kernel: instances that find the whole tile saturated.
func dark(inst, masks, i, id, left, done Register) {
	Label("dark")
	Comment("The whole tile is saturated: nothing touches it any more.")
	limit := GP64()
	XORQ(i, i)
	Load(Param("nSplats"), limit)
	Label("darkMask")
	MOVL(Mem{Base: inst, Index: i, Scale: 8}, id.(GPVirtual).As32())
	CMPQ(id, limit)
	JAE(LabelRef("darkBad"))
	MOVW(U16(0), Mem{Base: masks, Index: i, Scale: 2})
	INCQ(i)
	CMPQ(i, left)
	JB(LabelRef("darkMask"))
	LEAQ(Mem{Base: inst, Index: left, Scale: 8}, inst)
	LEAQ(Mem{Base: masks, Index: left, Scale: 2}, masks)
	ADDQ(left, done)
	JMP(LabelRef("batch"))
	Label("darkBad")
	ADDQ(i, done)

	Label("return")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
