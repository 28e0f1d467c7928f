//go:build gpu && (linux || darwin)

package cuda

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/splatworks/splatworks/engines/gpu"
)

// driver is one of CUDA's with two streams, which run what is enqueued when it must be finished and no earlier, or when asked.
type driver struct {
	memory  map[uint64][]byte
	pinned  [][]byte
	streams [2][]func(d *driver) bool // each returns false while it waits
	events  []bool                    // by number - 1: it has happened
	stands  []int                     // records of each that are enqueued
	seen    []byte                    // the first byte of the buffer of each kernel, in their order
	next    uint64
	eager   bool // copies run as soon as they may
}

// run makes a stream do the first of what it has to; false: it waits, or has nothing.
func (d *driver) run(stream int) bool {
	if len(d.streams[stream]) == 0 || !d.streams[stream][0](d) {
		return false
	}
	d.streams[stream] = d.streams[stream][1:]
	return true
}

// settle runs one stream, and of the other what the first waits for.
func (d *driver) settle(until func() bool, stream int) {
	for !until() {
		if !d.run(stream) && !d.run(1-stream) {
			panic("both streams wait")
		}
	}
}

func (d *driver) enqueue(stream uintptr, f func(d *driver) bool) int32 {
	d.streams[stream] = append(d.streams[stream], f)
	for d.eager && d.run(1) {
	}
	return 0
}

func (d *driver) always(stream uintptr, f func()) int32 {
	return d.enqueue(stream, func(*driver) bool { f(); return true })
}

// install makes it the driver of this process until the test ends.
func (d *driver) install(t *testing.T) {
	before := api
	t.Cleanup(func() { api = before })
	d.memory = map[uint64][]byte{}
	drain := func() {
		d.settle(func() bool { return len(d.streams[0]) == 0 }, 0)
	}
	api.alloc = func(at *uint64, bytes uintptr) int32 {
		d.next += 1 << 20
		*at, d.memory[d.next] = d.next, make([]byte, bytes)
		return 0
	}
	api.free = func(at uint64) int32 { drain(); delete(d.memory, at); return 0 }
	api.allocHost = func(host *unsafe.Pointer, bytes uintptr) int32 {
		d.pinned = append(d.pinned, make([]byte, bytes))
		*host = unsafe.Pointer(&d.pinned[len(d.pinned)-1][0])
		return 0
	}
	api.freeHost = func(unsafe.Pointer) int32 { return 0 }
	api.createStream = func(stream *uintptr, flags uint32) int32 { *stream = 1; return int32(nonBlocking - flags) }
	api.destroyStream = func(uintptr) int32 { return 0 }
	api.createEvent = func(event *uintptr, _ uint32) int32 {
		d.events, d.stands = append(d.events, true), append(d.stands, 0)
		*event = uintptr(len(d.events))
		return 0
	}
	api.destroyEvent = func(uintptr) int32 { return 0 }
	happened := map[[2]int]bool{} // event and the number of its record
	api.recordEvent = func(event, stream uintptr) int32 {
		d.stands[event-1]++
		key := [2]int{int(event), d.stands[event-1]}
		return d.always(stream, func() { happened[key] = true })
	}
	api.waitEvent = func(stream, event uintptr, _ uint32) int32 {
		key := [2]int{int(event), d.stands[event-1]}
		return d.enqueue(stream, func(*driver) bool { return key[1] == 0 || happened[key] })
	}
	api.synchronizeEvent = func(event uintptr) int32 {
		key := [2]int{int(event), d.stands[event-1]}
		d.settle(func() bool { return key[1] == 0 || happened[key] }, 1)
		return 0
	}
	api.toDeviceAsync = func(at uint64, host unsafe.Pointer, n, stream uintptr) int32 {
		return d.always(stream, func() { copy(d.memory[at], unsafe.Slice((*byte)(host), n)) })
	}
	api.toDevice = func(at uint64, host unsafe.Pointer, n uintptr) int32 {
		drain()
		copy(d.memory[at], unsafe.Slice((*byte)(host), n))
		return 0
	}
	api.toHost = func(host unsafe.Pointer, at uint64, n uintptr) int32 {
		drain()
		copy(unsafe.Slice((*byte)(host), n), d.memory[at])
		return 0
	}
	api.launch = func(_ uintptr, _, _, _, _, _, _, _ uint32, stream uintptr, _, extra unsafe.Pointer) int32 {
		at := *(*uint64)((*(*[5]unsafe.Pointer)(extra))[1])
		return d.always(stream, func() { d.seen = append(d.seen, d.memory[at][0]) })
	}
	api.synchronize = func() int32 { drain(); return 0 }
	api.getFunction = func(f *uintptr, _ uintptr, _ *byte) int32 { *f = 1; return 0 }
}

// A kernel sees what was copied ahead for it, whether copies are as early as they may be or as late; a buffer is not overwritten
// while an earlier kernel needs it, and what a copy comes from not before it is done.
func TestCopiesAhead(t *testing.T) {
	for _, eager := range []bool{false, true} {
		t.Run(fmt.Sprintf("eager %v", eager), func(t *testing.T) {
			var fake driver
			fake.eager = eager
			fake.install(t)
			d := &Device{functions: map[string]uintptr{}, buffers: map[*buffer]struct{}{}}
			var slots [3]gpu.Buffer
			for i := range slots {
				var err error
				if slots[i], err = d.Alloc(64); err != nil {
					t.Fatal(err)
				}
			}
			var want []byte
			picture := make([]byte, 32)
			for i := range 4 * stages {
				picture[0] = byte(i + 1)
				slot := slots[i%len(slots)]
				if err := slot.WriteAhead(picture, picture); err != nil {
					t.Fatal(err)
				}
				picture[0] = 99 // what was copied is not read again
				for range 2 {
					if err := d.Launch(gpu.Kernel{Name: "look", Threads: 32}, 1, slot); err != nil {
						t.Fatal(err)
					}
					want = append(want, byte(i+1))
				}
			}
			back := make([]byte, 64)
			picture[0] = 7
			if err := slots[0].WriteAhead(picture[:1]); err != nil {
				t.Fatal(err)
			}
			if err := slots[0].Read(0, back); err != nil || back[0] != 7 || back[32] == 7 {
				t.Errorf("read %v, %v", back[0], err)
			}
			if err := slots[0].WriteAhead(picture[:1]); err != nil {
				t.Fatal(err)
			}
			if err := slots[0].Write(0, []byte{8}); err != nil {
				t.Fatal(err)
			}
			if err := slots[0].Read(0, back); err != nil || back[0] != 8 {
				t.Errorf("a write behind a copy ahead left %v, %v", back[0], err)
			}
			if err := slots[1].WriteAhead(make([]byte, 65)); err == nil {
				t.Error("more than the buffer has is no error")
			}
			if !slices.Equal(fake.seen, want) {
				t.Errorf("kernels saw %v, want %v", fake.seen, want)
			}
			if len(fake.pinned) > 2*stages {
				t.Errorf("%d allocations of pinned memory", len(fake.pinned))
			}
			if err := slots[2].WriteAhead(picture); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil { // with a copy under way
				t.Error(err)
			}
		})
	}
}
