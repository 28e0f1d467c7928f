package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// rows writes Adam and the rows of the loss for one width. All rows are whole multiples of 16 floats.
func rows(lanes int) {
	suffix := map[int]string{16: "AVX512", 8: "AVX2"}[lanes]
	adam(lanes, "adam"+suffix)
	bytesRow(lanes, "bytes"+suffix)
	multiplyRow(lanes, "multiply"+suffix)
	if lanes == 16 {
		convolveRow512("convolveRow" + suffix)
	} else {
		convolveRow256("convolveRow" + suffix)
	}
	convolveColumns(lanes, "convolveColumns"+suffix)
	partials(lanes, "partials"+suffix)
	gradient(lanes, "gradient"+suffix)
}

func begin(name, signature, doc string) {
	TEXT(name, 0, signature)
	Pragma("noescape")
	Doc(name + " is " + doc)
}

func pointer(name string) Register { return Load(Param(name), GP64()) }

func finish() {
	VZEROUPPER()
	RET()
}

// adam goes through the rows of a group; in AVX2 a row is two halves.
func adam(lanes int, name string) {
	begin(name, "func(p, m, v, grad, lr *float32, rows uint64, lanes uint32, step *float32)", "adamPlain for rows > 0.")
	p, m, v, g, lr, n := pointer("p"), pointer("m"), pointer("v"), pointer("grad"), pointer("lr"), pointer("rows")
	step := pointer("step")
	bits := Load(Param("lanes"), GP32())
	a := newVec(lanes, 0)
	halves := 16 / lanes

	// Masks of the lanes, as vectors in memory where there are no mask registers.
	var masks []*value
	if lanes == 8 {
		stack := aligned(64)
		mask := GLOBL("adam_lanes", rodataFlags)
		for l := range 16 {
			DATA(4*l, U32(1<<l))
		}
		MOVL(bits, Mem{Base: stack})
		all := a.scalar(Mem{Base: stack})
		var set []*value
		for h := range 2 {
			bit := a.and(all, a.load(mask.Offset(32*h)))
			set = append(set, a.cmp(gtOS, a.toFloat(bit), a.konst(0)))
		}
		for h, s := range set {
			a.store(s, Mem{Base: stack, Disp: 32 * h})
			l := a.load(Mem{Base: stack, Disp: 32 * h})
			l.mask = true
			masks = append(masks, l)
		}
		a.flush()
	}
	one := func(i int) *value { return a.scalar(Mem{Base: step, Disp: 4 * i}) }
	rate1, rate2, eps := a.pin(), a.pin(), a.pin()
	a.set(rate1, a.sub(a.konst(1), one(0)))
	a.set(rate2, a.sub(a.konst(1), one(1)))
	a.set(eps, one(2))
	a.flush()

	Label("row")
	for h := range halves {
		at := func(base Register) Mem { return Mem{Base: base, Disp: 32 * h} }
		mask := func() *value {
			if lanes == 16 {
				return a.maskFrom(bits)
			}
			return masks[h]
		}()
		m0, v0, p0, g0 := a.load(at(m)), a.load(at(v)), a.load(at(p)), a.load(at(g))
		m1 := a.fma(rate1, a.sub(g0, m0), m0)
		v1 := a.fma(rate2, a.fms(g0, g0, v0), v0)
		root := a.add(a.sqrt(a.mul(one(4), v1)), eps)
		delta := a.div(a.mul(a.mul(a.scalar(Mem{Base: lr}), one(3)), m1), root)
		p1 := a.sub(p0, delta)
		a.store(a.pick(mask, m1, m0), at(m))
		a.store(a.pick(mask, v1, v0), at(v))
		a.store(a.pick(mask, p1, p0), at(p))
		a.flush()
	}
	for _, base := range []Register{p, m, v, g} {
		ADDQ(Imm(64), base)
	}
	ADDQ(Imm(4), lr)
	DECQ(n)
	JNZ(LabelRef("row"))
	finish()
}

// loop runs body for every vector of n floats, n a positive multiple of the lanes: index counts floats.
func loop(lanes int, n Register, body func(index Register)) {
	i := GP64()
	XORQ(i, i)
	Label("loop")
	body(i)
	ADDQ(Imm(uint64(lanes)), i)
	CMPQ(i, n)
	JB(LabelRef("loop"))
}

func floats(base, index Register) Mem { return Mem{Base: base, Index: index, Scale: 4} }

