package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// instruction is one operation at both widths.
type instruction struct {
	full, broadcast func(...Op) // the latter with a 4-byte memory operand for every lane, AVX-512 only
	commutes        bool
}

var binaries = map[string]instruction{
	"add":    {VADDPS, VADDPS_BCST, true},
	"sub":    {VSUBPS, VSUBPS_BCST, false},
	"mul":    {VMULPS, VMULPS_BCST, true},
	"div":    {VDIVPS, VDIVPS_BCST, false},
	"min":    {VMINPS, VMINPS_BCST, false},
	"max":    {VMAXPS, VMAXPS_BCST, false},
	"and":    {VANDPS, VANDPS_BCST, true},
	"or":     {VORPS, VORPS_BCST, true},
	"xor":    {VXORPS, VXORPS_BCST, true},
	"addInt": {VPADDD, VPADDD_BCST, true},
	"subInt": {VPSUBD, VPSUBD_BCST, false},
	"scale":  {VSCALEFPS, VSCALEFPS_BCST, false},
}

var unaries = map[string]instruction{
	"sqrt":    {full: VSQRTPS},
	"toInt":   {full: VCVTPS2DQ},
	"toFloat": {full: VCVTDQ2PS},
	"rcp":     {full: func(ops ...Op) { VRCPPS(ops[0], ops[1]) }}, // AVX2 only, 1.5·2^-12
}

var unariesImm = map[string]func(...Op){
	"shiftLeft":  VPSLLD,
	"shiftRight": VPSRAD,
	"floor":      func(ops ...Op) { VROUNDPS(ops[0], ops[1], ops[2]) },
	"reduce":     VREDUCEPS,
}

var fused = map[string][3]instruction{ // 132, 213, 231
	"fma":  {{full: VFMADD132PS, broadcast: VFMADD132PS_BCST}, {full: VFMADD213PS, broadcast: VFMADD213PS_BCST}, {full: VFMADD231PS, broadcast: VFMADD231PS_BCST}},
	"fnma": {{full: VFNMADD132PS, broadcast: VFNMADD132PS_BCST}, {full: VFNMADD213PS, broadcast: VFNMADD213PS_BCST}, {full: VFNMADD231PS, broadcast: VFNMADD231PS_BCST}},
	"fms":  {{full: VFMSUB132PS, broadcast: VFMSUB132PS_BCST}, {full: VFMSUB213PS, broadcast: VFMSUB213PS_BCST}, {full: VFMSUB231PS, broadcast: VFMSUB231PS_BCST}},
}

func (a *vec) isK(v *value) bool { return v.mask && a.lanes == 16 }

// nextUse is the first op after now that reads v, or a large number.
func nextUse(v *value, now int) int {
	for _, u := range v.uses {
		if u > now {
			return u
		}
	}
	return math.MaxInt
}

func (a *vec) flush() {
	a.dropUnused()
	for i := range a.ops {
		for _, v := range a.ops[i].args {
			v.uses = nil // of the last flush
		}
	}
	for i := range a.ops {
		for _, v := range a.ops[i].args {
			v.uses = append(v.uses, i)
		}
	}
	for i := range a.ops {
		a.emit(i)
		for _, v := range append([]*value(nil), a.held...) {
			if nextUse(v, i) == math.MaxInt {
				a.release(v)
			}
		}
	}
	if len(a.held) > 0 {
		panic("values live after flush")
	}
	a.ops, a.slots = nil, 0
}

// dropUnused removes operations whose results nobody reads.
func (a *vec) dropUnused() {
	used := map[*value]bool{}
	kept := a.ops[:0:0]
	for i := len(a.ops) - 1; i >= 0; i-- {
		op := a.ops[i]
		if op.dst != nil && !op.dst.pinned && !used[op.dst] {
			continue
		}
		for _, v := range op.args {
			used[v] = true
		}
		kept = append(kept, op)
	}
	for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	a.ops = kept
}

