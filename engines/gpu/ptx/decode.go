package ptx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

type runner = func(w *warp, in *inst, lanes uint32)

// decoder reads one instruction. Its methods keep the first error.
type decoder struct {
	e    *entry
	in   *inst
	part []string // of the opcode, between dots
	last string   // of them
	args []string
	err  error
}

func (e *entry) decode(text string) (in inst, err error) {
	in.guard = -1
	d := &decoder{e: e, in: &in}
	if guard, found := strings.CutPrefix(text, "@"); found {
		guard, rest, _ := strings.Cut(guard, " ")
		guard, in.negate = strings.CutPrefix(guard, "!")
		text = strings.TrimSpace(rest)
		in.guard = d.operand(guard, false)
	}
	opcode, rest, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	d.part = strings.Split(opcode, ".")
	d.last = d.part[len(d.part)-1]
	d.args = split(rest)
	if d.err == nil {
		decodeOne := opcodes[d.part[0]]
		if decodeOne == nil {
			return in, fmt.Errorf("%s is not implemented", opcode)
		}
		in.run = decodeOne(d)
	}
	if d.err == nil && in.run == nil && (in.kind == ordinary || in.kind == warpWide) {
		d.err = fmt.Errorf("%s is not implemented", opcode)
	}
	return in, d.err
}

// opcodes by their first part. Each takes its operands from the decoder and returns what runs; nil: the form is unknown.
var opcodes map[string]func(d *decoder) runner

func init() {
	opcodes = map[string]func(d *decoder) runner{
		"bra": decodeBranch, "ret": decodeLeave, "exit": decodeLeave,
		"bar": decodeBarrier, "barrier": decodeBarrier, "membar": decodeFence, "fence": decodeFence,
		"ld": decodeLoad, "st": decodeStore, "atom": decodeAtomic, "red": decodeAtomic,
		"setp": decodeCompare, "selp": decodeSelect, "cvt": decodeConvert,
		"match": decodeMatch, "shfl": decodeShuffle, "vote": decodeVote,
		"mul": decodeMultiply, "mad": decodeMultiply,
	}
	for _, name := range []string{
		"mov", "add", "sub", "div", "rem", "min", "max", "fma", "neg", "abs", "ex2", "lg2", "rcp", "sqrt", "rsqrt",
		"and", "or", "xor", "not", "shl", "shr", "popc", "clz", "brev", "bfe",
	} {
		opcodes[name] = decodeArithmetic
	}
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) has(part string) bool { return slices.Contains(d.part, part) }

// argument is an operand's text.
func (d *decoder) argument(i int) string {
	if i < 0 || i >= len(d.args) {
		d.fail("operand %d is missing", i+1)
		return ""
	}
	return d.args[i]
}

// to reads a destination, from the sources: in the 64-bit file when wide.
func (d *decoder) to(i int, wide bool)          { d.in.d[0] = d.operand(d.argument(i), wide) }
func (d *decoder) from(place, i int, wide bool) { d.in.a[place] = d.operand(d.argument(i), wide) }

// operand finds the place of a register or of a constant.
func (d *decoder) operand(s string, wide bool) int {
	if d.err != nil {
		return 0
	}
	e := d.e
	if k, special := specialNames[s]; special {
		return e.n32 + k
	}
	if name, found := strings.CutPrefix(s, "%"); found {
		digits := strings.IndexAny(name, "0123456789")
		if digits > 0 {
			n, err := strconv.Atoi(name[digits:])
			if base, known := e.base[name[:digits]]; known && err == nil {
				return base + n
			}
		}
		d.fail("register %s is not declared", s)
		return 0
	}
	value, err := d.constant(s)
	if err != nil {
		d.fail("operand %s is not understood", s)
		return 0
	}
	if wide {
		e.const64 = append(e.const64, value)
		return e.n64 + len(e.const64) - 1
	}
	if at := slices.Index(e.const32[specials:], uint32(value)); at >= 0 {
		return e.n32 + specials + at
	}
	e.const32 = append(e.const32, uint32(value))
	return e.n32 + len(e.const32) - 1
}

// constant is a number, a float as 0f and its bits, or the address of a variable in its own space.
func (d *decoder) constant(s string) (uint64, error) {
	for _, table := range []map[string]symbol{d.e.params, d.e.shared} {
		if v, found := table[s]; found {
			return uint64(v.offset), nil
		}
	}
	if digits, found := strings.CutPrefix(s, "0f"); found {
		return strconv.ParseUint(digits, 16, 32)
	}
	s = strings.TrimSuffix(s, "U")
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return uint64(v), nil
	}
	return strconv.ParseUint(s, 0, 64)
}

// address reads [%rd1+4], [name] or [name+4] into the first source and the offset.
func (d *decoder) address(i int) {
	base := strings.Trim(d.argument(i), "[]")
	if k := strings.IndexAny(base, "+-"); k > 0 {
		offset, err := strconv.ParseInt(strings.TrimPrefix(base[k:], "+"), 0, 64)
		if err != nil {
			d.fail("address %s: %w", base, err)
		}
		base, d.in.offset = base[:k], uint64(offset)
	}
	if strings.HasPrefix(base, "%r") && !strings.HasPrefix(base, "%rd") {
		d.fail("address %s has 32 bits", base)
	}
	d.in.a[0] = d.operand(base, true)
}

// values reads one register or {a, b, c, d} into the destinations.
func (d *decoder) values(i int, wide bool) {
	list := []string{d.argument(i)}
	if strings.HasPrefix(list[0], "{") {
		list = split(strings.Trim(list[0], "{}"))
	}
	if len(list) > len(d.in.d) {
		d.fail("a vector of %d values", len(list))
		return
	}
	d.in.width = len(list)
	for k, name := range list {
		d.in.d[k] = d.operand(name, wide)
	}
}

func decodeBranch(d *decoder) runner {
	d.in.kind = branch
	target, known := d.e.labels[d.argument(0)]
	if !known {
		d.fail("there is no such label")
	}
	d.in.target = target
	return nil
}

func decodeLeave(d *decoder) runner {
	d.in.kind = leave
	return nil
}

func decodeFence(*decoder) runner { return func(*warp, *inst, uint32) {} }

func decodeBarrier(d *decoder) runner {
	if d.has("warp") {
		d.in.kind = warpWide
		d.from(3, 0, false)
		return func(w *warp, _ *inst, _ uint32) { w.syncs++ }
	}
	d.in.kind = barrier
	if id := d.argument(0); id != "0" || len(d.args) > 1 {
		d.fail("only barrier 0 of the whole block is known")
	}
	return nil
}
