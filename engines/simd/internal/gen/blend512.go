package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Inside a block the exponent is written around the block's centre,
//
//	e(lx, ly) = e0 + gx·lx + gy·ly + quad(lx, ly),  lx, ly in {-1.5, -0.5, 0.5, 1.5}
//
// where quad depends on the splat alone and e0, gx, gy on the block: they are evaluated for all 16 blocks of the tile at
// once, one block in a lane, stored, and broadcast from there. That is 3 instructions for a block instead of 7.
//
// One record of scratch memory for each instance of a batch:
const (
	scrE, scrGX, scrGY   = 0, 64, 128
	scrForward           = 192 // bytes of a forward record
	scrDX, scrDY         = 192, 256
	scrXX, scrXY, scrYY  = 320, 384, 448
	scrSlopeX, scrSlopeY = 512, 576
	scrBackward          = 640

	batch = 32 // instances whose masks are computed before any is blended
)

type blendConsts struct {
	lx, ly, blockX, blockY      Mem // lanes of a block; block centres of a tile
	lx2, lxly, ly2              Mem
	half, thr, cap, floor, minT Mem // scalars
	one, absMask                Mem
	scale                       Mem // lanes of Grad: ln2 for the absolute gradients
	c                           [5]Mem
}

func blendData(prefix string) blendConsts {
	lx := func(l int) float32 { return float32(l%4) - 1.5 }
	ly := func(l int) float32 { return float32(l/4) - 1.5 }
	return blendConsts{
		lx:      vectors(prefix+"lx", lanes(16, lx)...),
		ly:      vectors(prefix+"ly", lanes(16, ly)...),
		lx2:     vectors(prefix+"lx2", lanes(16, func(l int) float32 { return lx(l) * lx(l) })...),
		lxly:    vectors(prefix+"lxly", lanes(16, func(l int) float32 { return lx(l) * ly(l) })...),
		ly2:     vectors(prefix+"ly2", lanes(16, func(l int) float32 { return ly(l) * ly(l) })...),
		blockX:  vectors(prefix+"blockX", lanes(16, func(b int) float32 { return float32(b%4*4 + 2) })...),
		blockY:  vectors(prefix+"blockY", lanes(16, func(b int) float32 { return float32(b/4*4 + 2) })...),
		half:    vectors(prefix+"half", 1.5),
		thr:     vectors(prefix+"thr", -7.994353436858858),
		cap:     vectors(prefix+"cap", -0.01449956969511508),
		floor:   vectors(prefix+"floor", -8),
		minT:    vectors(prefix+"minT", 1e-4),
		one:     vectors(prefix+"one", 1),
		absMask: word(prefix+"absMask", 0x7fffffff),
		scale: vectors(prefix+"scale", lanes(16, func(l int) float32 {
			if l >= 10 {
				return math.Ln2
			}
			return 1
		})...),
		c: [5]Mem{
			vectors(prefix+"c0", 1.00000259), vectors(prefix+"c1", 0.693003834), vectors(prefix+"c2", 0.241442757),
			vectors(prefix+"c3", 0.0520114606), vectors(prefix+"c4", 0.0135341679),
		},
	}
}

func blend512() {
	k := blendData("blend512_")
	forward512(k, "blendForwardAVX512", false)
	forward512(k, "blendForwardDepthAVX512", true)
	for _, want := range wants {
		backward512(k, "blendBackward"+want.name+"AVX512", want.depth, want.abs)
	}
}

// wants are the variants of the backward kernels.
var wants = []struct {
	name       string
	depth, abs bool
}{{"", false, false}, {"Depth", true, false}, {"Abs", false, true}, {"DepthAbs", true, true}}

// centre512 computes dx, dy from the mean to the 16 block centres.
func centre512(k blendConsts, tile, s GPVirtual, dx, dy VecPhysical) {
	VMOVUPS(k.blockX, dx)
	VADDPS_BCST(Mem{Base: tile, Disp: tileX}, dx, dx)
	VMOVUPS(k.blockY, dy)
	VADDPS_BCST(Mem{Base: tile, Disp: tileY}, dy, dy)
	VSUBPS_BCST(Mem{Base: s, Disp: splatU}, dx, dx)
	VSUBPS_BCST(Mem{Base: s, Disp: splatV}, dy, dy)
}

