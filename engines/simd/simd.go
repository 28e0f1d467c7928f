// Package simd holds the float32 kernels of the Gaussian splat trainer: projecting a group of 16 Gaussians, blending a
// 16x16-pixel tile, both with their gradients, the photometric loss (L1 and SSIM) with its gradient, Adam, and a few image
// conversions; and one kernel of integers that finds the nearest of many feature descriptors.
//
// It knows groups, pixels, records and rows, not schedules or threads: package raster sorts, bins and shares out the work,
// package trainer decides what to do with the gradients. Every kernel is a pure function of its arguments, runs on the
// calling goroutine and allocates nothing.
//
// Every kernel is defined by its plain Go form (files *_plain.go; the projection's is package raster's reference). The
// amd64 variants in *.s are written by the generator in internal/gen and are compared with the plain form by the tests,
// in both packages. The build tag noasm, and every other architecture, leaves the plain form alone.
//
//	k := simd.Best().Kernels()
//	k.BlendForward(tile, splats, instances, masks, 0)
package simd

import (
	"fmt"
	"unsafe"
)

//go:generate go -C internal/gen run . -kernel blend512 -out ../../blend_avx512_amd64.s -stubs ../../blend_avx512_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel blend256 -out ../../blend_avx2_amd64.s -stubs ../../blend_avx2_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel nearest -out ../../nearest_avx2_amd64.s -stubs ../../nearest_avx2_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel planes -out ../../planes_amd64.s -stubs ../../planes_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel project512 -out ../../project_avx512_amd64.s -stubs ../../project_avx512_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel project256 -out ../../project_avx2_amd64.s -stubs ../../project_avx2_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel rows512 -out ../../rows_avx512_amd64.s -stubs ../../rows_avx512_amd64.go -pkg simd
//go:generate go -C internal/gen run . -kernel rows256 -out ../../rows_avx2_amd64.s -stubs ../../rows_avx2_amd64.go -pkg simd

// Level is an instruction set that the kernels are written for.
type Level int

const (
	Plain  Level = iota // Go without assembly: the definition of every kernel
	AVX2                // 8 lanes; needs AVX2, FMA and BMI1
	AVX512              // 16 lanes; needs AVX-512 F, BW, DQ and VL
)

func (l Level) String() string {
	switch l {
	case Plain:
		return "plain"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return fmt.Sprintf("Level(%d)", int(l))
}

// Best returns the fastest level that this machine and this build can run.
func Best() Level {
	levels := Levels()
	return levels[len(levels)-1]
}

// Kernels returns the function table of the level. It panics when this machine or this build cannot run it: a wrong
// level would be an illegal instruction later.
func (l Level) Kernels() *Kernels {
	for _, have := range Levels() {
		if have == l {
			return tables[l]
		}
	}
	panic(fmt.Sprintf("simd: level %v is not available here; choose one of %v", l, Levels()))
}

// Kernels is one level's function table. Arguments are described at the plain form of each function; a slice that is too
// short, or an index outside its slice, panics at every level before anything outside is read or written.
type Kernels struct {
	Level Level

	// BlendForward: see blendForwardPlain. BlendBackward: see blendBackwardPlain.
	BlendForward  func(t *Tile, splats []Splat, instances []Instance, masks []uint16, want Want)
	BlendBackward func(t *Tile, splats []Splat, instances []Instance, masks []uint16, grads []Grad, want Want)

	// Adam: see adamPlain.
	Adam func(p, m, v, g []float32, lr []float32, lanes uint16, step *AdamStep)

	// Nearest: see nearestPlain.
	Nearest func(queries *Queries, d Descriptors, first, end int, out *Nearest)

	// ProjectGroup and BackwardGroup: see projectFunc and backwardGroupFunc. Nil at Plain.
	ProjectGroup  projectFunc
	BackwardGroup backwardGroupFunc

	// The rows of the photometric loss; callers use Loss.
	loss lossRows
}

var plainKernels = Kernels{
	Level:         Plain,
	BlendForward:  blendForwardPlain,
	BlendBackward: blendBackwardPlain,
	Adam:          adamPlain,
	Nearest:       nearestPlain,
	loss:          lossRowsPlain,
}

// Aligned returns a zeroed slice of n float32 whose first element lies on a 64-byte boundary, the width of an AVX-512
// register and of a cache line. Kernels accept any alignment; aligned rows are faster.
func Aligned(n int) []float32 {
	const line = 64
	s := make([]float32, n+line/4)
	skip := 0
	if r := uintptr(unsafe.Pointer(unsafe.SliceData(s))) % line; r != 0 {
		skip = int(line-r) / 4
	}
	return s[skip : skip+n : skip+n]
}