func (a *vec) release(v *value) {
	if a.isK(v) {
		a.freeK = append(a.freeK, v.reg)
	} else if v.reg >= 0 {
		a.free = append(a.free, v.reg)
	}
	v.reg = -1
	a.forget(v)
}

func (a *vec) forget(v *value) {
	for i, w := range a.held {
		if w == v {
			a.held = append(a.held[:i], a.held[i+1:]...)
			return
		}
	}
}

// allocate finds a register at op now, evicting if need be, but none of keep.
func (a *vec) allocate(v *value, now int, keep ...*value) {
	if a.isK(v) {
		if len(a.freeK) == 0 {
			panic("out of mask registers")
		}
		v.reg, a.freeK = a.freeK[len(a.freeK)-1], a.freeK[:len(a.freeK)-1]
		a.held = append(a.held, v)
		return
	}
	if len(a.free) == 0 {
		var worst *value
		for _, w := range a.held {
			if !a.isK(w) && !contains(keep, w) && (worst == nil || nextUse(w, now) > nextUse(worst, now)) {
				worst = w
			}
		}
		if worst == nil {
			panic("out of registers")
		}
		if worst.kind == computed && worst.slot < 0 {
			if a.slots == a.maxSlots {
				panic("out of stack slots")
			}
			worst.slot = a.slots
			a.slots++
			VMOVUPS(a.physical(worst.reg), a.slotMem(worst))
		}
		a.release(worst)
	}
	v.reg, a.free = a.free[len(a.free)-1], a.free[:len(a.free)-1]
	if !v.pinned {
		a.held = append(a.held, v)
	}
}

func contains(vs []*value, v *value) bool {
	for _, w := range vs {
		if w == v {
			return true
		}
	}
	return false
}

func (a *vec) slotMem(v *value) Mem { return Mem{Base: a.stack, Disp: v.slot * 64} }

// inReg brings v into a register.
func (a *vec) inReg(v *value, now int, keep ...*value) {
	if v.reg >= 0 {
		return
	}
	a.allocate(v, now, keep...)
	a.fetch(v, a.physical(v.reg))
}

// fetch reads v from memory into r.
func (a *vec) fetch(v *value, r VecPhysical) {
	switch {
	case v.slot >= 0:
		VMOVUPS(a.slotMem(v), r)
	case v.kind == loaded, v.kind == constant && a.lanes == 8:
		VMOVUPS(v.mem, r)
	case v.kind == scalar, v.kind == constant:
		VBROADCASTSS(v.mem, r)
	default:
		panic("value was never computed")
	}
}

// operand returns v as an instruction's last source: its register, or memory. ok is false if it must be loaded first.
func (a *vec) operand(v *value, broadcasts bool) (op Op, broadcast, ok bool) {
	switch {
	case v.reg >= 0:
		return a.physical(v.reg), false, true
	case v.slot >= 0:
		return a.slotMem(v), false, true
	case v.kind == loaded, v.kind == constant && a.lanes == 8:
		return v.mem, false, true
	}
	return v.mem, true, broadcasts && a.lanes == 16
}

