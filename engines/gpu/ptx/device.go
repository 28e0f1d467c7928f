// Package ptx runs PTX, the assembly that clang makes of our kernels for NVIDIA's cards, on the processor: to test without
// a card the very text that is loaded on one. It is plain Go and knows the subset that clang writes for package kernels;
// an instruction outside of it is an error when the text is read.
//
// It checks what no card checks, and Launch returns an error that lists the findings:
//
//	bounds         an access outside of every buffer, of shared memory or of the parameters, or not aligned
//	uninitialised  a read of memory that nothing wrote since it was allocated, or since the block began
//	race           two uses of a word, one a write, which no barrier orders: of threads in shared memory, of blocks in global
//	barrier        a barrier that not every thread reaches, or warps at different ones; lanes that a warp-wide
//	               instruction names and that do not come
//	endless        more instructions in a launch than Limit
//
// It counts warp instructions and bytes moved for each kernel, so that variants of a kernel can be compared.
//
// What it does not have: registers that were never written read as 0, approximate units are exact, and blocks run one after
// another, lanes of a warp together.
package ptx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/splatworks/splatworks/engines/gpu"
)

// addressBits: an address in global memory has the buffer's number above its offset.
const addressBits = 36

// Device interprets one module.
type Device struct {
	// Limit is the warp instructions after which a launch is taken for endless.
	Limit int64
	// Bytes is the memory that there is; an allocation over it fails as a card's does.
	Bytes int64

	used     int64
	entries  map[string]*entry
	buffers  map[uint64]*buffer
	recent   *buffer // the one that was used last
	next     uint64
	launch   uint32 // number of the launch, for races between blocks
	executed int64  // warp instructions of the launch
	longest  int64  // of one warp in the launch
	moved    int64  // bytes of the launch
	findings []Finding
	since    int // findings before the launch
	counts   map[string]Count
	packed   []byte
}

// Count is what the launches of one kernel did.
type Count struct {
	Launches     int
	Instructions int64 // warp instructions
	Longest      int64 // of them, of the warp with the most: what a launch takes at least, however many others run beside it
	Bytes        int64 // of global memory, in sectors of 32 bytes; caches are not counted
}

// Check is a kind of Finding.
type Check string

const (
	Bounds        Check = "bounds"
	Uninitialised Check = "uninitialised"
	Race          Check = "race"
	Barrier       Check = "barrier"
	Endless       Check = "endless"
)

// Finding is one fault of a kernel, once in a launch for each instruction and check.
type Finding struct {
	Kernel string
	Line   int // of the PTX
	Check  Check
	Text   string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s, line %d: %s: %s", f.Kernel, f.Line, f.Check, f.Text)
}

// ErrFindings is wrapped by the error of a launch in which a check found something.
var ErrFindings = errors.New("the kernel is wrong")

// Open reads a module.
func Open(text string) (*Device, error) {
	entries, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("ptx: %w", err)
	}
	return &Device{Limit: 1 << 33, Bytes: 4 << 30, entries: entries, buffers: map[uint64]*buffer{}, counts: map[string]Count{}}, nil
}

// buffer is one allocation.
type buffer struct {
	memory
	d      *Device
	id     uint64
	shadow []blockShadow // of each word
	ahead  []byte        // what WriteAhead has not written yet
}

// Name says what this is.
func (d *Device) Name() string { return "PTX interpreter" }

// Memory is Bytes.
func (d *Device) Memory() int64 { return d.Bytes }

// Alloc reserves memory whose every byte is uninitialised.
func (d *Device) Alloc(bytes int) (gpu.Buffer, error) {
	if bytes < 0 || bytes >= 1<<addressBits {
		return nil, fmt.Errorf("ptx: a buffer of %d bytes", bytes)
	}
	bytes = max(bytes, 4)
	if d.used+int64(bytes) > d.Bytes {
		return nil, fmt.Errorf("ptx: %d bytes: %w", bytes, gpu.ErrMemory)
	}
	d.used += int64(bytes)
	d.next++
	b := &buffer{memory: newMemory(bytes), d: d, id: d.next, shadow: make([]blockShadow, (bytes+3)/4)}
	d.buffers[b.id] = b
	return b, nil
}

