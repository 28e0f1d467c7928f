package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// planes writes the copies between image rows and a tile's blocks, for tiles that lie wholly inside the image. The rows
// are nearly always cache misses: without the checks of Go slices, more of them are under way at once.
func planes() {
	copyPlane("loadPlaneAVX2", "Plane.Load", func(row, upper Mem, pair Mem) {
		VMOVUPS(row, X0)
		VINSERTF128(Imm(1), upper, Y0, Y0)
		VMOVUPS(Y0, pair)
	})
	copyPlane("storePlaneAVX2", "Plane.Store", func(row, upper Mem, pair Mem) {
		VMOVUPS(pair, Y0)
		VMOVUPS(X0, row)
		VEXTRACTF128(Imm(1), Y0, upper)
	})
}

// copyPlane goes through the pairs of 4-pixel rows that are half a block.
func copyPlane(name, plain string, move func(row, below Mem, pair Mem)) {
	begin(name, "func(plane, image *float32, stride uint64)", plain+" of a whole tile; stride is in bytes.")
	plane, image, stride := pointer("plane"), pointer("image"), pointer("stride")
	below := GP64()
	for pair := range 8 {
		LEAQ(Mem{Base: image, Index: stride, Scale: 1}, below)
		for bx := range 4 {
			move(Mem{Base: image, Disp: 16 * bx}, Mem{Base: below, Disp: 16 * bx}, Mem{Base: plane, Disp: pair/2*256 + bx*64 + pair%2*32})
		}
		if pair < 7 {
			LEAQ(Mem{Base: image, Index: stride, Scale: 2}, image)
		}
	}
	finish()
}
