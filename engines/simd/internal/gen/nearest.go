package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// nearest multiplies four descriptors with a block of sixteen at a time: eight sums of eight lanes stay in registers, a step adds two
// products to each lane. Then it lowers the block into the lanes' best, second and index, which stay in memory.
func nearest() {
	const (
		queries   = 4
		query     = 256 // bytes of one
		steps     = 64  // pairs of numbers
		unrolled  = 8
		laneState = 3 * 64 // bytes of best, second and index
	)
	lanes := GLOBL("nearest_lanes", rodataFlags)
	for l := range 16 {
		DATA(4*l, U32(l))
	}
	more := word("nearest_more", 16)

	begin("nearestAVX2", "func(queries, blocks *int16, n, first uint64, out *int32)", "nearestPlain for n > 0; first is the index of the first descriptor.")
	q, b, n, out := pointer("queries"), pointer("blocks"), pointer("n"), pointer("out")
	var sums [queries][2]VecPhysical
	all := []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7}
	for j := range sums {
		sums[j] = [2]VecPhysical{all[2*j], all[2*j+1]}
	}
	train := [2]VecPhysical{Y8, Y9}
	pair, product := Y10, Y11
	index := [2]VecPhysical{Y12, Y13}
	first, _ := Param("first").Resolve()
	for h, i := range index {
		VPBROADCASTD(first.Addr, i)
		VPADDD(lanes.Offset(32*h), i, i)
	}

	Label("block")
	for _, sum := range all {
		VPXOR(sum, sum, sum)
	}
	at, left := GP64(), GP64()
	MOVQ(q, at)
	MOVQ(U32(steps/unrolled), left)
	Label("step")
	for s := range unrolled {
		for h := range train {
			VMOVDQU(Mem{Base: b, Disp: 64*s + 32*h}, train[h])
		}
		for j := range sums {
			VPBROADCASTD(Mem{Base: at, Disp: query*j + 4*s}, pair)
			for h := range train {
				VPMADDWD(train[h], pair, product)
				VPADDD(product, sums[j][h], sums[j][h])
			}
		}
	}
	ADDQ(U32(64*unrolled), b)
	ADDQ(U32(4*unrolled), at)
	DECQ(left)
	JNZ(LabelRef("step"))

	best, second, lower := Y8, Y9, Y10
	for j := range sums {
		for h, dot := range sums[j] {
			state := Mem{Base: out, Disp: laneState*j + 32*h}
			VMOVDQU(state, best)
			VPMINSD(best, dot, lower)
			VPMAXSD(state.Offset(64), lower, second)
			VMOVDQU(second, state.Offset(64))
			VPCMPGTD(best, dot, lower)
			VPMAXSD(best, dot, best)
			VMOVDQU(best, state)
			VMOVDQU(state.Offset(128), second)
			VPBLENDVB(lower, index[h], second, second)
			VMOVDQU(second, state.Offset(128))
		}
	}
	VPBROADCASTD(more, Y11)
	for _, i := range index {
		VPADDD(Y11, i, i)
	}
	DECQ(n)
	JNZ(LabelRef("block"))
	finish()
}