// expand512 evaluates e0, gx, gy at the block centres and stores them. a, b, c hold the broadcast conic.
func expand512(s, scr GPVirtual, dx, dy, a, b, c, t0, t1, t2 VecPhysical) {
	VMULPS(dy, b, t0)
	VFMADD231PS(dx, a, t0) // A·dx + B·dy
	VMULPS(dy, c, t1)      // C·dy
	VBROADCASTSS(Mem{Base: s, Disp: splatL}, t2)
	VFMADD231PS(dx, t0, t2)
	VFMADD231PS(dy, t1, t2)
	VMOVUPS(t2, Mem{Base: scr, Disp: scrE})
	VFMADD231PS(dx, a, t0) // 2A·dx + B·dy
	VMOVUPS(t0, Mem{Base: scr, Disp: scrGX})
	VADDPS(t1, t1, t1)
	VFMADD231PS(dx, b, t1) // B·dx + 2C·dy
	VMOVUPS(t1, Mem{Base: scr, Disp: scrGY})
}

// quad512 evaluates A·lx² + B·lx·ly + C·ly² in the lanes of a block.
func quad512(k blendConsts, a, b, c, quad VecPhysical) {
	VMULPS(k.lx2, a, quad)
	VFMADD231PS(k.lxly, b, quad)
	VFMADD231PS(k.ly2, c, quad)
}

