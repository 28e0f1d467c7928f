package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transpose16 writes the columns of a 16x16 matrix as rows, the first n of them.
func transpose16(from, to func(i int) Mem, n int) {
	for i := range 16 {
		VMOVUPS(from(i), zmm[i])
	}
	// 2x2 of floats, 2x2 of pairs, 2x2 of quarters, 2x2 of halves.
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(zmm[i+1], zmm[i], zmm[16+i])
		VUNPCKHPS(zmm[i+1], zmm[i], zmm[17+i])
	}
	for i := 0; i < 16; i += 4 {
		VUNPCKLPD(zmm[18+i], zmm[16+i], zmm[i])
		VUNPCKHPD(zmm[18+i], zmm[16+i], zmm[i+1])
		VUNPCKLPD(zmm[19+i], zmm[17+i], zmm[i+2])
		VUNPCKHPD(zmm[19+i], zmm[17+i], zmm[i+3])
	}
	// Register 4g+c holds, in quarter q, rows 4g..4g+3 of column 4q+c.
	for c := range 4 {
		a, b, d, e := zmm[c], zmm[4+c], zmm[8+c], zmm[12+c]
		VSHUFF32X4(Imm(0x88), b, a, Z16) // a0 a2 b0 b2
		VSHUFF32X4(Imm(0xdd), b, a, Z17) // a1 a3 b1 b3
		VSHUFF32X4(Imm(0x88), e, d, Z18)
		VSHUFF32X4(Imm(0xdd), e, d, Z19)
		for q, s := range []struct {
			imm  uint64
			x, y VecPhysical
		}{{0x88, Z16, Z18}, {0x88, Z17, Z19}, {0xdd, Z16, Z18}, {0xdd, Z17, Z19}} {
			if col := 4*q + c; col < n {
				VSHUFF32X4(Imm(s.imm), s.y, s.x, Z20)
				VMOVUPS(Z20, to(col))
			}
		}
	}
}

// transpose8 writes the columns of an 8x8 matrix as rows, the first n of them.
func transpose8(from, to func(i int) Mem, n int) {
	for i := range 8 {
		VMOVUPS(from(i), ymm[i])
	}
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(ymm[i+1], ymm[i], ymm[8+i])
		VUNPCKHPS(ymm[i+1], ymm[i], ymm[9+i])
	}
	for i := 0; i < 8; i += 4 {
		VUNPCKLPD(ymm[10+i], ymm[8+i], ymm[i])
		VUNPCKHPD(ymm[10+i], ymm[8+i], ymm[i+1])
		VUNPCKLPD(ymm[11+i], ymm[9+i], ymm[i+2])
		VUNPCKHPD(ymm[11+i], ymm[9+i], ymm[i+3])
	}
	// Register 4g+c holds, in half q, rows 4g..4g+3 of column 4q+c.
	for c := range 4 {
		for q, imm := range []uint64{0x20, 0x31} {
			if col := 4*q + c; col < n {
				VPERM2F128(Imm(imm), ymm[4+c], ymm[c], Y8)
				VMOVUPS(Y8, to(col))
			}
		}
	}
}
