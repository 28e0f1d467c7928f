//go:build gpu && (linux || darwin)

package cuda

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/splatworks/splatworks/engines/gpu"
)

// ErrNone says that this machine has no card, or no driver for it.
var ErrNone = errors.New("no NVIDIA card is at hand")

// api is the part of the driver's interface that is used. Every function returns a CUresult, 0 for success.
var api struct {
	init             func(flags uint32) int32
	driverVersion    func(version *int32) int32
	deviceCount      func(n *int32) int32
	deviceGet        func(device *int32, ordinal int32) int32
	deviceName       func(name *byte, n int32, device int32) int32
	deviceAttribute  func(value *int32, attribute int32, device int32) int32
	totalMemory      func(bytes *uintptr, device int32) int32
	primaryRetain    func(context *uintptr, device int32) int32
	primaryRelease   func(device int32) int32
	setCurrent       func(context uintptr) int32
	loadData         func(module *uintptr, image unsafe.Pointer, n uint32, options *int32, values *uintptr) int32
	unload           func(module uintptr) int32
	getFunction      func(function *uintptr, module uintptr, name *byte) int32
	alloc            func(at *uint64, bytes uintptr) int32
	free             func(at uint64) int32
	toDevice         func(at uint64, host unsafe.Pointer, n uintptr) int32
	toHost           func(host unsafe.Pointer, at uint64, n uintptr) int32
	toDeviceAsync    func(at uint64, host unsafe.Pointer, n, stream uintptr) int32
	allocHost        func(host *unsafe.Pointer, bytes uintptr) int32
	freeHost         func(host unsafe.Pointer) int32
	createStream     func(stream *uintptr, flags uint32) int32
	destroyStream    func(stream uintptr) int32
	createEvent      func(event *uintptr, flags uint32) int32
	destroyEvent     func(event uintptr) int32
	recordEvent      func(event, stream uintptr) int32
	waitEvent        func(stream, event uintptr, flags uint32) int32
	synchronizeEvent func(event uintptr) int32
	launch           func(f uintptr, gx, gy, gz, bx, by, bz, shared uint32, stream uintptr, params, extra unsafe.Pointer) int32
	synchronize      func() int32
	errorName        func(code int32, name **byte) int32
}

// load finds the driver once in a process.
var load = sync.OnceValue(func() error {
	library, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	for _, f := range []struct {
		at   any
		name string
	}{
		{&api.init, "cuInit"}, {&api.driverVersion, "cuDriverGetVersion"}, {&api.deviceCount, "cuDeviceGetCount"},
		{&api.deviceGet, "cuDeviceGet"}, {&api.deviceName, "cuDeviceGetName"}, {&api.deviceAttribute, "cuDeviceGetAttribute"},
		{&api.totalMemory, "cuDeviceTotalMem_v2"}, {&api.primaryRetain, "cuDevicePrimaryCtxRetain"},
		{&api.primaryRelease, "cuDevicePrimaryCtxRelease_v2"}, {&api.setCurrent, "cuCtxSetCurrent"}, {&api.loadData, "cuModuleLoadDataEx"},
		{&api.unload, "cuModuleUnload"}, {&api.getFunction, "cuModuleGetFunction"}, {&api.alloc, "cuMemAlloc_v2"}, {&api.free, "cuMemFree_v2"},
		{&api.toDevice, "cuMemcpyHtoD_v2"}, {&api.toHost, "cuMemcpyDtoH_v2"}, {&api.launch, "cuLaunchKernel"},
		{&api.toDeviceAsync, "cuMemcpyHtoDAsync_v2"}, {&api.allocHost, "cuMemAllocHost_v2"}, {&api.freeHost, "cuMemFreeHost"},
		{&api.createStream, "cuStreamCreate"}, {&api.destroyStream, "cuStreamDestroy_v2"}, {&api.createEvent, "cuEventCreate"},
		{&api.destroyEvent, "cuEventDestroy_v2"}, {&api.recordEvent, "cuEventRecord"}, {&api.waitEvent, "cuStreamWaitEvent"},
		{&api.synchronizeEvent, "cuEventSynchronize"},
		{&api.synchronize, "cuCtxSynchronize"}, {&api.errorName, "cuGetErrorName"},
	} {
		// RegisterLibFunc panics where a symbol is missing.
		if _, err := purego.Dlsym(library, f.name); err != nil {
			return fmt.Errorf("%w: the driver is too old: %w", ErrNone, err)
		}
		purego.RegisterLibFunc(f.at, library, f.name)
	}
	// 100: no device. Anything else of cuInit is a driver that does not work here.
	if err := check("cuInit", api.init(0)); err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return nil
})

// outOfMemory is the CUresult of an allocation that does not fit.
const outOfMemory = 2

func check(what string, code int32) error {
	switch code {
	case 0:
		return nil
	case outOfMemory:
		return fmt.Errorf("%s: %w", what, gpu.ErrMemory)
	}
	var name *byte
	api.errorName(code, &name)
	text := ""
	for p := name; p != nil && *p != 0; p = (*byte)(unsafe.Add(unsafe.Pointer(p), 1)) {
		text += string(rune(*p))
	}
	return fmt.Errorf("%w: %s: %s (%d)", gpu.ErrFailed, what, text, code)
}

// Card is one that the driver knows.
type Card struct {
	Ordinal         int
	Name            string
	Major, Minor    int // compute capability
	Multiprocessors int
	Bytes           int64
	Driver          int // CUDA version of the driver, 1000·major + 10·minor
}

// Attributes of a card.
const (
	multiprocessors = 16
	majorCapability = 75
	minorCapability = 76
)

// Cards lists them. Without any it returns ErrNone with the reason.
func Cards() ([]Card, error) {
	if err := load(); err != nil {
		return nil, err
	}
	var n, driver int32
	if err := check("cuDeviceGetCount", api.deviceCount(&n)); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, ErrNone
	}
	if err := check("cuDriverGetVersion", api.driverVersion(&driver)); err != nil {
		return nil, err
	}
	var cards []Card
	for i := range n {
		var device, major, minor, count int32
		var bytes uintptr
		name := make([]byte, 256)
		for _, step := range []struct {
			what string
			code func() int32
		}{
			{"cuDeviceGet", func() int32 { return api.deviceGet(&device, i) }},
			{"cuDeviceGetName", func() int32 { return api.deviceName(&name[0], int32(len(name)), device) }},
			{"cuDeviceGetAttribute", func() int32 { return api.deviceAttribute(&major, majorCapability, device) }},
			{"cuDeviceGetAttribute", func() int32 { return api.deviceAttribute(&minor, minorCapability, device) }},
			{"cuDeviceGetAttribute", func() int32 { return api.deviceAttribute(&count, multiprocessors, device) }},
			{"cuDeviceTotalMem", func() int32 { return api.totalMemory(&bytes, device) }},
		} {
			if err := check(step.what, step.code()); err != nil {
				return nil, err
			}
		}
		cards = append(cards, Card{int(i), cString(name), int(major), int(minor), int(count), int64(bytes), int(driver)})
	}
	return cards, nil
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
