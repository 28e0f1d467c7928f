package ptx

import (
	"math"
	"math/bits"
)

func f32(x uint32) float32 { return math.Float32frombits(x) }
func b32(x float32) uint32 { return math.Float32bits(x) }

// each runs f for every lane of the set.
func each(lanes uint32, f func(i int)) {
	for m := lanes; m != 0; m &= m - 1 {
		f(bits.TrailingZeros32(m))
	}
}

// decodeArithmetic reads instructions from registers of one class to a register of the same class.
func decodeArithmetic(d *decoder) runner {
	if d.last == "pred" {
		return decodePredicate(d)
	}
	wide := sizes[d.last] == 8
	d.to(0, wide)
	d.argument(1)
	for i := 1; i < len(d.args) && i <= 3; i++ {
		distance := i == 2 && (d.part[0] == "shl" || d.part[0] == "shr") // of a shift: always 32 bits
		d.from(i-1, i, wide && !distance)
	}
	if (d.part[0] == "fma" || d.part[0] == "bfe") && len(d.args) != 4 {
		d.fail("%d operands", len(d.args))
	}
	switch {
	case d.last == "f32":
		return decodeFloat(d)
	case wide:
		return decodeLong(d)
	case sizes[d.last] == 2:
		return decodeShort(d)
	case sizes[d.last] == 4:
		return decodeInt(d)
	}
	return nil
}

// flush is what .ftz makes of a denormal.
func flush(x float32) float32 {
	if b := b32(x); b&0x7f800000 == 0 {
		return f32(b & 0x80000000)
	}
	return x
}

func floats1(f func(a float32) float32) func(ftz bool) runner {
	return func(ftz bool) runner {
		return func(w *warp, in *inst, lanes uint32) {
			d, a := &w.r[in.d[0]], &w.r[in.a[0]]
			for m := lanes; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m)
				if x := f32(a[i]); ftz {
					d[i] = b32(flush(f(flush(x))))
				} else {
					d[i] = b32(f(x))
				}
			}
		}
	}
}

func floats2(f func(a, b float32) float32) func(ftz bool) runner {
	return func(ftz bool) runner {
		return func(w *warp, in *inst, lanes uint32) {
			d, a, b := &w.r[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]]
			for m := lanes; m != 0; m &= m - 1 {
				i := bits.TrailingZeros32(m)
				if x, y := f32(a[i]), f32(b[i]); ftz {
					d[i] = b32(flush(f(flush(x), flush(y))))
				} else {
					d[i] = b32(f(x, y))
				}
			}
		}
	}
}

// fma rounds once: the product of two float32 is exact in a float64.
func fma(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

func decodeFMA(ftz bool) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b, c := &w.r[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]], &w.r[in.a[2]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			x := fma(f32(a[i]), f32(b[i]), f32(c[i]))
			if ftz {
				x = flush(x)
			}
			d[i] = b32(x)
		}
	}
}

// A NaN loses against a number, as PTX has it.
func minimum(a, b float32) float32 {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return min(a, b)
}

func maximum(a, b float32) float32 {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return max(a, b)
}

// Approximate units are exact here: a card may be off by 2 units in the last place.
var floats = map[string]func(ftz bool) runner{
	"mov": func(bool) runner { return move32 },
	"add": floats2(func(a, b float32) float32 { return a + b }),
	"sub": floats2(func(a, b float32) float32 { return a - b }),
	"mul": floats2(func(a, b float32) float32 { return a * b }),
	"div": floats2(func(a, b float32) float32 { return a / b }),
	"min": floats2(minimum), "max": floats2(maximum), "fma": decodeFMA,
	"neg":   floats1(func(a float32) float32 { return -a }),
	"abs":   floats1(func(a float32) float32 { return f32(b32(a) &^ (1 << 31)) }),
	"ex2":   floats1(func(a float32) float32 { return float32(math.Exp2(float64(a))) }),
	"lg2":   floats1(func(a float32) float32 { return float32(math.Log2(float64(a))) }),
	"rcp":   floats1(func(a float32) float32 { return 1 / a }),
	"sqrt":  floats1(func(a float32) float32 { return float32(math.Sqrt(float64(a))) }),
	"rsqrt": floats1(func(a float32) float32 { return float32(1 / math.Sqrt(float64(a))) }),
}

func decodeFloat(d *decoder) runner {
	if make := floats[d.part[0]]; make != nil {
		return make(d.has("ftz"))
	}
	return nil
}

func move32(w *warp, in *inst, lanes uint32) {
	d, a := &w.r[in.d[0]], &w.r[in.a[0]]
	if lanes == allLanes {
		*d = *a
		return
	}
	each(lanes, func(i int) { d[i] = a[i] })
}

func ints1(f func(a uint32) uint32) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a := &w.r[in.d[0]], &w.r[in.a[0]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			d[i] = f(a[i])
		}
	}
}

