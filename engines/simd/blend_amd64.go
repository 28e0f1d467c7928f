//go:build amd64 && !noasm

package simd

import (
	"fmt"
	"unsafe"
)

type (
	forwardFunc  func(tile, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16) uint64
	backwardFunc func(tile, splats *float32, nSplats uint64, instances *uint32, n uint64, masks *uint16, grads *float32, nGrads uint64) uint64
)

// blendForward gives an assembly kernel, without and with Depth, the signature and the panics of blendForwardPlain.
func blendForward(colour, depth forwardFunc) func(*Tile, []Splat, []Instance, []uint16, Want) {
	return func(t *Tile, splats []Splat, instances []Instance, masks []uint16, want Want) {
		masks = masks[:len(instances)]
		kernel := colour
		if want&Depth != 0 {
			kernel = depth
		}
		n := kernel(&t.T[0], (*float32)(unsafe.Pointer(unsafe.SliceData(splats))), uint64(len(splats)),
			(*uint32)(unsafe.Pointer(unsafe.SliceData(instances))), uint64(len(instances)), unsafe.SliceData(masks))
		if n != uint64(len(instances)) {
			panic(fmt.Sprintf("simd: instance %d: splat %d of %d", n, instances[n].Splat, len(splats)))
		}
	}
}

// blendBackward gives four variants of an assembly kernel, indexed by Want, the signature and the panics of
// blendBackwardPlain.
func blendBackward(kernels [4]backwardFunc) func(*Tile, []Splat, []Instance, []uint16, []Grad, Want) {
	return func(t *Tile, splats []Splat, instances []Instance, masks []uint16, grads []Grad, want Want) {
		masks = masks[:len(instances)]
		n := kernels[want&(Depth|Abs)](&t.T[0], (*float32)(unsafe.Pointer(unsafe.SliceData(splats))), uint64(len(splats)),
			(*uint32)(unsafe.Pointer(unsafe.SliceData(instances))), uint64(len(instances)), unsafe.SliceData(masks),
			(*float32)(unsafe.Pointer(unsafe.SliceData(grads))), uint64(len(grads)))
		if n != uint64(len(instances)) {
			panic(fmt.Sprintf("simd: instance %d: splat %d of %d, gradient %d of %d", n, instances[n].Splat, len(splats), instances[n].Slot, len(grads)))
		}
	}
}
