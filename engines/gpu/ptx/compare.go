package ptx

import (
	"math/bits"
	"strings"
)

// relation of two values of a class; nil: unknown.
func relation[T int16 | uint16 | int32 | uint32 | int64 | uint64 | float32](how string) func(a, b T) bool {
	switch how {
	case "eq":
		return func(a, b T) bool { return a == b }
	case "ne":
		return func(a, b T) bool { return a != b }
	case "lt", "lo":
		return func(a, b T) bool { return a < b }
	case "le", "ls":
		return func(a, b T) bool { return a <= b }
	case "gt", "hi":
		return func(a, b T) bool { return a > b }
	case "ge", "hs":
		return func(a, b T) bool { return a >= b }
	}
	return nil
}

// tests sets a predicate from a test of each lane.
func tests(test func(w *warp, in *inst, i int) bool) runner {
	return func(w *warp, in *inst, lanes uint32) {
		result := uint32(0)
		for m := lanes; m != 0; m &= m - 1 {
			if i := bits.TrailingZeros32(m); test(w, in, i) {
				result |= 1 << i
			}
		}
		w.setPredicate(in.d[0], lanes, result)
	}
}

func test32[T int16 | uint16 | int32 | uint32](how string) runner {
	f := relation[T](how)
	if f == nil {
		return nil
	}
	return tests(func(w *warp, in *inst, i int) bool { return f(T(w.r[in.a[0]][i]), T(w.r[in.a[1]][i])) })
}

func test64[T int64 | uint64](how string) runner {
	f := relation[T](how)
	if f == nil {
		return nil
	}
	return tests(func(w *warp, in *inst, i int) bool { return f(T(w.x[in.a[0]][i]), T(w.x[in.a[1]][i])) })
}

// decodeCompare reads setp. A relation that ends in u holds for NaN, any other does not.
func decodeCompare(d *decoder) runner {
	how, wide := d.part[1], sizes[d.last] == 8
	d.to(0, false)
	d.from(0, 1, wide)
	d.from(1, 2, wide)
	if len(d.args) != 3 {
		d.fail("%d operands", len(d.args))
	}
	switch d.last {
	case "f32":
		return testFloats(how)
	case "s16":
		return test32[int16](how)
	case "u16", "b16":
		return test32[uint16](how)
	case "s32":
		return test32[int32](how)
	case "u32", "b32":
		return test32[uint32](how)
	case "s64":
		return test64[int64](how)
	case "u64", "b64":
		return test64[uint64](how)
	}
	return nil
}

func testFloats(how string) runner {
	switch how {
	case "num":
		return tests(func(w *warp, in *inst, i int) bool {
			a, b := f32(w.r[in.a[0]][i]), f32(w.r[in.a[1]][i])
			return a == a && b == b
		})
	case "nan":
		return tests(func(w *warp, in *inst, i int) bool {
			a, b := f32(w.r[in.a[0]][i]), f32(w.r[in.a[1]][i])
			return a != a || b != b
		})
	}
	base, unordered := strings.CutSuffix(how, "u")
	f := relation[float32](base)
	if f == nil {
		return nil
	}
	// ne is ordered too: it is false for NaN.
	return tests(func(w *warp, in *inst, i int) bool {
		a, b := f32(w.r[in.a[0]][i]), f32(w.r[in.a[1]][i])
		if a != a || b != b {
			return unordered
		}
		return f(a, b)
	})
}

func decodeSelect(d *decoder) runner {
	wide := sizes[d.last] == 8
	d.to(0, wide)
	d.from(0, 1, wide)
	d.from(1, 2, wide)
	d.from(2, 3, false)
	return func(w *warp, in *inst, lanes uint32) {
		p := w.p[in.a[2]]
		for m := lanes; m != 0; m &= m - 1 {
			i := bits.TrailingZeros32(m)
			from := in.a[1]
			if p>>i&1 != 0 {
				from = in.a[0]
			}
			if wide {
				w.x[in.d[0]][i] = w.x[from][i]
			} else {
				w.r[in.d[0]][i] = w.r[from][i]
			}
		}
	}
}

// Conversions by destination and source.
var conversions = map[string]func(w *warp, in *inst, i int){
	"u64<u32": func(w *warp, in *inst, i int) { w.x[in.d[0]][i] = uint64(w.r[in.a[0]][i]) },
	"s64<s32": func(w *warp, in *inst, i int) { w.x[in.d[0]][i] = uint64(int64(int32(w.r[in.a[0]][i]))) },
	"u32<u64": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(w.x[in.a[0]][i]) },
	"u32<u16": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(uint16(w.r[in.a[0]][i])) },
	"u16<u32": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(uint16(w.r[in.a[0]][i])) },
	"u16<u64": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(uint16(w.x[in.a[0]][i])) },
	"u16<u8":  func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(uint8(w.r[in.a[0]][i])) },
	"s16<s8":  func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = uint32(uint16(int8(w.r[in.a[0]][i]))) },
	"f32<u16": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = b32(float32(uint16(w.r[in.a[0]][i]))) },
	"f32<u32": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = b32(float32(w.r[in.a[0]][i])) },
	"f32<s32": func(w *warp, in *inst, i int) { w.r[in.d[0]][i] = b32(float32(int32(w.r[in.a[0]][i]))) },
	"u32<f32": func(w *warp, in *inst, i int) {
		w.r[in.d[0]][i] = uint32(min(max(nanAsZero(w.r[in.a[0]][i]), 0), 1<<32-1))
	},
	"s32<f32": func(w *warp, in *inst, i int) {
		w.r[in.d[0]][i] = uint32(int32(min(max(nanAsZero(w.r[in.a[0]][i]), -1<<31), 1<<31-1)))
	},
}

func nanAsZero(x uint32) float64 {
	if v := float64(f32(x)); v == v {
		return v
	}
	return 0
}

// decodeConvert reads cvt. Floats become integers towards zero, and saturate; integers become the nearest float.
func decodeConvert(d *decoder) runner {
	if len(d.part) < 3 {
		return nil
	}
	to, from := d.part[len(d.part)-2], d.last
	d.to(0, sizes[to] == 8)
	d.from(0, 1, sizes[from] == 8)
	one := conversions[to+"<"+from]
	if one == nil || from == "f32" && !d.has("rzi") || to == "f32" && !d.has("rn") {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) { each(lanes, func(i int) { one(w, in, i) }) }
}
