package simd

import (
	"math/rand/v2"
	"testing"
)

// Every level finds what plain Go finds, whatever the numbers are: sets that do not fill a block, equal descriptors, zeros, the largest.
func TestNearestOfEveryLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	for _, count := range []int{0, 1, 15, 16, 17, 100, 333} {
		for _, kind := range []string{"any", "equal", "zero", "largest", "few"} {
			rows := make([]uint8, count*DescriptorSize)
			for i := range rows {
				switch kind {
				case "any":
					rows[i] = uint8(rng.Uint32())
				case "equal":
					rows[i] = uint8(i % DescriptorSize)
				case "largest":
					rows[i] = 255
				case "few":
					rows[i] = uint8(rng.IntN(2))
				}
			}
			var d Descriptors
			d.Fill(make([]uint8, 40*DescriptorSize)) // what was there before is forgotten
			d.Fill(rows)
			var queries Queries
			for j := range queries {
				row := make([]uint8, DescriptorSize)
				for k := range row {
					row[k] = uint8(rng.Uint32())
				}
				if count > 0 && j == 1 {
					row = rows[(count-1)*DescriptorSize:]
				}
				queries.Set(j, row)
			}
			var want Nearest
			plainKernels.Nearest(&queries, d, 0, d.Blocks(), &want)
			for _, level := range Levels() {
				k, got := level.Kernels(), Nearest{}
				for _, split := range []int{0, d.Blocks() / 2, d.Blocks()} {
					got.Begin()
					k.Nearest(&queries, d, 0, split, &got)
					k.Nearest(&queries, d, split, d.Blocks(), &got)
					if got != want {
						t.Fatalf("%v, %d descriptors (%s), in two parts at block %d: got %v, want %v", level, count, kind, split, got, want)
					}
				}
			}
			for j := range queries {
				best, second, index := want.Of(j)
				b, s, i := nearestOf(queries[j], rows)
				if best != b || second != s || (b > 0 && index != i) {
					t.Errorf("%d descriptors (%s), query %d: got %d, %d at %d, want %d, %d at %d", count, kind, j, best, second, index, b, s, i)
				}
			}
		}
	}
}

// nearestOf is the definition of Nearest.Of: one descriptor after another, as in COLMAP's FindBestMatchesOneWayBruteForce (feature/sift.cc).
func nearestOf(query [DescriptorSize]int16, rows []uint8) (best, second int32, index int) {
	for i := range len(rows) / DescriptorSize {
		dot := int32(0)
		for k, q := range query {
			dot += int32(q) * int32(rows[i*DescriptorSize+k])
		}
		if dot > best {
			best, second, index = dot, best, i
		} else {
			second = max(second, dot)
		}
	}
	return best, second, index
}

// Blocks outside the set panic before anything is read.
func TestNearestOutside(t *testing.T) {
	var d Descriptors
	d.Fill(make([]uint8, 20*DescriptorSize))
	for _, level := range Levels() {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v read a block that is not there", level)
				}
			}()
			level.Kernels().Nearest(new(Queries), d, 0, 3, new(Nearest))
		}()
	}
}

func BenchmarkNearest(b *testing.B) {
	const count = 4096
	rows := make([]uint8, count*DescriptorSize)
	for i := range rows {
		rows[i] = uint8(i * 31)
	}
	var d Descriptors
	d.Fill(rows)
	for _, level := range Levels() {
		b.Run(level.String(), func(b *testing.B) {
			k, queries, out := level.Kernels(), new(Queries), new(Nearest)
			for b.Loop() {
				k.Nearest(queries, d, 0, d.Blocks(), out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count*numQueries), "ns/pair")
		})
	}
}
