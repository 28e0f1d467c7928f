package ptx_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/gpu/ptx"
)

// kernel wraps a body into a module with one entry k(buffer, n). %rd1 holds the buffer, %r1 the thread, %r2 n, %rd2 the
// address of the thread's word, %rd3 that of its word of shared memory, 1024 bytes.
func kernel(body string) string {
	return `
.version 6.4
.target sm_75
.address_size 64
.visible .entry k(
	.param .u64 .ptr .global .align 4 k_param_0,
	.param .u32 k_param_1
)
{
	.reg .pred %p<9>;
	.reg .b16 %rs<9>;
	.reg .b32 %r<20>;
	.reg .f32 %f<9>;
	.reg .b64 %rd<20>;
	.shared .align 4 .b8 words[1024];
	ld.param.u64 %rd1, [k_param_0];
	ld.param.u32 %r2, [k_param_1];
	mov.u32 %r1, %tid.x;
	mul.wide.u32 %rd9, %r1, 4;
	add.s64 %rd2, %rd1, %rd9;
	mov.u64 %rd8, words;
	add.s64 %rd3, %rd8, %rd9;
` + body + `
	ret;
}
`
}

// launch runs a body on one buffer of zeros, whose content is returned.
func launch(t *testing.T, body string, words, groups, threads int, n uint32) ([]uint32, []ptx.Finding, error) {
	t.Helper()
	d, err := ptx.Open(kernel(body))
	if err != nil {
		t.Fatal(err)
	}
	d.Limit = 1 << 16
	b, err := d.Alloc(4 * words)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4*words)
	if err := b.Write(0, data); err != nil {
		t.Fatal(err)
	}
	err = d.Launch(gpu.Kernel{Name: "k", Threads: threads}, groups, b, n)
	if e := b.Read(0, data); e != nil {
		t.Fatal(e)
	}
	out := make([]uint32, words)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	return out, d.Findings(), err
}

