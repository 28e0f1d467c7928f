//go:build gpu && (linux || darwin)

package opencl

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/splatworks/splatworks/engines/gpu"
)

type handle = uintptr

// ErrNone says that this machine has no OpenCL driver, or none with a device.
var ErrNone = errors.New("no OpenCL device is at hand")

// api is the part of OpenCL 1.2 that is used.
var api struct {
	getPlatformIDs      func(n uint32, ids *handle, num *uint32) int32
	getDeviceIDs        func(p handle, kind uint64, n uint32, ids *handle, num *uint32) int32
	getDeviceInfo       func(d handle, what uint32, size uintptr, value unsafe.Pointer, ret *uintptr) int32
	createContext       func(props *uintptr, n uint32, devices *handle, notify, data uintptr, code *int32) handle
	releaseContext      func(c handle) int32
	createQueue         func(c, d handle, props uint64, code *int32) handle
	releaseQueue        func(q handle) int32
	createBuffer        func(c handle, flags uint64, size uintptr, host unsafe.Pointer, code *int32) handle
	releaseMem          func(m handle) int32
	createProgram       func(c handle, n uint32, sources **byte, lengths *uintptr, code *int32) handle
	buildProgram        func(p handle, n uint32, devices *handle, options *byte, notify, data uintptr) int32
	getProgramBuildInfo func(p, d handle, what uint32, size uintptr, value unsafe.Pointer, ret *uintptr) int32
	releaseProgram      func(p handle) int32
	createKernel        func(p handle, name *byte, code *int32) handle
	getKernelInfo       func(k handle, what uint32, size uintptr, value unsafe.Pointer, ret *uintptr) int32
	releaseKernel       func(k handle) int32
	setKernelArg        func(k handle, i uint32, size uintptr, value unsafe.Pointer) int32
	enqueueKernel       func(q, k handle, dim uint32, offset, global, local *uintptr, n uint32, wait, event *handle) int32
	enqueueRead         func(q, m handle, blocking uint32, offset, size uintptr, p unsafe.Pointer, n uint32, wait, event *handle) int32
	enqueueWrite        func(q, m handle, blocking uint32, offset, size uintptr, p unsafe.Pointer, n uint32, wait, event *handle) int32
	finish              func(q handle) int32
}

// Constants of cl.h.
const (
	deviceTypeAll     = 0xffffffff
	deviceInfoType    = 0x1000
	deviceInfoBytes   = 0x101f
	deviceInfoName    = 0x102b
	deviceInfoVersion = 0x102f
	deviceTypeCPU     = 2
	programBuildLog   = 0x1183
	kernelNumArgs     = 0x1191
	memReadWrite      = 1
)

// load finds the loader of drivers once in a process.
var load = sync.OnceValue(func() error {
	var library uintptr
	var err error
	for _, name := range []string{"libOpenCL.so.1", "/System/Library/Frameworks/OpenCL.framework/OpenCL"} {
		if library, err = purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	for _, f := range []struct {
		at   any
		name string
	}{
		{&api.getPlatformIDs, "clGetPlatformIDs"}, {&api.getDeviceIDs, "clGetDeviceIDs"}, {&api.getDeviceInfo, "clGetDeviceInfo"},
		{&api.createContext, "clCreateContext"}, {&api.releaseContext, "clReleaseContext"}, {&api.createQueue, "clCreateCommandQueue"},
		{&api.releaseQueue, "clReleaseCommandQueue"}, {&api.createBuffer, "clCreateBuffer"}, {&api.releaseMem, "clReleaseMemObject"},
		{&api.createProgram, "clCreateProgramWithSource"}, {&api.buildProgram, "clBuildProgram"},
		{&api.getProgramBuildInfo, "clGetProgramBuildInfo"}, {&api.releaseProgram, "clReleaseProgram"}, {&api.createKernel, "clCreateKernel"},
		{&api.getKernelInfo, "clGetKernelInfo"}, {&api.releaseKernel, "clReleaseKernel"}, {&api.setKernelArg, "clSetKernelArg"},
		{&api.enqueueKernel, "clEnqueueNDRangeKernel"}, {&api.enqueueRead, "clEnqueueReadBuffer"}, {&api.enqueueWrite, "clEnqueueWriteBuffer"},
		{&api.finish, "clFinish"},
	} {
		if _, err := purego.Dlsym(library, f.name); err != nil {
			return fmt.Errorf("%w: %w", ErrNone, err)
		}
		purego.RegisterLibFunc(f.at, library, f.name)
	}
	return nil
})

func check(what string, code int32) error {
	switch code {
	case 0:
		return nil
	case -4, -5, -61: // CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_INVALID_BUFFER_SIZE: over the most of one
		return fmt.Errorf("%s: %w (%d)", what, gpu.ErrMemory, code)
	}
	return fmt.Errorf("%w: %s: OpenCL error %d", gpu.ErrFailed, what, code)
}

// Info is a device that a driver offers.
type Info struct {
	Name, Version string
	Memory        int64
	Processor     bool // of this machine, behind a driver for cards

	id handle
}

// Devices lists those of all drivers. Without any it returns ErrNone with the reason.
func Devices() ([]Info, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var n uint32
	if code := api.getPlatformIDs(0, nil, &n); code != 0 || n == 0 {
		return nil, ErrNone
	}
	platforms := make([]handle, n)
	if err := check("clGetPlatformIDs", api.getPlatformIDs(n, &platforms[0], nil)); err != nil {
		return nil, err
	}
	var found []Info
	for _, p := range platforms {
		if code := api.getDeviceIDs(p, deviceTypeAll, 0, nil, &n); code != 0 || n == 0 {
			continue
		}
		ids := make([]handle, n)
		if err := check("clGetDeviceIDs", api.getDeviceIDs(p, deviceTypeAll, n, &ids[0], nil)); err != nil {
			return nil, err
		}
		for _, id := range ids {
			d, err := infoOf(id)
			if err != nil {
				return nil, err
			}
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil, ErrNone
	}
	return found, nil
}

func infoOf(id handle) (Info, error) {
	var name, version [256]byte
	var memory, kind uint64
	for _, ask := range []struct {
		what  uint32
		value unsafe.Pointer
		size  uintptr
	}{
		{deviceInfoName, unsafe.Pointer(&name), unsafe.Sizeof(name)}, {deviceInfoVersion, unsafe.Pointer(&version), unsafe.Sizeof(version)},
		{deviceInfoBytes, unsafe.Pointer(&memory), unsafe.Sizeof(memory)}, {deviceInfoType, unsafe.Pointer(&kind), unsafe.Sizeof(kind)},
	} {
		if err := check("clGetDeviceInfo", api.getDeviceInfo(id, ask.what, ask.size, ask.value, nil)); err != nil {
			return Info{}, err
		}
	}
	text := func(b []byte) string { return strings.TrimSpace(strings.TrimRight(string(b), "\x00")) }
	return Info{Name: text(name[:]), Version: text(version[:]), Memory: int64(memory), Processor: kind&deviceTypeCPU != 0, id: id}, nil
}
