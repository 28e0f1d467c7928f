package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
)

// poly evaluates c[0] + c[1]·x + ...
func (a *vec) poly(x *value, c ...float64) *value {
	p := a.konst(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		p = a.fma(p, x, a.konst(c[i]))
	}
	return p
}

// exp2 is 2^e by a polynomial on 0 <= f < 1; e must lie within -126 ... 127.
func (a *vec) exp2(e *value, c ...float64) *value {
	if a.lanes == 16 {
		return a.op("scale", nil, a.poly(a.op("reduce", U8(1), e), c...), e)
	}
	n := a.floor(e)
	return a.addInt(a.poly(a.sub(e, n), c...), a.shiftLeft(a.toInt(n), 23))
}

// exp2Blend is the polynomial of the blend kernels (tile.go); exp2Fine has one degree more, 7.5e-8.
var (
	exp2Blend = []float64{1.00000259, 0.693003834, 0.241442757, 0.0520114606, 0.0135341679}
	exp2Fine  = []float64{0.999999925, 0.693153073, 0.240153617, 0.0558263181, 0.00898934009, 0.00187757668}
)

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
