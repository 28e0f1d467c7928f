package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// vec writes straight-line vector arithmetic once for both widths: expressions are recorded as single-assignment values
// and flush turns them into instructions. Registers are given out by Belady's rule: when none is free, the value whose next
// use is farthest away goes to the stack, or is simply forgotten if it can be read from memory again. Operands that are
// in memory anyway are folded into the instruction.
//
// Loops, pointers and branches stay ordinary avo code between flushes; only pinned values live across a flush.
type vec struct {
	lanes int // 16: AVX-512, 8: AVX2
	ops   []vop
	free  []int    // vector registers
	freeK []int    // mask registers, AVX-512 only
	held  []*value // values in registers, pinned ones excepted

	slots, maxSlots int
	stack           Register // 64-byte aligned spill area
}

type valueKind int

const (
	computed valueKind = iota
	loaded             // a whole vector in memory
	scalar             // one float in memory, for every lane
	constant           // a constant for every lane
)

type value struct {
	kind   valueKind
	mem    Mem
	mask   bool
	pinned bool
	reg    int // -1: in no register
	slot   int // -1: not spilled
	uses   []int
}

type vop struct {
	name string
	imm  Constant
	args []*value
	dst  *value
	mem  Mem
	gp   Op
}

// newVec prepares for vectors of 8 or 16 lanes with room for some spilled values; it emits code that finds the stack.
func newVec(lanes, maxSlots int) *vec {
	a := &vec{lanes: lanes, maxSlots: maxSlots}
	n := 16
	if lanes == 16 {
		n = 32
		a.freeK = []int{1, 2, 3, 4, 5, 6, 7}
	}
	for r := n - 1; r >= 0; r-- {
		a.free = append(a.free, r)
	}
	if maxSlots > 0 {
		a.stack = aligned(maxSlots * 64)
	}
	return a
}

func (a *vec) bytes() int { return 4 * a.lanes }

func (a *vec) physical(r int) VecPhysical {
	if a.lanes == 16 {
		return zmm[r]
	}
	return ymm[r]
}

var (
	zmm = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}
	ymm = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
	kay = []OpmaskPhysical{K0, K1, K2, K3, K4, K5, K6, K7}
)

// Values.

func newValue(kind valueKind, m Mem) *value { return &value{kind: kind, mem: m, reg: -1, slot: -1} }

func (a *vec) load(m Mem) *value   { return newValue(loaded, m) }
func (a *vec) scalar(m Mem) *value { return newValue(scalar, m) }

// konst is a float in every lane; bits an integer.
func (a *vec) konst(f float64) *value { return a.bits(math.Float32bits(float32(f))) }

var constants = map[string]Mem{}

func (a *vec) bits(u uint32) *value {
	n := 1
	if a.lanes == 8 {
		n = 8 // no broadcasting operands before AVX-512
	}
	name := fmt.Sprintf("k%d_%08x", n, u)
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, rodataFlags)
		for i := range n {
			DATA(4*i, U32(u))
		}
		constants[name] = m
	}
	return newValue(constant, m)
}

// pin returns a value that keeps a register of its own until unpin. Give it content with set.
func (a *vec) pin() *value {
	if len(a.ops) > 0 {
		panic("pin between flushes")
	}
	v := newValue(computed, Mem{})
	v.pinned = true
	v.reg, a.free = a.free[0], a.free[1:]
	return v
}

func (a *vec) unpin(vs ...*value) {
	for _, v := range vs {
		a.free = append(a.free, v.reg)
		v.pinned = false
	}
}

// Operations.

func (a *vec) op(name string, imm Constant, args ...*value) *value {
	v := newValue(computed, Mem{})
	a.ops = append(a.ops, vop{name: name, imm: imm, args: args, dst: v})
	return v
}