func ints2(f func(a, b uint32) uint32) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b := &w.r[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			d[i] = f(a[i], b[i])
		}
	}
}

func ints3(f func(a, b, c uint32) uint32) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b, c := &w.r[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]], &w.r[in.a[2]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			d[i] = f(a[i], b[i], c[i])
		}
	}
}

// ints by name, and by name and class where that matters.
var ints = map[string]runner{
	"mov": move32,
	"add": func(w *warp, in *inst, lanes uint32) {
		d, a, b := &w.r[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			d[i] = a[i] + b[i]
		}
	},
	"sub": ints2(func(a, b uint32) uint32 { return a - b }),
	"and": ints2(func(a, b uint32) uint32 { return a & b }),
	"or":  ints2(func(a, b uint32) uint32 { return a | b }),
	"xor": ints2(func(a, b uint32) uint32 { return a ^ b }),
	// A shift by more than the width gives 0, or the sign; Go's shifts do the same.
	"shl":     ints2(func(a, b uint32) uint32 { return a << b }),
	"shr.u32": ints2(func(a, b uint32) uint32 { return a >> b }),
	"shr.b32": ints2(func(a, b uint32) uint32 { return a >> b }),
	"shr.s32": ints2(func(a, b uint32) uint32 { return uint32(int32(a) >> b) }),
	"div.u32": ints2(func(a, b uint32) uint32 {
		if b == 0 {
			return allLanes
		}
		return a / b
	}),
	"rem.u32": ints2(func(a, b uint32) uint32 {
		if b == 0 {
			return allLanes
		}
		return a % b
	}),
	"min.u32": ints2(func(a, b uint32) uint32 { return min(a, b) }),
	"max.u32": ints2(func(a, b uint32) uint32 { return max(a, b) }),
	"min.s32": ints2(func(a, b uint32) uint32 { return uint32(min(int32(a), int32(b))) }),
	"max.s32": ints2(func(a, b uint32) uint32 { return uint32(max(int32(a), int32(b))) }),
	"not":     ints1(func(a uint32) uint32 { return ^a }),
	"neg":     ints1(func(a uint32) uint32 { return -a }),
	"popc":    ints1(func(a uint32) uint32 { return uint32(bits.OnesCount32(a)) }),
	"clz":     ints1(func(a uint32) uint32 { return uint32(bits.LeadingZeros32(a)) }),
	"brev":    ints1(bits.Reverse32),
	"bfe.u32": ints3(func(a, at, n uint32) uint32 { return uint32(uint64(a) >> (at & 255) & (1<<(n&255) - 1)) }),
}

func decodeInt(d *decoder) runner {
	if run := ints[d.part[0]+"."+d.last]; run != nil {
		return run
	}
	return ints[d.part[0]]
}

// shorts are the 16-bit forms: registers of 16 bits lie in the 32-bit file, their upper half clear.
var shorts = map[string]runner{
	"mov": move32,
	"and": ints["and"], "or": ints["or"], "xor": ints["xor"],
	"not":     ints1(func(a uint32) uint32 { return uint32(^uint16(a)) }),
	"add":     ints2(func(a, b uint32) uint32 { return uint32(uint16(a + b)) }),
	"sub":     ints2(func(a, b uint32) uint32 { return uint32(uint16(a - b)) }),
	"shl":     ints2(func(a, b uint32) uint32 { return uint32(uint16(a << b)) }),
	"shr.u16": ints2(func(a, b uint32) uint32 { return uint32(uint16(a) >> b) }),
	"shr.s16": ints2(func(a, b uint32) uint32 { return uint32(uint16(int16(a) >> b)) }),
}

func decodeShort(d *decoder) runner {
	if run := shorts[d.part[0]+"."+d.last]; run != nil {
		return run
	}
	return shorts[d.part[0]]
}

func longs2(f func(a, b uint64) uint64) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b := &w.x[in.d[0]], &w.x[in.a[0]], &w.x[in.a[1]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			d[i] = f(a[i], b[i])
		}
	}
}

func shift(f func(a uint64, by uint32) uint64) runner {
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b := &w.x[in.d[0]], &w.x[in.a[0]], &w.r[in.a[1]]
		each(lanes, func(i int) { d[i] = f(a[i], b[i]) })
	}
}

var longs = map[string]runner{
	"mov": func(w *warp, in *inst, lanes uint32) {
		d, a := &w.x[in.d[0]], &w.x[in.a[0]]
		each(lanes, func(i int) { d[i] = a[i] })
	},
	"add":     longs2(func(a, b uint64) uint64 { return a + b }),
	"sub":     longs2(func(a, b uint64) uint64 { return a - b }),
	"and":     longs2(func(a, b uint64) uint64 { return a & b }),
	"or":      longs2(func(a, b uint64) uint64 { return a | b }),
	"xor":     longs2(func(a, b uint64) uint64 { return a ^ b }),
	"shl":     shift(func(a uint64, by uint32) uint64 { return a << by }),
	"shr.u64": shift(func(a uint64, by uint32) uint64 { return a >> by }),
	"shr.b64": shift(func(a uint64, by uint32) uint64 { return a >> by }),
	"shr.s64": shift(func(a uint64, by uint32) uint64 { return uint64(int64(a) >> by) }),
}