func bytesRow(lanes int, name string) {
	begin(name, "func(dst *float32, src *uint8, n uint64)", "bytesPlain for n > 0, a multiple of 16.")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	a := newVec(lanes, 0)
	loop(lanes, n, func(i Register) {
		v := a.toFloat(a.bytesToInt(Mem{Base: src, Index: i, Scale: 1}))
		a.store(a.mul(v, a.konst(1.0/255)), floats(dst, i))
		a.flush()
	})
	finish()
}

func multiplyRow(lanes int, name string) {
	begin(name, "func(dst, x, y *float32, n uint64)", "multiplyPlain for n > 0, a multiple of 16.")
	dst, x, y, n := pointer("dst"), pointer("x"), pointer("y"), pointer("n")
	a := newVec(lanes, 0)
	loop(lanes, n, func(i Register) {
		a.store(a.mul(a.load(floats(x, i)), a.load(floats(y, i))), floats(dst, i))
		a.flush()
	})
	finish()
}

var window = []float64{0.00102838, 0.00759876, 0.03600077, 0.10936069, 0.21300554, 0.26601172}

// taps sums the window over 11 values.
func taps(a *vec, g []*value, v func(k int) *value) *value {
	sum := a.mul(g[5], v(5))
	for k := 4; k >= 0; k-- {
		sum = a.fma(g[k], a.add(v(k), v(10-k)), sum)
	}
	return sum
}

// pinWindow keeps the window's values in registers.
func pinWindow(a *vec) []*value {
	var g []*value
	for range window {
		g = append(g, a.pin())
	}
	for k, w := range window {
		a.set(g[k], a.konst(w))
	}
	a.flush()
	return g
}

// rowPad is the number of zeros on either side of a padded row (loss.go); the window begins 5 before the pixel.
const rowPad = 16

// convolveRow512 keeps three neighbouring registers and shifts lanes between them, because nearly every unaligned 64-byte
// load would cross a cache line.
func convolveRow512(name string) {
	begin(name, "func(dst, src *float32, n uint64)", "convolveRowPlain for n > 0, a multiple of 16.")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	a := newVec(16, 0)
	g := pinWindow(a)
	left, mid := a.pin(), a.pin()
	a.set(left, a.load(Mem{Base: src}))
	a.set(mid, a.load(Mem{Base: src, Disp: 64}))
	a.flush()
	right := a.pin()
	loop(16, n, func(i Register) {
		a.set(right, a.load(floats(src, i).Offset(128)))
		a.store(taps(a, g, func(k int) *value {
			switch {
			case k < 5:
				return a.align(left, mid, uint8(11+k))
			case k > 5:
				return a.align(mid, right, uint8(k-5))
			}
			return mid
		}), floats(dst, i))
		a.set(left, mid)
		a.set(mid, right)
		a.flush()
	})
	finish()
}

func convolveRow256(name string) {
	begin(name, "func(dst, src *float32, n uint64)", "convolveRowPlain for n > 0, a multiple of 16.")
	dst, src, n := pointer("dst"), pointer("src"), pointer("n")
	a := newVec(8, 0)
	g := pinWindow(a)
	loop(8, n, func(i Register) {
		a.store(taps(a, g, func(k int) *value { return a.load(floats(src, i).Offset(4 * (rowPad - 5 + k))) }), floats(dst, i))
		a.flush()
	})
	finish()
}

// convolveColumns makes two rows at once, because what it costs is reading the 12 rows from the second-level cache.
func convolveColumns(lanes int, name string) {
	begin(name, "func(above, below *float32, rows *float32, n uint64)", "convolveColumnsPlain for n > 0, a multiple of 16; rows points to 12 slices.")
	r := pointers(pointer("rows"), 12)
	above, below := pointer("above"), pointer("below")
	n, _ := Param("n").Resolve()
	a := newVec(lanes, 0)
	g := pinWindow(a)
	i := GP64()
	XORQ(i, i)
	Label("loop")
	var row []*value
	for k := range r {
		row = append(row, a.load(floats(r[k], i)))
	}
	a.store(taps(a, g, func(k int) *value { return row[k] }), floats(above, i))
	a.store(taps(a, g, func(k int) *value { return row[k+1] }), floats(below, i))
	a.flush()
	ADDQ(Imm(uint64(lanes)), i)
	CMPQ(i, n.Addr)
	JB(LabelRef("loop"))
	finish()
}