// Each check is found by a small kernel that needs it, and the same kernel without its fault is clean.
func TestEachCheckFindsItsFault(t *testing.T) {
	const reverse = `
	st.shared.u32 [%rd3], %r1;
	BARRIER
	mul.wide.u32 %rd4, %r2, 4;
	add.s64 %rd5, %rd8, %rd4;
	sub.s64 %rd5, %rd5, %rd9;
	ld.shared.u32 %r3, [%rd5];
	st.global.u32 [%rd2], %r3;`
	const publish = `
	st.shared.u32 [%rd3], %r1;
	bar.warp.sync -1;
	st.global.u32 [%rd2], %r1;
	BARRIER
	xor.b64 %rd5, %rd9, 4;
	add.s64 %rd5, %rd8, %rd5;
	st.shared.u32 [%rd5], %r1;`
	for _, test := range []struct {
		name, faulty, clean string
		check               ptx.Check
		groups, threads     int
		n                   uint32
	}{
		{"past the end", "st.global.u32 [%rd2+4], %r1;", "st.global.u32 [%rd2], %r1;", ptx.Bounds, 1, 64, 0},
		{"before the start", "ld.global.u32 %r3, [%rd2+-4];", "ld.global.u32 %r3, [%rd2];", ptx.Bounds, 1, 64, 0},
		{"not aligned", "ld.global.u32 %r3, [%rd1+2];", "ld.global.u16 %rs3, [%rd1+2];", ptx.Bounds, 1, 64, 0},
		{"no buffer", "mov.u64 %rd4, 64; ld.global.u32 %r3, [%rd4];", "ld.global.u32 %r3, [%rd1];", ptx.Bounds, 1, 64, 0},
		{"shared bounds", "st.shared.u32 [%rd3+1000], %r1;", "st.shared.u32 [%rd3+512], %r1;", ptx.Bounds, 1, 64, 0},
		{"parameters", "ld.param.u32 %r3, [k_param_1+4];", "ld.param.u32 %r3, [k_param_1];", ptx.Bounds, 1, 64, 0},
		{"shared memory that nothing wrote", "ld.shared.u32 %r3, [%rd3];", "st.shared.u32 [%rd3], %r1; ld.shared.u32 %r3, [%rd3];", ptx.Uninitialised, 1, 64, 0},
		{"half of a word", "st.shared.u16 [%rd3], %rs1; ld.shared.u32 %r3, [%rd3];", "st.shared.u16 [%rd3], %rs1; ld.shared.u16 %rs3, [%rd3];", ptx.Uninitialised, 1, 64, 0},
		{"a missing barrier", strings.ReplaceAll(reverse, "BARRIER", ""), strings.ReplaceAll(reverse, "BARRIER", "bar.sync 0;"), ptx.Race, 1, 64, 63},
		{"a barrier of the warp between warps", strings.ReplaceAll(reverse, "BARRIER", "bar.warp.sync -1;"), strings.ReplaceAll(reverse, "BARRIER", "bar.sync 0;"), ptx.Race, 1, 64, 63},
		{"a missing barrier of a warp", strings.ReplaceAll(reverse, "BARRIER", ""), strings.ReplaceAll(reverse, "BARRIER", "bar.warp.sync -1;"), ptx.Race, 1, 32, 31},
		{"write after read", strings.ReplaceAll(publish, "BARRIER", "ld.shared.u32 %r4, [%rd3];"), strings.ReplaceAll(publish, "BARRIER", "ld.shared.u32 %r4, [%rd3]; bar.sync 0;"), ptx.Race, 1, 64, 0},
		{"plain read of what is changed atomically", "st.shared.u32 [%rd3], %r1; bar.sync 0; atom.shared.add.u32 %r4, [words], 1; ld.shared.u32 %r5, [words];",
			"st.shared.u32 [%rd3], %r1; bar.sync 0; atom.shared.add.u32 %r4, [words], 1; bar.sync 0; ld.shared.u32 %r5, [words];", ptx.Race, 1, 64, 0},
		{"two blocks write a word", "st.global.u32 [%rd2], %r1;", "atom.global.add.u32 %r4, [%rd2], 1;", ptx.Race, 2, 64, 0},
		{"one block reads what another writes", "mov.u32 %r4, %ctaid.x; setp.eq.u32 %p1, %r4, 0; @%p1 st.global.u32 [%rd2], %r1; @!%p1 ld.global.u32 %r5, [%rd2];",
			"ld.global.u32 %r5, [%rd2];", ptx.Race, 2, 64, 0},
		{"a barrier in one branch", "setp.lt.u32 %p1, %r1, 5; @%p1 bra $IN; bra $OUT;\n$IN:\n bar.sync 0;\n$OUT:\n bar.sync 0;",
			"setp.lt.u32 %p1, %r2, 5; @%p1 bra $IN; bra $OUT;\n$IN:\n bar.sync 0;\n$OUT:\n bar.sync 0;", ptx.Barrier, 1, 64, 0},
		{"warps at different barriers", "setp.lt.u32 %p1, %r1, 32; @%p1 bra $IN;\n bar.sync 0; bra $OUT;\n$IN:\n bar.sync 0;\n$OUT:\n st.global.u32 [%rd2], %r1;",
			"bar.sync 0;", ptx.Barrier, 1, 64, 0},
		{"a lane that does not come", "setp.lt.u32 %p1, %r1, 5; @%p1 bra $IN; bra $OUT;\n$IN:\n bar.warp.sync -1; bar.sync 0;\n$OUT:\n bar.sync 0;",
			"setp.lt.u32 %p1, %r2, 5; @%p1 bra $IN; bra $OUT;\n$IN:\n bar.warp.sync -1;\n$OUT:\n bar.sync 0;", ptx.Barrier, 1, 64, 0},
		{"a lane that is not named", "bar.warp.sync 1;", "bar.warp.sync -1;", ptx.Barrier, 1, 64, 0},
		{"an endless loop", "$AGAIN:\n add.s32 %r3, %r3, 1;\n bra $AGAIN;", "$AGAIN:\n add.s32 %r3, %r3, 1;\n setp.lt.u32 %p1, %r3, 9;\n @%p1 bra $AGAIN;", ptx.Endless, 1, 64, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, findings, err := launch(t, lines(test.faulty), 64, test.groups, test.threads, test.n)
			if !errors.Is(err, ptx.ErrFindings) || !slices.ContainsFunc(findings, func(f ptx.Finding) bool { return f.Check == test.check && f.Kernel == "k" }) {
				t.Errorf("the fault gives %v, want a finding of %s", err, test.check)
			}
			if _, _, err := launch(t, lines(test.clean), 64, test.groups, test.threads, test.n); err != nil {
				t.Errorf("without the fault: %v", err)
			}
		})
	}
}