func decodeLong(d *decoder) runner {
	if run := longs[d.part[0]+"."+d.last]; run != nil {
		return run
	}
	return longs[d.part[0]]
}

// decodeMultiply reads mul and mad, whose class does not say how wide the result is.
func decodeMultiply(d *decoder) runner {
	if d.last == "f32" {
		return decodeArithmetic(d)
	}
	if d.has("wide") {
		d.to(0, sizes[d.last] == 4)
		d.from(0, 1, false)
		d.from(1, 2, false)
		if d.part[0] == "mad" {
			d.from(2, 3, sizes[d.last] == 4)
		}
		return multiplyWide(d.last, d.part[0] == "mad")
	}
	wide := sizes[d.last] == 8
	d.to(0, wide)
	for i := 1; i < len(d.args) && i <= 3; i++ {
		d.from(i-1, i, wide)
	}
	low, add := d.has("lo"), d.part[0] == "mad"
	switch {
	case wide && low && !add:
		return longs2(func(a, b uint64) uint64 { return a * b })
	case wide && low:
		return func(w *warp, in *inst, lanes uint32) {
			d, a, b, c := &w.x[in.d[0]], &w.x[in.a[0]], &w.x[in.a[1]], &w.x[in.a[2]]
			each(lanes, func(i int) { d[i] = a[i]*b[i] + c[i] })
		}
	case d.last == "u16" && d.has("hi") && !add:
		return ints2(func(a, b uint32) uint32 { return uint32(uint16(a)) * uint32(uint16(b)) >> 16 })
	case sizes[d.last] == 2 && low && !add:
		return ints2(func(a, b uint32) uint32 { return uint32(uint16(a * b)) })
	case sizes[d.last] != 4:
	case low && add:
		return ints3(func(a, b, c uint32) uint32 { return a*b + c })
	case low:
		return ints2(func(a, b uint32) uint32 { return a * b })
	case d.has("hi") && d.last == "u32" && !add:
		return ints2(func(a, b uint32) uint32 { return uint32(uint64(a) * uint64(b) >> 32) })
	case d.has("hi") && d.last == "s32" && !add:
		return ints2(func(a, b uint32) uint32 { return uint32(int64(int32(a)) * int64(int32(b)) >> 32) })
	}
	return nil
}

// multiplyWide gives twice the width.
func multiplyWide(class string, add bool) runner {
	switch class {
	case "u16":
		return ints2(func(a, b uint32) uint32 { return uint32(uint16(a)) * uint32(uint16(b)) })
	case "u32", "s32":
	default:
		return nil
	}
	signed := class == "s32"
	return func(w *warp, in *inst, lanes uint32) {
		d, a, b := &w.x[in.d[0]], &w.r[in.a[0]], &w.r[in.a[1]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			v := uint64(a[i]) * uint64(b[i])
			if signed {
				v = uint64(int64(int32(a[i])) * int64(int32(b[i])))
			}
			if add {
				v += w.x[in.a[2]][i]
			}
			d[i] = v
		}
	}
}

// decodePredicate reads the logic of predicates, one bit a lane.
func decodePredicate(d *decoder) runner {
	d.to(0, false)
	var read [2]func(w *warp) uint32
	for i := 1; i < len(d.args) && i <= 2; i++ {
		switch d.args[i] {
		case "0":
			read[i-1] = func(*warp) uint32 { return 0 }
		case "1", "-1":
			read[i-1] = func(*warp) uint32 { return allLanes }
		default:
			at := d.operand(d.args[i], false)
			read[i-1] = func(w *warp) uint32 { return w.p[at] }
		}
	}
	var f func(a, b uint32) uint32
	switch d.part[0] {
	case "and":
		f = func(a, b uint32) uint32 { return a & b }
	case "or":
		f = func(a, b uint32) uint32 { return a | b }
	case "xor":
		f = func(a, b uint32) uint32 { return a ^ b }
	case "not":
		f = func(a, _ uint32) uint32 { return ^a }
	case "mov":
		f = func(a, _ uint32) uint32 { return a }
	default:
		return nil
	}
	if read[1] == nil {
		read[1] = read[0]
	}
	return func(w *warp, in *inst, lanes uint32) {
		w.setPredicate(in.d[0], lanes, f(read[0](w), read[1](w)))
	}
}

func (w *warp) setPredicate(p int, lanes, v uint32) { w.p[p] = w.p[p]&^lanes | v&lanes }