func (b *buffer) within(at, n int) error {
	if b.d == nil || at < 0 || n < 0 || at+n > len(b.data) {
		return fmt.Errorf("ptx: %d bytes at %d of a buffer of %d", n, at, len(b.data))
	}
	return nil
}

func (b *buffer) Write(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil {
		return err
	}
	b.arrive()
	b.write(at, data)
	return nil
}

// WriteAhead keeps what is written until something uses the buffer, as a card may.
func (b *buffer) WriteAhead(parts ...[]byte) error {
	all := slices.Concat(parts...)
	if err := b.within(0, len(all)); err != nil {
		return err
	}
	b.arrive()
	b.ahead = all
	return nil
}

// arrive ends a copy that WriteAhead began.
func (b *buffer) arrive() {
	if b.ahead != nil {
		b.write(0, b.ahead)
		b.ahead = nil
	}
}

func (b *buffer) Read(at int, data []byte) error {
	if err := b.within(at, len(data)); err != nil {
		return err
	}
	b.arrive()
	copy(data, b.data[at:])
	return nil
}

// buffer finds one by its number, nil where there is none.
func (d *Device) buffer(id uint64) *buffer {
	if d.recent == nil || d.recent.id != id {
		d.recent = d.buffers[id]
	}
	return d.recent
}

func (b *buffer) Free() {
	if b.d != nil {
		delete(b.d.buffers, b.id)
		b.d.recent = nil
		b.d.used -= int64(len(b.data))
		b.d = nil
	}
}

// Launch runs the groups one after another. It returns an error that wraps ErrFindings when a check found something.
func (d *Device) Launch(k gpu.Kernel, groups int, args ...any) error {
	e := d.entries[k.Name]
	if e == nil {
		return fmt.Errorf("ptx: the module has no kernel %s", k.Name)
	}
	packed, err := gpu.Pack(d.packed, args, d.address)
	if err != nil {
		return fmt.Errorf("ptx: %s: %w", k.Name, err)
	}
	d.packed = packed
	if len(packed) != e.paramSize {
		return fmt.Errorf("ptx: %s: arguments of %d bytes, it takes %d", k.Name, len(packed), e.paramSize)
	}
	if groups <= 0 {
		return nil
	}
	d.launch++
	d.executed, d.longest, d.moved = 0, 0, 0
	d.since = len(d.findings)
	b := newBlock(d, e, packed, k.Threads)
	for cta := 0; cta < groups && !d.exhausted(); cta++ {
		b.reset(cta, groups, k.Threads)
		b.run()
		for _, w := range b.warps {
			d.longest = max(d.longest, w.executed)
		}
	}
	if d.exhausted() {
		d.report(e, &e.code[0], Endless, "more than %d instructions", d.Limit)
	}
	c := d.counts[k.Name]
	d.counts[k.Name] = Count{c.Launches + 1, c.Instructions + d.executed, max(c.Longest, d.longest), c.Bytes + d.moved}
	if found := d.findings[d.since:]; len(found) > 0 {
		text := make([]string, 0, len(found))
		for _, f := range found {
			text = append(text, f.String())
		}
		return fmt.Errorf("ptx: %w: %s", ErrFindings, strings.Join(text, "; "))
	}
	return nil
}

func (d *Device) address(b gpu.Buffer) (uint64, error) {
	mine, ours := b.(*buffer)
	if !ours || mine.d != d {
		return 0, errors.New("a buffer of another device, or one that was freed")
	}
	mine.arrive()
	return mine.id << addressBits, nil
}

func (d *Device) exhausted() bool { return d.executed > d.Limit }

// report notes a finding, once in a launch for each instruction and check.
func (d *Device) report(e *entry, in *inst, check Check, format string, args ...any) {
	for _, f := range d.findings[d.since:] {
		if f.Line == in.line && f.Check == check {
			return
		}
	}
	d.findings = append(d.findings, Finding{e.name, in.line, check, fmt.Sprintf(format, args...)})
}

// Wait returns at once: a launch has finished when it returns.
func (d *Device) Wait() error { return nil }

// Close frees every buffer.
func (d *Device) Close() error {
	for _, b := range d.buffers {
		b.Free()
	}
	return nil
}

// Findings lists what the checks found in all launches.
func (d *Device) Findings() []Finding { return d.findings }

// Counts returns what was counted for each kernel.
func (d *Device) Counts() map[string]Count { return d.counts }