func (a *vec) add(x, y *value) *value     { return a.op("add", nil, x, y) }
func (a *vec) sub(x, y *value) *value     { return a.op("sub", nil, x, y) }
func (a *vec) mul(x, y *value) *value     { return a.op("mul", nil, x, y) }
func (a *vec) div(x, y *value) *value     { return a.op("div", nil, x, y) }
func (a *vec) min(x, y *value) *value     { return a.op("min", nil, x, y) } // y if one is NaN
func (a *vec) max(x, y *value) *value     { return a.op("max", nil, x, y) } // y if one is NaN
func (a *vec) and(x, y *value) *value     { return a.op("and", nil, x, y) }
func (a *vec) or(x, y *value) *value      { return a.op("or", nil, x, y) }
func (a *vec) xor(x, y *value) *value     { return a.op("xor", nil, x, y) }
func (a *vec) addInt(x, y *value) *value  { return a.op("addInt", nil, x, y) }
func (a *vec) subInt(x, y *value) *value  { return a.op("subInt", nil, x, y) }
func (a *vec) sqrt(x *value) *value       { return a.op("sqrt", nil, x) }
func (a *vec) fma(x, y, z *value) *value  { return a.op("fma", nil, x, y, z) }  // x·y + z
func (a *vec) fnma(x, y, z *value) *value { return a.op("fnma", nil, x, y, z) } // z - x·y
func (a *vec) fms(x, y, z *value) *value  { return a.op("fms", nil, x, y, z) }  // x·y - z
func (a *vec) abs(x *value) *value        { return a.and(x, a.bits(0x7fffffff)) }
func (a *vec) neg(x *value) *value        { return a.xor(x, a.bits(0x80000000)) }

func (a *vec) shiftLeft(x *value, n uint8) *value  { return a.op("shiftLeft", U8(n), x) }
func (a *vec) shiftRight(x *value, n uint8) *value { return a.op("shiftRight", U8(n), x) } // keeps the sign
func (a *vec) toInt(x *value) *value               { return a.op("toInt", nil, x) }        // rounds to nearest
func (a *vec) toFloat(x *value) *value             { return a.op("toFloat", nil, x) }
func (a *vec) floor(x *value) *value               { return a.op("floor", U8(1), x) }

// bytesToInt widens lanes bytes at m, wordsToInt as many 16-bit values.
func (a *vec) bytesToInt(m Mem) *value { return a.from("bytesToInt", m) }
func (a *vec) wordsToInt(m Mem) *value { return a.from("wordsToInt", m) }

func (a *vec) from(name string, m Mem) *value {
	v := a.op(name, nil)
	a.ops[len(a.ops)-1].mem = m
	return v
}

// align is the lanes from n on of x followed by y: AVX-512 only.
func (a *vec) align(x, y *value, n uint8) *value { return a.op("align", U8(n), x, y) }

// dot is x0·y0 + x1·y1 + ...
func (a *vec) dot(x, y []*value) *value {
	sum := a.mul(x[0], y[0])
	for i := 1; i < len(x); i++ {
		sum = a.fma(x[i], y[i], sum)
	}
	return sum
}

// cmp compares; both is set where m and n are.
func (a *vec) cmp(predicate U8, x, y *value) *value {
	v := a.op("cmp", predicate, x, y)
	v.mask = true
	return v
}

func (a *vec) both(m, n *value) *value {
	v := a.op("both", nil, m, n)
	v.mask = true
	return v
}

// pick is x where m is set and y elsewhere; keep is x where m is set and 0 elsewhere.
func (a *vec) pick(m, x, y *value) *value { return a.op("pick", nil, m, x, y) }
func (a *vec) keep(m, x *value) *value    { return a.op("keep", nil, m, x) }

// maskBits moves a mask's bits to a 32-bit register.
func (a *vec) maskBits(m *value, gp Op) {
	a.ops = append(a.ops, vop{name: "maskBits", args: []*value{m}, gp: gp})
}

// maskFrom is the mask whose bits are in a 32-bit register; AVX-512 only.
func (a *vec) maskFrom(gp Op) *value {
	v := a.op("maskFrom", nil)
	v.mask = true
	a.ops[len(a.ops)-1].gp = gp
	return v
}

func (a *vec) store(x *value, m Mem) {
	a.ops = append(a.ops, vop{name: "store", args: []*value{x}, mem: m})
}

// set, plus and plusMul change a pinned value: p = x, p += x, p += x·y.
func (a *vec) set(p, x *value) {
	a.ops = append(a.ops, vop{name: "set", args: []*value{x}, dst: p})
}
func (a *vec) plus(p, x *value) {
	a.ops = append(a.ops, vop{name: "add", args: []*value{p, x}, dst: p})
}
func (a *vec) plusMul(p, x, y *value) {
	a.ops = append(a.ops, vop{name: "fma", args: []*value{x, y, p}, dst: p})
}