func forward512(k blendConsts, name string, depth bool) {
	TEXT(name, 0, "func(tile *float32, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16) uint64")
	Pragma("noescape")
	Doc(name + " is blendForwardPlain; it returns how many instances it did: fewer than n at an index outside the splats.")
	tile := Load(Param("tile"), GP64()).(GPVirtual)
	splats := Load(Param("splats"), GP64()).(GPVirtual)
	inst := Load(Param("instances"), GP64()).(GPVirtual)
	masks := Load(Param("masks"), GP64()).(GPVirtual)
	scratch := aligned(batch * scrForward)

	lx, ly, thr, cap, floor, minT, zero, half := Z31, Z30, Z29, Z28, Z27, Z26, Z25, Z24
	c0, c1, c2, c3, c4 := Z23, Z22, Z21, Z20, Z19
	VMOVUPS(k.lx, lx)
	VMOVUPS(k.ly, ly)
	for _, bc := range []struct {
		m Mem
		r VecPhysical
	}{{k.thr, thr}, {k.cap, cap}, {k.floor, floor}, {k.minT, minT}, {k.half, half}, {k.c[0], c0}, {k.c[1], c1}, {k.c[2], c2}, {k.c[3], c3}, {k.c[4], c4}} {
		VBROADCASTSS(bc.m, bc.r)
	}
	VPXORD(zero, zero, zero)

	Comment("Blocks with a living pixel.")
	alive := GP32()
	XORL(alive, alive)
	for b := 15; b >= 0; b-- {
		VMOVUPS(Mem{Base: tile, Disp: tileT + 64*b}, Z0)
		VCMPPS(gtOS, minT, Z0, K1)
		bit := GP32()
		KMOVW(K1, bit)
		NEGL(bit) // carry = some bit set
		ADCL(alive, alive)
	}

	done, left := GP64(), GP64()
	XORQ(done, done)

	Label("batch")
	Load(Param("n"), left)
	SUBQ(done, left)
	JEQ(LabelRef("return"))
	rest := GP64()
	MOVQ(left, rest)
	CMPQ(left, Imm(batch))
	JBE(LabelRef("sized"))
	MOVQ(U32(batch), left)
	Label("sized")
	TESTL(alive, alive)
	JZ(LabelRef("dark"))

	Comment("Masks of the batch: at most left instances, fewer at a bad index.")
	i, scr, id := GP64(), GP64(), GP64()
	limit := GP64()
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
	dx, dy, a, b, c := Z0, Z1, Z2, Z3, Z4
	centre512(k, tile, id, dx, dy)
	VBROADCASTSS(Mem{Base: id, Disp: splatA}, a)
	VBROADCASTSS(Mem{Base: id, Disp: splatBB}, b)
	VBROADCASTSS(Mem{Base: id, Disp: splatC}, c)
	expand512(id, scr, dx, dy, a, b, c, Z5, Z6, Z7)
	xl, xh, yl, yh := Z5, Z6, Z7, Z8
	VSUBPS(half, dx, xl)
	VADDPS(half, dx, xh)
	VSUBPS(half, dy, yl)
	VADDPS(half, dy, yh)
	mx, my, y1, x2 := Z9, Z10, Z11, Z12
	VMINPS(zero, xh, mx)
	VMAXPS(mx, xl, mx)
	VMINPS(zero, yh, my)
	VMAXPS(my, yl, my)
	VMULPS_BCST(Mem{Base: id, Disp: splatSlopeX}, mx, y1)
	VMINPS(y1, yh, y1)
	VMAXPS(y1, yl, y1)
	VMULPS_BCST(Mem{Base: id, Disp: splatSlopeY}, my, x2)
	VMINPS(x2, xh, x2)
	VMAXPS(x2, xl, x2)
	for n, p := range [][2]VecPhysical{{mx, y1}, {x2, my}} {
		x, y := p[0], p[1]
		t, u := Z13, Z14
		VMULPS(y, b, t)
		VFMADD231PS(x, a, t)
		VBROADCASTSS(Mem{Base: id, Disp: splatL}, u)
		VFMADD231PS(x, t, u)
		VMULPS(y, c, t)
		VFMADD231PS(y, t, u)
		VCMPPS(geOS, thr, u, []OpmaskPhysical{K1, K2}[n])
	}
	KORW(K1, K2, K1)
	mask := GP32()
	KMOVW(K1, mask)
	MOVW(mask.As16(), Mem{Base: masks, Index: i, Scale: 2})
	ADDQ(Imm(scrForward), scr)
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
	MOVWLZX(Mem{Base: masks, Index: i, Scale: 2}, mask)
	ANDL(alive, mask)
	MOVL(mask, out)
	JZ(LabelRef("stored"))
	MOVL(Mem{Base: inst, Index: i, Scale: 8}, id.As32())
	SHLQ(Imm(6), id)
	ADDQ(splats, id)
	VBROADCASTSS(Mem{Base: id, Disp: splatA}, Z0)
	VBROADCASTSS(Mem{Base: id, Disp: splatBB}, Z1)
	VBROADCASTSS(Mem{Base: id, Disp: splatC}, Z2)
	quad, red, green, blue, invZ := Z3, Z4, Z5, Z6, Z7
	quad512(k, Z0, Z1, Z2, quad)
	VBROADCASTSS(Mem{Base: id, Disp: splatRed}, red)
	VBROADCASTSS(Mem{Base: id, Disp: splatGreen}, green)
	VBROADCASTSS(Mem{Base: id, Disp: splatBlue}, blue)
	if depth {
		VBROADCASTSS(Mem{Base: id, Disp: splatInvZ}, invZ)
	}

	block, off := GP64(), GP64()
	Label("block")
	TZCNTL(mask, block.As32())
	MOVL(block.As32(), off.As32())
	SHLL(Imm(6), off.As32())
	ADDQ(tile, off)
	e, T, f, p := Z8, Z9, Z10, Z11
	VADDPS_BCST(Mem{Base: scr, Index: block, Scale: 4, Disp: scrE}, quad, e)
	VFMADD231PS_BCST(Mem{Base: scr, Index: block, Scale: 4, Disp: scrGX}, lx, e)
	VFMADD231PS_BCST(Mem{Base: scr, Index: block, Scale: 4, Disp: scrGY}, ly, e)
	VMOVUPS(Mem{Base: off, Disp: tileT}, T)
	VCMPPS(gtOS, minT, T, K1)
	VCMPPS(geOS, thr, e, K1, K1)
	KORTESTW(K1, K1)
	JZ(LabelRef("untouched"))
	alpha512(e, f, p, cap, floor, c0, c1, c2, c3, c4)
	w := p
	VMULPS_Z(T, p, K1, w)
	VSUBPS(w, T, T)
	VMOVUPS(T, Mem{Base: off, Disp: tileT})
	colours := []VecPhysical{red, green, blue}
	if depth {
		colours = append(colours, invZ)
	}
	for n, colour := range colours {
		plane := Mem{Base: off, Disp: tileR + 1024*n}
		acc := []VecPhysical{Z12, Z13, Z14, Z15}[n]
		VMOVUPS(plane, acc)
		VFMADD231PS(colour, w, K1, acc)
		VMOVUPS(acc, plane)
	}
	clear := GP32()
	LEAL(Mem{Base: mask, Disp: -1}, clear)
	ANDL(clear, mask)
	JNZ(LabelRef("block"))
	Label("stored")
	MOVW(out.As16(), Mem{Base: masks, Index: i, Scale: 2})
	ADDQ(Imm(scrForward), scr)
	INCQ(i)
	CMPQ(i, left)
	JB(LabelRef("instance"))

	LEAQ(Mem{Base: inst, Index: left, Scale: 8}, inst)
	LEAQ(Mem{Base: masks, Index: left, Scale: 2}, masks)
	ADDQ(left, done)
	JMP(LabelRef("batch"))

	Label("untouched")
	BTRL(block.As32(), out)
	VCMPPS(gtOS, minT, T, K2)
	KORTESTW(K2, K2)
	JNZ(LabelRef("next"))
	BTRL(block.As32(), alive)
	Label("next")
	LEAL(Mem{Base: mask, Disp: -1}, clear)
	ANDL(clear, mask)
	JNZ(LabelRef("block"))
	JMP(LabelRef("stored"))

	dark(inst, masks, i, id, left, done)
}

