//go:build gpu && (linux || darwin)

package cuda

import (
	"fmt"
	"unsafe"
)

// ahead copies to the card beside the kernels: on a stream of its own, from memory that the driver has pinned, without which a copy
// would wait.
type ahead struct {
	stream   uintptr // 0: not made yet
	enqueued uintptr // event: what was launched when the last copy was asked for
	stages   [stages]stage
	next     int
}

// stages are the copies that may be under way: three buffers of a picture, for two pictures, and those of the one in use.
const stages = 9

// stage is where one copy comes from.
type stage struct {
	host  unsafe.Pointer
	bytes int
	done  uintptr // event: the copy is
	to    *buffer // of the last copy
}

// nonBlocking are the flags of a stream that the default stream does not wait for, and noTiming those of an event that only orders.
const (
	nonBlocking = 1
	noTiming    = 2
)

// WriteAhead copies the parts to pinned memory, and from there to the card once what was launched before is finished.
func (b *buffer) WriteAhead(parts ...[]byte) error {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	if err := b.within(0, n); err != nil || n == 0 {
		return err
	}
	a := &b.d.ahead
	s, err := a.take(n)
	if err != nil {
		return fmt.Errorf("cuda: copy ahead of %d bytes: %w", n, err)
	}
	to := unsafe.Slice((*byte)(s.host), n)
	for _, part := range parts {
		to = to[copy(to, part):]
	}
	for _, step := range []struct {
		what string
		code func() int32
	}{
		{"cuEventRecord", func() int32 { return api.recordEvent(a.enqueued, 0) }},
		{"cuStreamWaitEvent", func() int32 { return api.waitEvent(a.stream, a.enqueued, 0) }},
		{"cuMemcpyHtoDAsync", func() int32 { return api.toDeviceAsync(b.at, s.host, uintptr(n), a.stream) }},
		{"cuEventRecord", func() int32 { return api.recordEvent(s.done, a.stream) }},
	} {
		if err := check(step.what, step.code()); err != nil {
			return err
		}
	}
	s.to, b.coming = b, s
	return nil
}

// take returns a stage of at least n bytes whose last copy is done.
func (a *ahead) take(n int) (*stage, error) {
	if a.stream == 0 {
		if err := check("cuStreamCreate", api.createStream(&a.stream, nonBlocking)); err != nil {
			return nil, err
		}
		if err := check("cuEventCreate", api.createEvent(&a.enqueued, noTiming)); err != nil {
			return nil, err
		}
	}
	s := &a.stages[a.next]
	a.next = (a.next + 1) % stages
	if s.done == 0 {
		if err := check("cuEventCreate", api.createEvent(&s.done, noTiming)); err != nil {
			return nil, err
		}
	}
	if s.to != nil {
		if err := check("cuEventSynchronize", api.synchronizeEvent(s.done)); err != nil {
			return nil, err
		}
		if s.to.coming == s {
			s.to.coming = nil
		}
		s.to = nil
	}
	if s.bytes < n {
		if s.host != nil {
			api.freeHost(s.host)
			s.host, s.bytes = nil, 0
		}
		if err := check("cuMemAllocHost", api.allocHost(&s.host, uintptr(n))); err != nil {
			return nil, err
		}
		s.bytes = n
	}
	return s, nil
}

// arrive makes what is launched from now on wait for a copy to the buffer that is under way.
func (b *buffer) arrive() error {
	s := b.coming
	if s == nil {
		return nil
	}
	b.coming = nil
	return check("cuStreamWaitEvent", api.waitEvent(0, s.done, 0))
}

// close waits for the copies and returns what they took. Errors are those of earlier launches, as in Free.
func (a *ahead) close() {
	for i := range a.stages {
		s := &a.stages[i]
		if s.to != nil {
			api.synchronizeEvent(s.done)
		}
		if s.done != 0 {
			api.destroyEvent(s.done)
		}
		if s.host != nil {
			api.freeHost(s.host)
		}
	}
	if a.enqueued != 0 {
		api.destroyEvent(a.enqueued)
	}
	if a.stream != 0 {
		api.destroyStream(a.stream)
	}
	*a = ahead{}
}
