// Package gpu trains Gaussians on a graphics card: it keeps the cloud, its moments and the images in device memory and runs
// the kernels of one iteration over them.
//
// A Device is what runs kernels. Package cuda drives NVIDIA's cards, package opencl any OpenCL driver, and package ptx is a
// plain Go interpreter of the PTX that cuda loads, for tests on machines without a card. Package kernels holds the kernels,
// written once in OpenCL C. The definition of what they compute is in engines/raster and engines/simd, and the tests here
// compare every kernel with it.
package gpu

import (
	"errors"
	"fmt"
	"unsafe"
)

// Errors of a device that is out of work.
var (
	// ErrMemory says that the device's memory is full.
	ErrMemory = errors.New("the graphics card's memory is full")
	// ErrFailed says that the driver reported a fault, or that the device is gone; what it held is lost.
	ErrFailed = errors.New("the graphics card failed")
)

// Device runs kernels one after another, in the order of the launches. It is for one goroutine at a time. An error of its
// driver wraps ErrMemory or ErrFailed; that of a launch may come out in any later call.
type Device interface {
	// Name says what the device is, for people.
	Name() string
	// Memory is how many bytes of memory the device has in all.
	Memory() int64
	// Alloc reserves memory, at least one word of it. Its content is undefined. When there is none left its error wraps
	// ErrMemory.
	Alloc(bytes int) (Buffer, error)
	// Launch enqueues that number of work groups of a kernel. Arguments are Buffer, uint32, float32 or Struct, as the kernel
	// declares them. No groups: nothing is launched.
	Launch(k Kernel, groups int, args ...any) error
	// Wait returns when all that was enqueued is finished.
	Wait() error
	// Close releases the device and every buffer of it.
	Close() error
}

// Buffer is memory of one Device. Offsets and lengths are bytes.
type Buffer interface {
	// Write copies data to the offset, after what was enqueued before. data may be changed when it returns.
	Write(at int, data []byte) error
	// WriteAhead fills the buffer from its start with the parts, one behind the other, as Write does, but need not hold up what is
	// enqueued after it: only a launch that has the buffer as an argument, a Read and a Write of it wait for the copy.
	WriteAhead(parts ...[]byte) error
	// Read waits for what was enqueued before and copies from the offset into data.
	Read(at int, data []byte) error
	Free()
}

// Kernel names an entry of the kernels' source and the work items of one of its groups.
type Kernel struct {
	Name    string
	Threads int
}

// Struct is an argument that is passed by value.
type Struct struct{ bytes []byte }

// ByValue passes a struct of 4-byte fields as the kernel's struct of the same layout. v must not change before the launch.
func ByValue[T any](v *T) Struct {
	return Struct{unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))}
}

// Bytes is the struct's content.
func (s Struct) Bytes() []byte { return s.bytes }

// Pack lays arguments out as CUDA's and PTX's parameter memory has them, each at a multiple of its own alignment, behind
// what is in to. address gives the device address of a buffer.
func Pack(to []byte, args []any, address func(Buffer) (uint64, error)) ([]byte, error) {
	to = to[:0]
	put := func(data []byte, align int) {
		for len(to)%align != 0 {
			to = append(to, 0)
		}
		to = append(to, data...)
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case Buffer:
			at, err := address(v)
			if err != nil {
				return nil, fmt.Errorf("argument %d: %w", i, err)
			}
			put(bytesOf([]uint64{at}), 8)
		case uint32:
			put(bytesOf([]uint32{v}), 4)
		case float32:
			put(bytesOf([]float32{v}), 4)
		case Struct:
			put(v.bytes, 4)
		default:
			return nil, fmt.Errorf("argument %d is a %T", i, arg)
		}
	}
	return to, nil
}

// bytesOf is the memory of a slice.
func bytesOf[T any](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(v[0])))
}