// prefetchSplat fetches the record that is due after ahead instances: records are in the cloud's order, a tile's instances
// in that of depth, so nearly each is a miss of the first two caches.
func prefetchSplat(inst, splats, i, n Register, ahead int) {
	j := GP64()
	LEAQ(Mem{Base: i, Disp: ahead}, j)
	CMPQ(j, n)
	CMOVQGE(i, j)
	MOVL(Mem{Base: inst, Index: j, Scale: 8}, j.As32())
	SHLQ(Imm(6), j)
	PREFETCHT0(Mem{Base: splats, Index: j, Scale: 1})
}

// prefetchSlot does the same for the gradient, to be written.
func prefetchSlot(inst, grads, i, n Register, ahead int) {
	j := GP64()
	LEAQ(Mem{Base: i, Disp: ahead}, j)
	CMPQ(j, n)
	CMOVQGE(i, j)
	MOVL(Mem{Base: inst, Index: j, Scale: 8, Disp: 4}, j.As32())
	LEAQ(Mem{Base: j, Index: j, Scale: 2}, j)
	SHLQ(Imm(4), j)
	PREFETCHT0(Mem{Base: grads, Index: j, Scale: 1})
	PREFETCHT0(Mem{Base: grads, Index: j, Scale: 1, Disp: 47})
}

// alpha512 turns the exponent e into alpha = 2^clamp(e, -8, cap), in p. Between the clamps nothing is denormal, whatever
// the lanes outside the ellipse hold.
func alpha512(e, f, p, cap, floor, c0, c1, c2, c3, c4 VecPhysical) {
	VMINPS(cap, e, e)
	VMAXPS(floor, e, e)
	VREDUCEPS(Imm(1), e, f) // e - floor(e)
	VMOVAPS(c4, p)
	VFMADD213PS(c3, f, p)
	VFMADD213PS(c2, f, p)
	VFMADD213PS(c1, f, p)
	VFMADD213PS(c0, f, p)
	VSCALEFPS(e, p, p)
}

// aligned reserves n bytes of stack on a 64-byte boundary and returns their address.
func aligned(n int) GPVirtual {
	local := AllocLocal(n + 64)
	p := GP64()
	LEAQ(local, p)
	ADDQ(Imm(63), p)
	ANDQ(I32(-64), p)
	return p
}
