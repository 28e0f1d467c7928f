package gputest

import (
	"slices"
	"testing"

	"github.com/splatworks/splatworks/engines/gpu"
	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// Refine runs every kernel of a refinement on n Gaussians, of which it prunes some and splits at most a quarter of the others. It returns
// the parameters of what is there then.
func Refine(e *gpu.Engine, n int) (*raster.Params, error) {
	p, blank := cloud(n, 1, splat.Mip, 0.1), raster.NewParams(n, 1, splat.Mip)
	s := gpu.Statistics{Pulls: make([]float32, n), Views: make([]uint32, n), Extents: make([]float32, n)}
	for i := range n {
		s.Pulls[i], s.Views[i], s.Extents[i] = float32(i%13), uint32(i%4), float32(i%50)/80
	}
	var m gpu.Model
	if err := e.Put(&m, p, blank, blank, &s); err != nil {
		return nil, err
	}
	_, err := e.Refine(&m, &gpu.Refinement{Faint: -1, Decay: 0.004, Wide: 0.5, Split: func(kept, wanted int) []uint32 {
		signs := make([]uint32, min(kept/4, wanted))
		for i := range signs {
			signs[i] = uint32(i % 8)
		}
		return signs
	}})
	if err != nil {
		return nil, err
	}
	p.Resize(m.Len())
	blank.Resize(m.Len())
	s = gpu.Statistics{Pulls: make([]float32, m.Len()), Views: make([]uint32, m.Len()), Extents: make([]float32, m.Len())}
	return p, e.Get(&m, p, blank, blank, &s)
}

// The same refinement gives the same bits, and a model whose unused lanes are zero. What it must compute is compared in engines/trainer, whose
// refinement of the processor defines it.
func refinementsRepeat(t *testing.T, open Open) {
	var first *raster.Params
	for range 2 {
		p, err := Refine(gpu.NewEngine(open(t)), 301)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		} else if first.Len() != p.Len() || !slices.Equal(first.Data(), p.Data()) {
			t.Error("a second refinement of the same model ends with another")
		}
	}
	opaque := 0
	before := cloud(301, 1, splat.Mip, 0.1)
	for i := range before.Len() {
		if *before.At(i, simd.RowOpacity) >= -1 {
			opaque++
		}
	}
	if want := opaque + opaque/4; first.Len() != want {
		t.Errorf("%d Gaussians, want %d", first.Len(), want)
	}
	for i := first.Len(); i < first.Groups()*simd.GroupLanes; i++ {
		for row := range first.Rows() {
			if *first.At(i, row) != 0 {
				t.Fatalf("lane %d, of no Gaussian, has %v in row %d", i, *first.At(i, row), row)
			}
		}
	}
}