func (a *vec) emit(now int) {
	op := &a.ops[now]
	if in, ok := binaries[op.name]; ok {
		x, y := op.args[0], op.args[1]
		if in.commutes && x.reg < 0 && y.reg >= 0 {
			x, y = y, x
		}
		a.inReg(x, now, y)
		src, broadcast, ok := a.operand(y, true)
		if !ok {
			a.inReg(y, now, x)
			src, broadcast, _ = a.operand(y, true)
		}
		xr := a.physical(x.reg)
		dst := a.result(op, now, x, y)
		if broadcast {
			in.broadcast(src, xr, dst)
		} else {
			in.full(src, xr, dst)
		}
		return
	}
	if in, ok := unaries[op.name]; ok {
		src := a.source(op.args[0], now)
		in.full(src, a.result(op, now, op.args[0]))
		return
	}
	if f, ok := unariesImm[op.name]; ok {
		x := op.args[0]
		a.inReg(x, now)
		xr := a.physical(x.reg)
		f(op.imm, xr, a.result(op, now, x))
		return
	}
	switch op.name {
	case "fma", "fnma", "fms":
		a.emitFused(op, now)
	case "align":
		x, y := op.args[0], op.args[1]
		a.inReg(x, now, y)
		a.inReg(y, now, x)
		xr, yr := a.physical(x.reg), a.physical(y.reg)
		VALIGND(op.imm, xr, yr, a.result(op, now, x, y))
	case "bytesToInt":
		VPMOVZXBD(op.mem, a.result(op, now))
	case "wordsToInt":
		VPMOVZXWD(op.mem, a.result(op, now))
	case "store":
		a.inReg(op.args[0], now)
		VMOVUPS(a.physical(op.args[0].reg), op.mem)
	case "set":
		src := a.source(op.args[0], now)
		if _, isReg := src.(VecPhysical); isReg {
			VMOVAPS(src, a.physical(op.dst.reg))
		} else {
			VMOVUPS(src, a.physical(op.dst.reg))
		}
	case "cmp":
		x, y := op.args[0], op.args[1]
		a.inReg(x, now, y)
		src, broadcast, ok := a.operand(y, true)
		if !ok {
			a.inReg(y, now, x)
			src, broadcast, _ = a.operand(y, true)
		}
		xr := a.physical(x.reg)
		if a.lanes == 16 {
			a.allocate(op.dst, now)
			if broadcast {
				VCMPPS_BCST(op.imm, src, xr, kay[op.dst.reg])
			} else {
				VCMPPS(op.imm, src, xr, kay[op.dst.reg])
			}
			return
		}
		VCMPPS(op.imm, src, xr, a.result(op, now, x, y))
	case "both":
		x, y := op.args[0], op.args[1]
		if a.lanes == 16 {
			a.allocate(op.dst, now)
			KANDW(kay[x.reg], kay[y.reg], kay[op.dst.reg])
			return
		}
		a.inReg(x, now, y)
		a.inReg(y, now, x)
		xr, yr := a.physical(x.reg), a.physical(y.reg)
		VANDPS(xr, yr, a.result(op, now, x, y))
	case "maskBits":
		if a.lanes == 16 {
			KMOVW(kay[op.args[0].reg], op.gp)
			return
		}
		a.inReg(op.args[0], now)
		VMOVMSKPS(a.physical(op.args[0].reg), op.gp)
	case "maskFrom":
		a.allocate(op.dst, now)
		KMOVW(op.gp, kay[op.dst.reg])
	case "pick":
		m, x, y := op.args[0], op.args[1], op.args[2]
		a.inReg(y, now, x, m)
		if a.lanes == 8 {
			a.inReg(m, now, x, y)
		}
		src, broadcast, ok := a.operand(x, true)
		if !ok {
			a.inReg(x, now, y, m)
			src, broadcast, _ = a.operand(x, true)
		}
		yr := a.physical(y.reg)
		if a.lanes == 16 {
			k := kay[m.reg]
			dst := a.result(op, now, x, y)
			if broadcast {
				VBLENDMPS_BCST(src, yr, k, dst)
			} else {
				VBLENDMPS(src, yr, k, dst)
			}
			return
		}
		mr := a.physical(m.reg)
		VBLENDVPS(mr, src, yr, a.result(op, now, m, x, y))
	case "keep":
		m, x := op.args[0], op.args[1]
		if a.lanes == 16 {
			a.inReg(x, now)
			xr := a.physical(x.reg)
			VMOVAPS_Z(xr, kay[m.reg], a.result(op, now, x))
			return
		}
		a.inReg(m, now, x)
		src := a.source(x, now, m)
		mr := a.physical(m.reg)
		VANDPS(src, mr, a.result(op, now, m, x))
	default:
		panic("unknown operation " + op.name)
	}
}

