package ptx

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// memory is bytes with a note for each of them whether it was ever written.
type memory struct{ data, written []byte }

func newMemory(n int) memory {
	m := memory{make([]byte, n), make([]byte, n)}
	m.forget()
	return m
}

// forget makes everything undefined.
func (m memory) forget() {
	clear(m.written)
	for i := range m.data {
		m.data[i] = 0xdb
	}
}

func (m memory) write(at int, data []byte) {
	copy(m.data[at:], data)
	m.note(uint64(at), uint64(len(data)))
}

// Four notes at once.
const allWritten = 0x01010101

// known says whether all of n bytes were written.
func (m memory) known(at, n uint64) bool {
	notes := m.written[at : at+n]
	for ; len(notes) >= 4; notes = notes[4:] {
		if binary.LittleEndian.Uint32(notes) != allWritten {
			return false
		}
	}
	return !slices.Contains(notes, 0)
}

// note notes that n bytes are written.
func (m memory) note(at, n uint64) {
	notes := m.written[at : at+n]
	for ; len(notes) >= 4; notes = notes[4:] {
		binary.LittleEndian.PutUint32(notes, allWritten)
	}
	for i := range notes {
		notes[i] = 1
	}
}

type space uint8

const (
	parameter space = iota
	shared
	global
)

func (s space) String() string { return [...]string{"parameter", "shared", "global"}[s] }

func (d *decoder) space() space {
	switch {
	case d.has("param"):
		return parameter
	case d.has("shared"):
		return shared
	case d.has("global"):
		return global
	}
	d.fail("an access to generic memory")
	return global
}

// access is one lane's part of an instruction that touches memory.
type access struct {
	in     *inst
	space  space
	bytes  int // of all values
	lane   int
	write  bool
	atomic bool
}

// bytes checks an access and returns its memory: nil, after a report, where there is none.
func (w *warp) bytes(a *access, at uint64) []byte {
	n := uint64(a.bytes)
	var m memory
	var owner *buffer
	switch a.space {
	case parameter:
		if at+n > uint64(len(w.b.params)) {
			w.b.d.report(w.b.e, a.in, Bounds, "%d bytes at %d of %d bytes of parameters", n, at, len(w.b.params))
			return nil
		}
		return w.b.params[at : at+n]
	case shared:
		m = w.b.shared
	case global:
		if owner = w.b.d.buffer(at >> addressBits); owner == nil {
			w.b.d.report(w.b.e, a.in, Bounds, "%d bytes at %#x, where no buffer is", n, at)
			return nil
		}
		m, at = owner.memory, at&(1<<addressBits-1)
	}
	if at+n > uint64(len(m.data)) || at%n != 0 {
		w.b.d.report(w.b.e, a.in, Bounds, "%d bytes at %d of %d bytes of %s memory", n, at, len(m.data), a.space)
		return nil
	}
	if !a.write || a.atomic {
		if !m.known(at, n) {
			w.b.d.report(w.b.e, a.in, Uninitialised, "thread %d reads %s memory at %d that nothing wrote", w.first+a.lane, a.space, at)
		}
	}
	if a.write {
		m.note(at, n)
	}
	for word := at / 4; word < (at+n+3)/4; word++ {
		if owner != nil {
			w.raceOfBlocks(a, &owner.shadow[word])
		} else {
			w.raceOfThreads(a, &w.b.shadow[word])
		}
	}
	return m.data[at : at+n]
}

// sectors counts the 32-byte pieces of global memory that an access of the warp moves; lanes side by side share theirs.
func (w *warp) sectors(in *inst, lanes uint32, bytes int) {
	last := ^uint64(0)
	for m := lanes; m != 0; m &= m - 1 {
		at := w.x[in.a[0]][bits.TrailingZeros32(m)] + in.offset
		for s := at / 32; s <= (at+uint64(bytes)-1)/32; s++ {
			if s != last {
				w.b.d.moved += 32
				last = s
			}
		}
	}
}

