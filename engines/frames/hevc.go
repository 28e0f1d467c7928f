package frames

import "bytes"

// bits reads the bits of an HEVC parameter set. Behind its end there are zeros.
type bits struct {
	data []byte
	at   int
}

func (b *bits) u(n int) int {
	v := 0
	for range n {
		v <<= 1
		if i := b.at >> 3; i < len(b.data) {
			v |= int(b.data[i]>>(7-b.at&7)) & 1
		}
		b.at++
	}
	return v
}

func (b *bits) flag() bool { return b.u(1) == 1 }

// ue reads an Exp-Golomb code (ITU-T H.265, 9.2).
func (b *bits) ue() int {
	zeros := 0
	for !b.flag() {
		if zeros++; zeros > 31 || b.ended() {
			return 0
		}
	}
	return 1<<zeros - 1 + b.u(zeros)
}

func (b *bits) ended() bool { return b.at > 8*len(b.data) }

func (b *bits) skip(codes int) {
	for range codes {
		b.ue()
	}
}

// parameterSetCoding reads the range and the matrix from a sequence parameter set (ITU-T H.265, 7.3.2.2 and E.2.1) without the
// header of its NAL unit. ok is false when the set is damaged; without colour information the range is limited.
func parameterSetCoding(set []byte) (c coding, ok bool) {
	b := &bits{data: bytes.ReplaceAll(set, []byte{0, 0, 3}, []byte{0, 0})}
	b.u(4)
	layers := b.u(3)
	b.u(1)
	b.profile(layers)
	b.ue()
	if b.ue() == 3 {
		b.u(1)
	}
	b.skip(2)     // width, height
	if b.flag() { // conformance window
		b.skip(4)
	}
	b.skip(2) // depths
	orderBits := b.ue() + 4
	from := layers
	if b.flag() {
		from = 0
	}
	for range layers - from + 1 {
		b.skip(3)
	}
	b.skip(6) // sizes of blocks
	if b.flag() && b.flag() {
		b.scalingLists()
	}
	b.u(2)
	if b.flag() { // PCM
		b.u(8)
		b.skip(2)
		b.u(1)
	}
	b.referenceSets()
	if b.flag() { // long-term references
		for range min(b.ue(), 32) {
			b.u(orderBits + 1)
		}
	}
	b.u(2)
	if b.flag() { // VUI
		if b.flag() && b.u(8) == 255 {
			b.u(32)
		}
		if b.flag() {
			b.u(1)
		}
		if b.flag() {
			b.u(3)
			c.full = b.flag()
			if b.flag() {
				b.u(16)
				c.matrix = b.u(8)
			}
		}
	}
	return c, !b.ended()
}

// profile steps over profile_tier_level (7.3.3).
func (b *bits) profile(layers int) {
	b.at += 96
	sub := 0
	for i := range 8 {
		if layers == 0 {
			break
		}
		profile, level := b.flag(), b.flag()
		if i < layers && profile {
			sub += 88
		}
		if i < layers && level {
			sub += 8
		}
	}
	b.at += sub
}

// scalingLists steps over scaling_list_data (7.3.4).
func (b *bits) scalingLists() {
	for size := range 4 {
		step := 1
		if size == 3 {
			step = 3
		}
		for matrix := 0; matrix < 6; matrix += step {
			if !b.flag() {
				b.ue()
				continue
			}
			if size > 1 {
				b.ue()
			}
			b.skip(min(64, 1<<(4+size<<1)))
		}
	}
}

// referenceSets steps over the short-term reference picture sets (7.3.7).
func (b *bits) referenceSets() {
	n := min(b.ue(), 64)
	before := 0
	for i := range n {
		if i > 0 && b.flag() {
			b.u(1)
			b.ue()
			now := 0
			for range before + 1 {
				if b.flag() || b.flag() { // used_by_curr_pic_flag, or use_delta_flag
					now++
				}
			}
			before = now
			continue
		}
		negative, positive := min(b.ue(), 16), min(b.ue(), 16)
		for range negative + positive {
			b.ue()
			b.u(1)
		}
		before = negative + positive
	}
}