// source returns v as a register or as a whole vector in memory.
func (a *vec) source(v *value, now int, keep ...*value) Op {
	src, _, ok := a.operand(v, false)
	if !ok {
		a.inReg(v, now, keep...)
		src, _, _ = a.operand(v, false)
	}
	return src
}

// result gives the op's destination a register, that of a dying argument if there is one.
func (a *vec) result(op *vop, now int, args ...*value) VecPhysical {
	if op.dst.pinned {
		return a.physical(op.dst.reg)
	}
	for _, v := range args {
		if v.reg >= 0 && !v.pinned && !a.isK(v) && nextUse(v, now) == math.MaxInt {
			a.release(v)
		}
	}
	a.allocate(op.dst, now, args...)
	return a.physical(op.dst.reg)
}

func (a *vec) emitFused(op *vop, now int) {
	forms := fused[op.name]
	x, y, z := op.args[0], op.args[1], op.args[2]
	// At most one operand stays in memory.
	resident := func(v *value) bool { return v.reg >= 0 }
	foldable := func(v *value) bool { _, _, ok := a.operand(v, true); return ok }
	if x == y {
		a.inReg(x, now, z)
	}
	if !resident(x) && resident(y) {
		x, y = y, x
	}
	// y, or else z, may stay in memory.
	a.inReg(x, now, y, z)
	folded := y
	if resident(y) {
		folded = z
	} else {
		a.inReg(z, now, x, y)
	}
	if !resident(folded) && !foldable(folded) {
		a.inReg(folded, now, x, y, z)
	}
	dies := func(v *value) bool {
		return resident(v) && !v.pinned && nextUse(v, now) == math.MaxInt
	}
	take := func(v *value) VecPhysical { // v's register becomes the result's
		r := v.reg
		a.forget(v)
		v.reg = -1
		op.dst.reg = r
		a.held = append(a.held, op.dst)
		return a.physical(r)
	}
	run := func(in instruction, last *value, mid, dst Op) {
		src, broadcast, _ := a.operand(last, true)
		if broadcast {
			in.broadcast(src, mid, dst)
		} else {
			in.full(src, mid, dst)
		}
	}
	switch {
	case op.dst.pinned:
		if op.dst != z {
			panic("a pinned value can only be added to")
		}
		run(forms[2], y, a.physical(x.reg), a.physical(z.reg))
	case dies(z) && z != x && z != y:
		src, broadcast, _ := a.operand(y, true)
		xr := a.physical(x.reg)
		dst := take(z)
		if broadcast {
			forms[2].broadcast(src, xr, dst)
		} else {
			forms[2].full(src, xr, dst)
		}
	case dies(x) && x != y && x != z:
		if resident(y) {
			src, broadcast, _ := a.operand(z, true)
			yr := a.physical(y.reg)
			dst := take(x)
			if broadcast {
				forms[1].broadcast(src, yr, dst)
			} else {
				forms[1].full(src, yr, dst)
			}
		} else {
			src, broadcast, _ := a.operand(y, true)
			zr := a.physical(z.reg)
			dst := take(x)
			if broadcast {
				forms[0].broadcast(src, zr, dst)
			} else {
				forms[0].full(src, zr, dst)
			}
		}
	case dies(y) && y != x && y != z: // y is resident
		src, broadcast, _ := a.operand(z, true)
		xr := a.physical(x.reg)
		dst := take(y)
		if broadcast {
			forms[1].broadcast(src, xr, dst)
		} else {
			forms[1].full(src, xr, dst)
		}
	default:
		a.allocate(op.dst, now, x, y, z)
		dst := a.physical(op.dst.reg)
		if resident(z) {
			VMOVAPS(a.physical(z.reg), dst)
		} else {
			a.fetch(z, dst)
		}
		run(forms[2], y, a.physical(x.reg), dst)
	}
}
