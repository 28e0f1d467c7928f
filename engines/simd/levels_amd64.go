//go:build amd64 && !noasm

package simd

import "golang.org/x/sys/cpu"

var tables = map[Level]*Kernels{Plain: &plainKernels}

// Levels returns the levels that this machine can run, slowest first. Plain is always there.
func Levels() []Level {
	levels := []Level{Plain}
	if tables[AVX2] != nil && cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		levels = append(levels, AVX2)
	}
	if tables[AVX512] != nil && cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
		levels = append(levels, AVX512)
	}
	return levels
}
