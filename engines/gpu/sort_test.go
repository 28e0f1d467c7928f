package gpu_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
)

// Prefix sums of one group, of the sizes about a group's end, and of several levels.
func TestScanSums(t *testing.T) {
	t.Parallel()
	e := gpu.NewEngine(interpreter(t))
	for _, n := range []int{0, 1, 31, 2047, 2048, 2049, 10_000} {
		in := make([]uint32, n)
		for i := range in {
			in[i] = uint32(i*7) % 11
		}
		got, err := e.Scan(in)
		if err != nil {
			t.Fatal(err)
		}
		sum := uint32(0)
		for i, v := range got {
			if v != sum {
				t.Fatalf("%d values: the sum before %d is %d, want %d", n, i, v, sum)
			}
			if i < n {
				sum += in[i]
			}
		}
	}
}

// A stable sort by the bits that it is asked for.
func TestSortIsStable(t *testing.T) {
	t.Parallel()
	e := gpu.NewEngine(interpreter(t))
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ n, bits int }{{1, 8}, {33, 24}, {4095, 8}, {4097, 16}, {9000, 24}} {
		keys, values := make([]uint32, c.n), make([]uint32, c.n)
		for i := range keys {
			keys[i], values[i] = rng.Uint32()>>(32-c.bits), uint32(i)
			if i%3 == 0 {
				keys[i] = keys[i/2] // repeats
			}
		}
		gotKeys, got, err := e.Sort(keys, values, c.bits)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(values, func(a, b uint32) int { return cmp.Compare(keys[a], keys[b]) })
		for i := range values {
			if got[i] != values[i] || gotKeys[i] != keys[values[i]] {
				t.Fatalf("%d pairs by %d bits: place %d has value %d with key %d, want %d with %d", c.n, c.bits, i, got[i], gotKeys[i], values[i], keys[values[i]])
			}
		}
	}
}