// lines puts every instruction on a line of its own.
func lines(s string) string { return strings.ReplaceAll(s, "; ", ";\n") }

// A read of memory that was allocated and never written is found, and one that the host wrote is not.
func TestUninitialisedGlobalMemoryIsFound(t *testing.T) {
	d, err := ptx.Open(kernel("ld.global.u32 %r3, [%rd2];"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Alloc(4 * 32)
	if err != nil {
		t.Fatal(err)
	}
	k := gpu.Kernel{Name: "k", Threads: 32}
	if err := b.Write(0, make([]byte, 4*31+3)); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(k, 1, b, uint32(0)); !errors.Is(err, ptx.ErrFindings) || !strings.Contains(err.Error(), "thread 31") {
		t.Errorf("one byte is missing: %v", err)
	}
	if err := b.Write(4*32-1, []byte{0}); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(k, 1, b, uint32(0)); err != nil {
		t.Error(err)
	}
}

// A fault is reported again by the next launch that has it, and once in a launch.
func TestFindingsComeWithEveryLaunch(t *testing.T) {
	d, err := ptx.Open(kernel("st.global.u32 [%rd2+4], %r1;"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := d.Alloc(4)
	for i := range 2 {
		if err := d.Launch(gpu.Kernel{Name: "k", Threads: 64}, 3, b, uint32(0)); !errors.Is(err, ptx.ErrFindings) {
			t.Errorf("launch %d: %v", i, err)
		}
	}
	if n := len(d.Findings()); n != 2 {
		t.Errorf("%d findings of 2 launches: %v", n, d.Findings())
	}
}

// Launches that cannot be right are errors, not findings.
func TestLaunchRefuses(t *testing.T) {
	open := func() *ptx.Device {
		d, err := ptx.Open(kernel(""))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d, other := open(), open()
	mine, _ := d.Alloc(4)
	theirs, _ := other.Alloc(4)
	freed, _ := d.Alloc(4)
	freed.Free()
	k := gpu.Kernel{Name: "k", Threads: 32}
	for name, err := range map[string]error{
		"no such kernel": d.Launch(gpu.Kernel{Name: "j", Threads: 32}, 1, mine, uint32(1)),
		"too few":        d.Launch(k, 1, mine),
		"a type":         d.Launch(k, 1, mine, 1),
		"another device": d.Launch(k, 1, theirs, uint32(1)),
		"freed":          d.Launch(k, 1, freed, uint32(1)),
		"a long write":   mine.Write(2, make([]byte, 4)),
		"a long read":    mine.Read(-1, make([]byte, 4)),
		"a freed write":  freed.Write(0, make([]byte, 4)),
	} {
		if err == nil || errors.Is(err, ptx.ErrFindings) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Launch(k, 1, mine, uint32(1)); err != nil {
		t.Error(err)
	}
}

// Text that is not understood is an error that names the line; nothing is skipped.
func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, body := range []string{
		"fantasy.u32 %r1, %r2;", "add.f64 %rd1, %rd2, %rd3;", "atom.global.add.f32 %f1, [%rd1], %f2;", "ld.u32 %r1, [%rd1];",
		"mov.u32 %r1, %nosuch7;", "mov.u32 %r1, fantasy;", "bra $NOWHERE;", "cvt.rni.u32.f32 %r1, %f1;", "bar.sync 1;",
		"setp.some.u32 %p1, %r1, %r2;", "fma.rn.f32 %f1, %f2, %f3;", "ld.global.u32 %r1, [%r2];", "mov.u32 %r1;",
	} {
		if _, err := ptx.Open(kernel(body)); err == nil || !strings.Contains(err.Error(), "line 23") {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := ptx.Open(".version 6.4"); err == nil {
		t.Error("a module without an entry is accepted")
	}
}

// One instruction at a time: what 32 lanes make of it.
func TestInstructions(t *testing.T) {
	bits := math.Float32bits
	nan := uint32(0x7fffffff)
	for _, test := range []struct {
		body string // leaves its result in %r9; %r1 is the lane
		want func(lane uint32) uint32
	}{
		{"mad.lo.s32 %r9, %r1, 3, 7;", func(i uint32) uint32 { return 3*i + 7 }},
		{"mul.hi.u32 %r9, %r1, -1;", func(i uint32) uint32 { return uint32(uint64(i) * 0xffffffff >> 32) }},
		{"shl.b32 %r9, %r1, 40;", func(uint32) uint32 { return 0 }},
		{"sub.s32 %r3, %r1, 40; shr.s32 %r9, %r3, 35;", func(uint32) uint32 { return 0xffffffff }},
		{"sub.s32 %r3, %r1, 16; max.s32 %r9, %r3, -4;", func(i uint32) uint32 { return uint32(max(int32(i)-16, -4)) }},
		{"bfe.u32 %r9, %r1, 1, 3;", func(i uint32) uint32 { return i >> 1 & 7 }},
		{"popc.b32 %r9, %r1;", func(i uint32) uint32 {
			n := uint32(0)
			for ; i != 0; i /= 2 {
				n += i % 2
			}
			return n
		}},
		{"cvt.rn.f32.u32 %f1, %r1; fma.rn.f32 %f2, %f1, 0f3F000000, 0f3F800000; mov.b32 %r9, %f2;", func(i uint32) uint32 { return bits(float32(i)/2 + 1) }},
		{"mul.ftz.f32 %f2, 0f00800000, 0f3F000000; mov.b32 %r9, %f2;", func(uint32) uint32 { return 0 }},
		{"mul.f32 %f2, 0f00800000, 0f3F000000; mov.b32 %r9, %f2;", func(uint32) uint32 { return 0x00400000 }},
		{"min.f32 %f2, 0f7FC00000, 0f3F000000; mov.b32 %r9, %f2;", func(uint32) uint32 { return bits(0.5) }},
		{"setp.geu.f32 %p1, 0f7FC00000, 0f3F000000; selp.u32 %r9, 1, 2, %p1;", func(uint32) uint32 { return 1 }},
		{"setp.ge.f32 %p1, 0f7FC00000, 0f3F000000; selp.u32 %r9, 1, 2, %p1;", func(uint32) uint32 { return 2 }},
		{"setp.ne.f32 %p1, 0f7FC00000, 0f3F000000; selp.u32 %r9, 1, 2, %p1;", func(uint32) uint32 { return 2 }},
		{"cvt.rzi.u32.f32 %r9, 0fC0000000;", func(uint32) uint32 { return 0 }},
		{"cvt.rzi.u32.f32 %r9, 0f7FC00000;", func(uint32) uint32 { return 0 }},
		{"cvt.rzi.s32.f32 %r9, 0fC0200000;", func(uint32) uint32 { return 0xfffffffe }},
		{"cvt.rzi.u32.f32 %r9, 0f7F800000;", func(uint32) uint32 { return 0xffffffff }},
		{"setp.lt.u32 %p1, %r1, 9; setp.gt.u32 %p2, %r1, 5; and.pred %p3, %p1, %p2; selp.b32 %r9, 1, 0, %p3;", func(i uint32) uint32 {
			if i > 5 && i < 9 {
				return 1
			}
			return 0
		}},
		{"setp.lt.u32 %p1, %r1, 9; vote.sync.ballot.b32 %r9, %p1, -1;", func(uint32) uint32 { return 0x1ff }},
		{"shfl.sync.bfly.b32 %r9, %r1, 5, 31, -1;", func(i uint32) uint32 { return i ^ 5 }},
		{"shfl.sync.down.b32 %r9, %r1, 3, 31, -1;", func(i uint32) uint32 {
			if i+3 < 32 {
				return i + 3
			}
			return i
		}},
		{"and.b32 %r3, %r1, 1; match.any.sync.b32 %r9, %r3, -1;", func(i uint32) uint32 { return 0x55555555 << (i & 1) }},
		{"mov.u32 %r9, 1;\n@%p0 mov.u32 %r9, 2;", func(uint32) uint32 { return 1 }},
		{"mov.b32 %r9, 0f7FFFFFFF;", func(uint32) uint32 { return nan }},
	} {
		got, _, err := launch(t, lines(test.body+" st.global.u32 [%rd2], %r9;"), 32, 1, 32, 0)
		if err != nil {
			t.Errorf("%s: %v", test.body, err)
			continue
		}
		for i, v := range got {
			if want := test.want(uint32(i)); v != want {
				t.Errorf("%s: lane %d has %#x, want %#x", test.body, i, v, want)
				break
			}
		}
	}
}

// Lanes that part in a loop meet again, and the counts say what they did.
func TestDivergedLanesMeetAgain(t *testing.T) {
	body := lines(`
	mov.u32 %r9, 0;
	mov.u32 %r3, 0;
$LOOP:
	setp.ge.u32 %p1, %r3, %r1;
	@%p1 bra $OUT;
	add.s32 %r9, %r9, %r3;
	add.s32 %r3, %r3, 1;
	bra $LOOP;
$OUT:
	bar.warp.sync -1;
	st.global.u32 [%rd2], %r9;`)
	d, err := ptx.Open(kernel(body))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := d.Alloc(4 * 48)
	if err := d.Launch(gpu.Kernel{Name: "k", Threads: 48}, 1, b, uint32(0)); err != nil { // the second warp is half a warp
		t.Fatal(err)
	}
	data := make([]byte, 4*48)
	if err := b.Read(0, data); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(48) {
		if got, want := binary.LittleEndian.Uint32(data[4*i:]), i*(i-1)/2; i > 0 && got != want {
			t.Errorf("lane %d has %d, want %d", i, got, want)
		}
	}
	c := d.Counts()["k"]
	// 7 instructions before, 2, then 5 a round and 2 in the last, a barrier, a store and a return.
	want := int64(0)
	for _, rounds := range []int64{31, 47} {
		want += 7 + 2 + 5*rounds + 2 + 3
	}
	longest := int64(7 + 2 + 5*47 + 2 + 3) // of the second warp
	if c.Launches != 1 || c.Instructions != want || c.Longest != longest || c.Bytes != 4*48 {
		t.Errorf("%s, want %d instructions, %d of one warp, and 192 bytes", fmt.Sprintf("%+v", c), want, longest)
	}
}

// They meet too where clang writes the end of a loop's body above its begin, and lanes part on the way to it.
func TestDivergedLanesMeetAboveWhereTheyPart(t *testing.T) {
	body := lines(`
	mov.u32 %r9, 0;
	mov.u32 %r3, 0;
	and.b32 %r4, %r1, 1;
	setp.eq.u32 %p2, %r4, 0;
	bra $HEAD;
$LATCH:
	add.s32 %r3, %r3, 1;
	setp.ge.u32 %p1, %r3, 4;
	@%p1 bra $OUT;
$HEAD:
	@%p2 bra $LATCH;
	add.s32 %r9, %r9, %r3;
	bra $LATCH;
$OUT:
	st.global.u32 [%rd2], %r9;`)
	d, err := ptx.Open(kernel(body))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := d.Alloc(4 * 32)
	if err := d.Launch(gpu.Kernel{Name: "k", Threads: 32}, 1, b, uint32(0)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4*32)
	if err := b.Read(0, data); err != nil {
		t.Fatal(err)
	}
	for i := range uint32(32) {
		if got, want := binary.LittleEndian.Uint32(data[4*i:]), i%2*(0+1+2+3); got != want {
			t.Errorf("lane %d has %d, want %d", i, got, want)
		}
	}
	// 7 instructions before and 5, then 1 and 2 of half of the lanes and 3 of all, four times, a store and a return.
	if c, want := d.Counts()["k"], int64(7+5+4*(1+2+3)+2); c.Instructions != want {
		t.Errorf("%d warp instructions, want %d", c.Instructions, want)
	}
}