// sumLanes returns the sum of the lanes of register 0.
func sumLanes(a *vec, v *value) {
	if v.reg != 0 {
		panic("sums are kept in register 0")
	}
	if a.lanes == 16 {
		VEXTRACTF64X4(Imm(1), Z0, Y1)
		VADDPS(Y1, Y0, Y0)
	}
	VEXTRACTF128(Imm(1), Y0, X1)
	VADDPS(X1, X0, X0)
	VPERMILPS(Imm(0x0e), X0, X1)
	VADDPS(X1, X0, X0)
	VPERMILPS(Imm(1), X0, X1)
	VADDPS(X1, X0, X0)
	VZEROUPPER()
	Store(X0, ReturnIndex(0))
	RET()
}

func pointers(base Register, n int) []Register {
	var r []Register
	for k := range n {
		p := GP64()
		MOVQ(Mem{Base: base, Disp: 24 * k}, p)
		r = append(r, p)
	}
	return r
}

func partials(lanes int, name string) {
	begin(name, "func(parts, stats *float32, mu, variance *uint16, valid *float32, n uint64) float32", "partialsPlain for n > 0, a multiple of 16; parts and stats point to 3 slices.")
	parts, stats := pointers(pointer("parts"), 3), pointers(pointer("stats"), 3)
	mu, variance, valid, n := pointer("mu"), pointer("variance"), pointer("valid"), pointer("n")
	a := newVec(lanes, 0)
	sum := pinLow(a)
	loop(lanes, n, func(i Register) {
		const c1, c2 = 1e-4, 9e-4
		words := func(p Register) *value { return a.toFloat(a.wordsToInt(Mem{Base: p, Index: i, Scale: 2})) }
		mux, exx, exy := a.load(floats(stats[0], i)), a.load(floats(stats[1], i)), a.load(floats(stats[2], i))
		muy := a.mul(words(mu), a.konst(1.0/65535))
		vary := a.mul(words(variance), a.konst(1.0/(4*65535)))
		xy, xx := a.mul(mux, muy), a.mul(mux, mux)
		ca := a.fma(a.konst(2), xy, a.konst(c1))
		cb := a.fma(a.konst(2), a.sub(exy, xy), a.konst(c2))
		cc := a.add(a.fma(muy, muy, xx), a.konst(c1))
		cd := a.add(a.max(a.sub(exx, xx), a.konst(0)), a.add(vary, a.konst(c2)))
		r := a.div(a.load(floats(valid, i)), a.mul(cc, cd)) // 0 outside the image
		rc, rd := a.mul(cd, r), a.mul(cc, r)
		ac, bd := a.mul(ca, rc), a.mul(cb, rd)
		s := a.mul(ac, bd)
		a.plus(sum, s)
		t := a.mul(muy, a.fms(bd, rc, a.mul(ac, rd)))
		pm := a.fma(a.mul(mux, s), a.sub(rd, rc), t)
		at := func(k int) Mem { return floats(parts[k], i).Offset(4 * rowPad) }
		a.store(a.add(pm, pm), at(0))
		a.store(a.neg(a.mul(s, rd)), at(1))
		pxy := a.mul(ac, rd)
		a.store(a.add(pxy, pxy), at(2))
		a.flush()
	})
	sumLanes(a, sum)
}

// pinLow pins register 0, set to 0.
func pinLow(a *vec) *value {
	v := pinLowest(a)
	a.set(v, a.konst(0))
	a.flush()
	return v
}

func gradient(lanes int, name string) {
	begin(name, "func(grad, sums, x, y *float32, n uint64, l1, ssim float32) float32", "gradientPlain for n > 0, a multiple of 16; sums points to 3 slices.")
	sums := pointers(pointer("sums"), 3)
	grad, x, y, n := pointer("grad"), pointer("x"), pointer("y"), pointer("n")
	a := newVec(lanes, 0)
	sum := pinLow(a)
	l1, ssim := a.pin(), a.pin()
	m1, _ := Param("l1").Resolve()
	m2, _ := Param("ssim").Resolve()
	a.set(l1, a.scalar(m1.Addr))
	a.set(ssim, a.scalar(m2.Addr))
	a.flush()
	loop(lanes, n, func(i Register) {
		at := func(p Register) *value { return a.load(floats(p, i)) }
		diff := a.sub(at(x), at(y))
		a.plus(sum, a.abs(diff))
		g := a.fma(at(y), at(sums[2]), at(sums[0]))
		x2 := a.add(at(x), at(x))
		g = a.fma(x2, at(sums[1]), g)
		positive, negative := a.cmp(gtOS, diff, a.konst(0)), a.cmp(ltOS, diff, a.konst(0))
		sign := a.sub(a.keep(positive, l1), a.keep(negative, l1))
		a.store(a.fnma(ssim, g, sign), floats(grad, i))
		a.flush()
	})
	sumLanes(a, sum)
}
