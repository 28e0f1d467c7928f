//go:build gpu && (linux || darwin)

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/splatworks/splatworks/engines/gpu"
)

// Device is a card with the module loaded. It is for one goroutine, which Open locks to its thread until Close: the driver
// keeps the current context by thread.
type Device struct {
	name            string
	memory          int64
	device          int32
	context, module uintptr
	functions       map[string]uintptr
	packed          []byte
	buffers         map[*buffer]struct{}
	ahead           ahead
}

type buffer struct {
	d      *Device
	at     uint64
	bytes  int
	coming *stage // of a copy that no use of the buffer has waited for
}

// Open takes a card of Cards and has its driver compile the PTX, which takes a second the first time on a machine.
func Open(ordinal int, ptx string) (*Device, error) {
	cards, err := Cards()
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if ordinal < 0 || ordinal >= len(cards) {
		return nil, fmt.Errorf("cuda: card %d of %d", ordinal, len(cards))
	}
	card := cards[ordinal]
	d := &Device{name: fmt.Sprintf("%s (CUDA)", card.Name), memory: card.Bytes, functions: map[string]uintptr{}, buffers: map[*buffer]struct{}{}}
	runtime.LockOSThread()
	image := append([]byte(ptx), 0)
	for _, step := range []struct {
		what string
		code func() int32
	}{
		{"cuDeviceGet", func() int32 { return api.deviceGet(&d.device, int32(ordinal)) }},
		{"cuDevicePrimaryCtxRetain", func() int32 { return api.primaryRetain(&d.context, d.device) }},
		{"cuCtxSetCurrent", func() int32 { return api.setCurrent(d.context) }},
		{"cuModuleLoadDataEx", func() int32 { return api.loadData(&d.module, unsafe.Pointer(&image[0]), 0, nil, nil) }},
	} {
		if err := check(step.what, step.code()); err != nil {
			return nil, errors.Join(fmt.Errorf("cuda: %w", err), d.Close())
		}
	}
	return d, nil
}

// Name is the card's.
func (d *Device) Name() string { return d.name }

// Memory is the card's.
func (d *Device) Memory() int64 { return d.memory }

// Alloc reserves memory of the card.
func (d *Device) Alloc(bytes int) (gpu.Buffer, error) {
	b := &buffer{d: d, bytes: max(bytes, 4)}
	if err := check("cuMemAlloc", api.alloc(&b.at, uintptr(b.bytes))); err != nil {
		return nil, fmt.Errorf("cuda: %d bytes: %w", bytes, err)
	}
	d.buffers[b] = struct{}{}
	return b, nil
}

func (b *buffer) within(at, n int) error {
	if b.d == nil || at < 0 || at+n > b.bytes {
		return fmt.Errorf("cuda: %d bytes at %d of a buffer of %d", n, at, b.bytes)
	}
	return nil
}

func (b *buffer) Write(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil || len(data) == 0 {
		return err
	}
	if err := b.arrive(); err != nil {
		return err
	}
	return check("cuMemcpyHtoD", api.toDevice(b.at+uint64(at), unsafe.Pointer(unsafe.SliceData(data)), uintptr(len(data))))
}

func (b *buffer) Read(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil || len(data) == 0 {
		return err
	}
	if err := b.arrive(); err != nil {
		return err
	}
	return check("cuMemcpyDtoH", api.toHost(unsafe.Pointer(unsafe.SliceData(data)), b.at+uint64(at), uintptr(len(data))))
}

// Free returns the memory. The driver waits for what uses it.
func (b *buffer) Free() {
	if b.d != nil {
		if b.coming != nil {
			api.synchronizeEvent(b.coming.done)
			b.coming = nil
		}
		api.free(b.at) // an error here is one of an earlier launch, which the next call returns as well
		delete(b.d.buffers, b)
		b.d = nil
	}
}

// Keys of the list that cuLaunchKernel takes its arguments from.
const (
	paramBufferPointer = 1
	paramBufferSize    = 2
)

// Launch enqueues a kernel on the default stream.
func (d *Device) Launch(k gpu.Kernel, groups int, args ...any) error {
	if groups <= 0 {
		return nil
	}
	f, err := d.function(k.Name)
	if err != nil {
		return err
	}
	packed, err := gpu.Pack(d.packed, args, func(b gpu.Buffer) (uint64, error) {
		mine, ours := b.(*buffer)
		if !ours || mine.d != d {
			return 0, errors.New("a buffer of another device, or one that was freed")
		}
		return mine.at, mine.arrive()
	})
	if err != nil {
		return fmt.Errorf("cuda: %s: %w", k.Name, err)
	}
	d.packed = packed
	size := uintptr(len(packed))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&packed[0])
	pin.Pin(&size)
	extra := [5]uintptr{paramBufferPointer, uintptr(unsafe.Pointer(&packed[0])), paramBufferSize, uintptr(unsafe.Pointer(&size)), 0}
	return check("cuLaunchKernel", api.launch(f, uint32(groups), 1, 1, uint32(k.Threads), 1, 1, 0, 0, nil, unsafe.Pointer(&extra)))
}

func (d *Device) function(name string) (f uintptr, err error) {
	if f = d.functions[name]; f != 0 {
		return f, nil
	}
	text := append([]byte(name), 0)
	if err := check("cuModuleGetFunction "+name, api.getFunction(&f, d.module, &text[0])); err != nil {
		return 0, err
	}
	d.functions[name] = f
	return f, nil
}

// Wait returns when everything that was enqueued is finished; an error of a kernel comes out here, or in the next call.
func (d *Device) Wait() error { return check("cuCtxSynchronize", api.synchronize()) }

// Close frees the buffers, the module and the card.
func (d *Device) Close() error {
	for b := range d.buffers {
		b.Free()
	}
	d.ahead.close()
	var err error
	if d.module != 0 {
		err = check("cuModuleUnload", api.unload(d.module))
		d.module = 0
	}
	if d.context != 0 {
		err = errors.Join(err, check("cuDevicePrimaryCtxRelease", api.primaryRelease(d.device)))
		d.context = 0
		runtime.UnlockOSThread()
	}
	return err
}