func decodeLoad(d *decoder) runner {
	space, size, signed := d.space(), sizes[d.last], d.last[0] == 's'
	wide := size == 8
	d.values(0, wide)
	d.address(1)
	if size == 0 {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		a := access{in: in, space: space, bytes: size * in.width}
		if space == global {
			w.sectors(in, lanes, a.bytes)
		}
		address := &w.x[in.a[0]]
		for m := lanes; m != 0; m &= m - 1 {
			a.lane = bits.TrailingZeros32(m)
			mem := w.bytes(&a, address[a.lane]+in.offset)
			if mem == nil {
				mem = make([]byte, a.bytes)
			}
			for k := range in.width {
				part := mem[k*size:]
				switch size {
				case 8:
					w.x[in.d[k]][a.lane] = binary.LittleEndian.Uint64(part)
				case 4:
					w.r[in.d[k]][a.lane] = binary.LittleEndian.Uint32(part)
				case 2:
					v := uint32(binary.LittleEndian.Uint16(part))
					if signed {
						v = uint32(int16(v))
					}
					w.r[in.d[k]][a.lane] = v
				case 1:
					v := uint32(part[0])
					if signed {
						v = uint32(int8(v))
					}
					w.r[in.d[k]][a.lane] = v
				}
			}
		}
	}
}

func decodeStore(d *decoder) runner {
	space, size := d.space(), sizes[d.last]
	d.values(1, size == 8)
	d.address(0)
	if size == 0 || space == parameter {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		a := access{in: in, space: space, bytes: size * in.width, write: true}
		if space == global {
			w.sectors(in, lanes, a.bytes)
		}
		address := &w.x[in.a[0]]
		for m := lanes; m != 0; m &= m - 1 {
			a.lane = bits.TrailingZeros32(m)
			mem := w.bytes(&a, address[a.lane]+in.offset)
			if mem == nil {
				continue
			}
			for k := range in.width {
				part := mem[k*size:]
				switch size {
				case 8:
					binary.LittleEndian.PutUint64(part, w.x[in.d[k]][a.lane])
				case 4:
					binary.LittleEndian.PutUint32(part, w.r[in.d[k]][a.lane])
				case 2:
					binary.LittleEndian.PutUint16(part, uint16(w.r[in.d[k]][a.lane]))
				case 1:
					part[0] = byte(w.r[in.d[k]][a.lane])
				}
			}
		}
	}
}

var atomics = map[string]func(old, v uint32) uint32{
	"add.u32": func(old, v uint32) uint32 { return old + v },
	"or.b32":  func(old, v uint32) uint32 { return old | v },
	"and.b32": func(old, v uint32) uint32 { return old & v },
	"max.u32": func(old, v uint32) uint32 { return max(old, v) },
	"min.u32": func(old, v uint32) uint32 { return min(old, v) },
}

// decodeAtomic reads atom, which returns the old value, and red, which does not. Floats are left out: their sums would
// depend on the order.
func decodeAtomic(d *decoder) runner {
	space := d.space()
	change := atomics[d.part[len(d.part)-2]+"."+d.last]
	if d.part[0] == "red" {
		d.args = append([]string{"0"}, d.args...)
	}
	returns := d.part[0] == "atom"
	d.to(0, false)
	d.address(1)
	d.from(1, 2, false)
	if change == nil || space == parameter {
		return nil
	}
	return func(w *warp, in *inst, lanes uint32) {
		a := access{in: in, space: space, bytes: 4, write: true, atomic: true}
		if space == global {
			w.sectors(in, lanes, 4)
		}
		for m := lanes; m != 0; m &= m - 1 {
			a.lane = bits.TrailingZeros32(m)
			mem := w.bytes(&a, w.x[in.a[0]][a.lane]+in.offset)
			if mem == nil {
				continue
			}
			old := binary.LittleEndian.Uint32(mem)
			binary.LittleEndian.PutUint32(mem, change(old, w.r[in.a[1]][a.lane]))
			if returns {
				w.r[in.d[0]][a.lane] = old
			}
		}
	}
}
