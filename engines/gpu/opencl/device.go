//go:build gpu && (linux || darwin)

package opencl

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/splatworks/splatworks/engines/gpu"
)

// Device is an OpenCL device with the program built and a queue that works in order.
type Device struct {
	info                    Info
	context, queue, program handle
	kernels                 map[string]kernel
	buffers                 map[*buffer]struct{}
}

type kernel struct {
	handle    handle
	arguments uint32
}

type buffer struct {
	d     *Device
	mem   handle
	bytes int
}

// Open takes a device by its place in Devices and builds the source for it.
func Open(ordinal int, source string) (*Device, error) {
	found, err := Devices()
	if err != nil {
		return nil, fmt.Errorf("opencl: %w", err)
	}
	if ordinal < 0 || ordinal >= len(found) {
		return nil, fmt.Errorf("opencl: device %d of %d", ordinal, len(found))
	}
	d := &Device{info: found[ordinal], kernels: map[string]kernel{}, buffers: map[*buffer]struct{}{}}
	if err := d.build(source); err != nil {
		return nil, errors.Join(fmt.Errorf("opencl: %w", err), d.Close())
	}
	return d, nil
}

func (d *Device) build(source string) error {
	var code int32
	if d.context = api.createContext(nil, 1, &d.info.id, 0, 0, &code); code != 0 {
		return check("clCreateContext", code)
	}
	if d.queue = api.createQueue(d.context, d.info.id, 0, &code); code != 0 {
		return check("clCreateCommandQueue", code)
	}
	text := []byte(source)
	first, length := &text[0], uintptr(len(text))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(first)
	if d.program = api.createProgram(d.context, 1, &first, &length, &code); code != 0 {
		return check("clCreateProgramWithSource", code)
	}
	options := []byte("-cl-std=CL1.2 -cl-mad-enable -cl-no-signed-zeros\x00")
	if code = api.buildProgram(d.program, 1, &d.info.id, &options[0], 0, 0); code != 0 {
		log := make([]byte, 1<<16)
		var size uintptr
		api.getProgramBuildInfo(d.program, d.info.id, programBuildLog, uintptr(len(log)), unsafe.Pointer(&log[0]), &size)
		return fmt.Errorf("clBuildProgram: %d: %s", code, log[:min(int(size), len(log))])
	}
	return nil
}

// Name is the device's.
func (d *Device) Name() string { return d.info.Name + " (OpenCL)" }

// Memory is the device's.
func (d *Device) Memory() int64 { return d.info.Memory }

// Alloc reserves memory.
func (d *Device) Alloc(bytes int) (gpu.Buffer, error) {
	b := &buffer{d: d, bytes: max(bytes, 4)}
	var code int32
	if b.mem = api.createBuffer(d.context, memReadWrite, uintptr(b.bytes), nil, &code); code != 0 {
		return nil, fmt.Errorf("opencl: %d bytes: %w", bytes, check("clCreateBuffer", code))
	}
	d.buffers[b] = struct{}{}
	return b, nil
}

func (b *buffer) within(at, n int) error {
	if b.d == nil || at < 0 || at+n > b.bytes {
		return fmt.Errorf("opencl: %d bytes at %d of a buffer of %d", n, at, b.bytes)
	}
	return nil
}

func (b *buffer) Write(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil || len(data) == 0 {
		return err
	}
	return check("clEnqueueWriteBuffer", api.enqueueWrite(b.d.queue, b.mem, 1, uintptr(at), uintptr(len(data)), unsafe.Pointer(unsafe.SliceData(data)), 0, nil, nil))
}

// WriteAhead waits for what was enqueued before, and copies: there is one queue.
func (b *buffer) WriteAhead(parts ...[]byte) error {
	at := 0
	for _, part := range parts {
		if err := b.Write(at, part); err != nil {
			return err
		}
		at += len(part)
	}
	return nil
}

func (b *buffer) Read(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil || len(data) == 0 {
		return err
	}
	return check("clEnqueueReadBuffer", api.enqueueRead(b.d.queue, b.mem, 1, uintptr(at), uintptr(len(data)), unsafe.Pointer(unsafe.SliceData(data)), 0, nil, nil))
}

// Free releases the memory once what was enqueued is done with it.
func (b *buffer) Free() {
	if b.d != nil {
		api.releaseMem(b.mem)
		delete(b.d.buffers, b)
		b.d = nil
	}
}

// Launch enqueues a kernel.
func (d *Device) Launch(k gpu.Kernel, groups int, args ...any) error {
	f, err := d.kernel(k.Name)
	if err != nil {
		return err
	}
	if len(args) != int(f.arguments) {
		return fmt.Errorf("opencl: %s: %d arguments, it takes %d", k.Name, len(args), f.arguments)
	}
	for i, arg := range args {
		if err := d.set(f.handle, uint32(i), arg); err != nil {
			return fmt.Errorf("opencl: %s: argument %d: %w", k.Name, i, err)
		}
	}
	if groups <= 0 {
		return nil
	}
	global, local := uintptr(groups*k.Threads), uintptr(k.Threads)
	return check("clEnqueueNDRangeKernel "+k.Name, api.enqueueKernel(d.queue, f.handle, 1, nil, &global, &local, 0, nil, nil))
}

func (d *Device) set(k handle, i uint32, arg any) error {
	var code int32
	switch v := arg.(type) {
	case gpu.Buffer:
		mine, ours := v.(*buffer)
		if !ours || mine.d != d {
			return errors.New("a buffer of another device, or one that was freed")
		}
		code = api.setKernelArg(k, i, unsafe.Sizeof(mine.mem), unsafe.Pointer(&mine.mem))
	case uint32:
		code = api.setKernelArg(k, i, unsafe.Sizeof(v), unsafe.Pointer(&v))
	case float32:
		code = api.setKernelArg(k, i, unsafe.Sizeof(v), unsafe.Pointer(&v))
	case gpu.Struct:
		code = api.setKernelArg(k, i, uintptr(len(v.Bytes())), unsafe.Pointer(unsafe.SliceData(v.Bytes())))
	default:
		return fmt.Errorf("a %T", arg)
	}
	return check("clSetKernelArg", code)
}

func (d *Device) kernel(name string) (kernel, error) {
	if k, known := d.kernels[name]; known {
		return k, nil
	}
	text := append([]byte(name), 0)
	var code int32
	k := kernel{handle: api.createKernel(d.program, &text[0], &code)}
	if code != 0 {
		return kernel{}, fmt.Errorf("opencl: %s: %w", name, check("clCreateKernel", code))
	}
	if err := check("clGetKernelInfo", api.getKernelInfo(k.handle, kernelNumArgs, unsafe.Sizeof(k.arguments), unsafe.Pointer(&k.arguments), nil)); err != nil {
		return kernel{}, err
	}
	d.kernels[name] = k
	return k, nil
}

// Wait returns when everything that was enqueued is finished.
func (d *Device) Wait() error { return check("clFinish", api.finish(d.queue)) }

// Close releases everything.
func (d *Device) Close() error {
	for b := range d.buffers {
		b.Free()
	}
	var err error
	release := func(what string, h *handle, f func(handle) int32) {
		if *h != 0 {
			err = errors.Join(err, check(what, f(*h)))
			*h = 0
		}
	}
	for name, k := range d.kernels {
		release("clReleaseKernel "+name, &k.handle, api.releaseKernel)
	}
	clear(d.kernels)
	release("clReleaseProgram", &d.program, api.releaseProgram)
	release("clReleaseCommandQueue", &d.queue, api.releaseQueue)
	release("clReleaseContext", &d.context, api.releaseContext)
	return err
}
