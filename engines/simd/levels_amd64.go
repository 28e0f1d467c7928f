//go:build amd64 && !noasm

package simd

import "golang.org/x/sys/cpu"

var tables = map[Level]*Kernels{Plain: &plainKernels, AVX2: &avx2Kernels, AVX512: &avx512Kernels}

var avx2Kernels = Kernels{
	Level:         AVX2,
	BlendForward:  blendForward(blendForwardAVX2, blendForwardDepthAVX2),
	BlendBackward: blendBackward([4]backwardFunc{0: blendBackwardAVX2, Depth: blendBackwardDepthAVX2, Abs: blendBackwardAbsAVX2, Depth | Abs: blendBackwardDepthAbsAVX2}),
	ProjectGroup:  projectGroup(projectGroupAVX2, 8),
	BackwardGroup: backwardGroup(backwardGroupAVX2, 8),
	Adam:          avx2Rows.adamRows,
	Nearest:       nearestBlocks,
	loss:          avx2Rows.loss(),
}

var avx512Kernels = Kernels{
	Level:         AVX512,
	BlendForward:  blendForward(blendForwardAVX512, blendForwardDepthAVX512),
	BlendBackward: blendBackward([4]backwardFunc{0: blendBackwardAVX512, Depth: blendBackwardDepthAVX512, Abs: blendBackwardAbsAVX512, Depth | Abs: blendBackwardDepthAbsAVX512}),
	ProjectGroup:  projectGroup(projectGroupAVX512, 16),
	BackwardGroup: backwardGroup(backwardGroupAVX512, 16),
	Adam:          avx512Rows.adamRows,
	Nearest:       nearestBlocks,
	loss:          avx512Rows.loss(),
}

var avx512Rows = rowFuncs{adamAVX512, bytesAVX512, multiplyAVX512, convolveRowAVX512, convolveColumnsAVX512, partialsAVX512, gradientAVX512}

var avx2Rows = rowFuncs{adamAVX2, bytesAVX2, multiplyAVX2, convolveRowAVX2, convolveColumnsAVX2, partialsAVX2, gradientAVX2}

// Levels returns the levels that this machine can run, slowest first. Plain is always there.
func Levels() []Level {
	levels := []Level{Plain}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasBMI1 {
		levels = append(levels, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
			levels = append(levels, AVX512)
		}
	}
	return levels
}

func init() {
	if len(Levels()) > 1 {
		loadPlane, storePlane = loadPlaneAVX2, storePlaneAVX2
	}
}
