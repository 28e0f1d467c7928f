package ptx

import "math/bits"

const allLanes = 0xffffffff

// warp is 32 threads. Lanes that took different ways are groups; the one that is farthest behind runs first, so that
// they meet again where their ways do.
type warp struct {
	b         *block
	first     int // thread
	r         [][32]uint32
	x         [][32]uint64
	p         []uint32
	groups    []group
	live      uint32 // lanes that have not left
	syncs     int    // warp barriers passed
	executed  int64  // instructions in this block
	predicate uint32 // scratch
}

// group is the lanes of a warp that are at the same instruction.
type group struct {
	pc    int
	lanes uint32
	state state
}

type state uint8

const (
	ready     state = iota
	atBarrier       // of the block
	atWarp          // waits for the other lanes
)

type block struct {
	d      *Device
	e      *entry
	cta    uint32
	params []byte
	shared memory
	shadow []shadow // of each word of shared memory
	warps  []*warp
	epoch  int // block barriers passed, from 1
}

func newBlock(d *Device, e *entry, params []byte, threads int) *block {
	b := &block{d: d, e: e, params: params, shared: newMemory(e.sharedSize), shadow: make([]shadow, (e.sharedSize+3)/4)}
	for first := 0; first < threads; first += 32 {
		w := &warp{
			b: b, first: first, p: make([]uint32, e.nPredicate),
			r: make([][32]uint32, e.n32+len(e.const32)), x: make([][32]uint64, e.n64+len(e.const64)),
		}
		for i := range 32 {
			for k, v := range e.const32 {
				w.r[e.n32+k][i] = v
			}
			for k, v := range e.const64 {
				w.x[e.n64+k][i] = v
			}
			w.r[e.n32+tid][i] = uint32(first + i)
			w.r[e.n32+ntid][i] = uint32(threads)
			w.r[e.n32+laneid][i] = uint32(i)
		}
		b.warps = append(b.warps, w)
	}
	return b
}

// reset begins another block.
func (b *block) reset(cta, groups, threads int) {
	b.epoch, b.cta = 1, uint32(cta)
	b.shared.forget()
	clear(b.shadow)
	for _, w := range b.warps {
		for i := range 32 {
			w.r[b.e.n32+ctaid][i] = uint32(cta)
			w.r[b.e.n32+nctaid][i] = uint32(groups)
		}
		w.live, w.syncs, w.executed = allLanes, 0, 0
		if left := threads - w.first; left < 32 {
			w.live = 1<<left - 1
		}
		w.groups = append(w.groups[:0], group{lanes: w.live})
	}
}

// run executes the block: every warp up to the next barrier, in turns.
func (b *block) run() {
	for {
		alive, waiting := 0, 0
		for _, w := range b.warps {
			before := b.d.executed
			w.run()
			w.executed += b.d.executed - before
			if w.live == 0 {
				continue
			}
			alive++
			if len(w.groups) == 1 && w.groups[0].state == atBarrier {
				waiting++
			}
		}
		if alive == 0 || b.d.exhausted() {
			return
		}
		if waiting != alive {
			b.reportStuck()
			return
		}
		at := -1
		for _, w := range b.warps {
			if w.live == 0 {
				continue
			}
			g := &w.groups[0]
			if at < 0 {
				at = g.pc
			} else if at != g.pc {
				b.d.report(b.e, &b.e.code[g.pc], Barrier, "warps of a block wait at different barriers; another is in line %d", b.e.code[at].line)
			}
			g.pc++
			g.state = ready
		}
		b.epoch++
	}
}

// reportStuck names the first place at which lanes wait for others that never come.
func (b *block) reportStuck() {
	for _, w := range b.warps {
		for _, g := range w.groups {
			if g.state == atBarrier {
				b.d.report(b.e, &b.e.code[g.pc], Barrier, "not every thread of the block reaches this barrier")
				return
			}
		}
	}
	for _, w := range b.warps {
		for _, g := range w.groups {
			if g.state == atWarp {
				b.d.report(b.e, &b.e.code[g.pc], Barrier, "lanes %08x wait here, the others of the warp are elsewhere", g.lanes)
				return
			}
		}
	}
}

// run executes until every lane waits or has left.
func (w *warp) run() {
	order := w.b.e.order
	for !w.b.d.exhausted() {
		at := -1
		for i := range w.groups {
			if g := &w.groups[i]; g.state == ready && (at < 0 || order[g.pc] < order[w.groups[at].pc]) {
				at = i
			}
		}
		if at < 0 {
			return
		}
		w.advance(at)
		w.merge()
	}
}

// advance runs one group: straight on while it is alone, else one instruction.
func (w *warp) advance(at int) {
	code := w.b.e.code
	g := &w.groups[at]
	for {
		in := &code[g.pc]
		lanes := g.lanes
		if in.guard >= 0 {
			if in.negate {
				lanes &^= w.p[in.guard]
			} else {
				lanes &= w.p[in.guard]
			}
		}
		w.b.d.executed++
		switch in.kind {
		case ordinary:
			if lanes != 0 {
				in.run(w, in, lanes)
			}
			g.pc++
		case branch:
			switch lanes {
			case g.lanes:
				g.pc = in.target
			case 0:
				g.pc++
			default:
				g.lanes &^= lanes
				g.pc++
				w.groups = append(w.groups, group{pc: in.target, lanes: lanes})
				return
			}
		case leave:
			w.live &^= lanes
			g.lanes &^= lanes
			g.pc++
		case barrier:
			g.state = atBarrier
		case warpWide:
			if named := w.named(in, g); g.lanes&named != named {
				g.state = atWarp
			} else {
				in.run(w, in, lanes)
				g.pc++
			}
		}
		if len(w.groups) > 1 || g.lanes == 0 || g.state != ready || w.b.d.exhausted() {
			return
		}
	}
}

// named is the live lanes that a warp-wide instruction names as taking part.
func (w *warp) named(in *inst, g *group) uint32 {
	mask := w.r[in.a[3]][bits.TrailingZeros32(g.lanes)]
	if g.lanes&^mask != 0 {
		w.b.d.report(w.b.e, in, Barrier, "lanes %08x come here, the instruction names %08x", g.lanes, mask)
	}
	return mask & w.live
}

// merge joins groups that are at the same instruction, and wakes those that have become complete.
func (w *warp) merge() {
	list := w.groups[:0]
	for _, g := range w.groups {
		if g.lanes == 0 {
			continue
		}
		joined := false
		for i := range list {
			if list[i].pc == g.pc && (list[i].state == atBarrier) == (g.state == atBarrier) {
				list[i].lanes |= g.lanes
				list[i].state = min(list[i].state, g.state)
				joined = true
				break
			}
		}
		if !joined {
			list = append(list, g)
		}
	}
	w.groups = list
	for i := range w.groups {
		if g := &w.groups[i]; g.state == atWarp {
			in := &w.b.e.code[g.pc]
			if named := w.named(in, g); g.lanes&named == named {
				g.state = ready
			}
		}
	}
}
