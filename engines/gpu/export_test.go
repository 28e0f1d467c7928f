package gpu

import (
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// What the tests, which use an interpreter that imports this package, need of its inside.

// Scan returns the exclusive prefix sums of values, and their sum behind them.
func (e *Engine) Scan(values []uint32) ([]uint32, error) {
	in, out := e.holding(values), e.holding(make([]uint32, len(values)+1))
	e.scan(in, out, len(values), 0)
	sums := make([]uint32, len(values)+1)
	read(e, out, sums)
	return sums, e.finish()
}

// Sort returns pairs sorted by the lowest bits of the keys.
func (e *Engine) Sort(keys, values []uint32, bits int) (sortedKeys, sortedValues []uint32, err error) {
	n := len(keys)
	k, v := e.sort(e.holding(keys), e.holding(values), e.holding(keys), e.holding(values), n, bits)
	sortedKeys, sortedValues = make([]uint32, n), make([]uint32, n)
	read(e, k, sortedKeys)
	read(e, v, sortedValues)
	return sortedKeys, sortedValues, e.finish()
}

func (e *Engine) holding(values []uint32) Buffer {
	var r room
	b := e.grown(&r, 4*len(values))
	write(e, b, values)
	return b
}

// BlocksReached is how many of the 8 blocks of a tile an instance of the last frame reaches, in the mean: what blending it costs.
func (e *Engine) BlocksReached() (float64, error) {
	tiles := int(e.view.Across) * groups(e.frame.Height, simd.TileSize)
	splats, starts := make([]simd.Splat, e.view.N), make([]uint32, tiles+1)
	owners, slots := make([]uint32, e.frame.Instances), make([]uint32, e.frame.Instances)
	read(e, e.splats.buffer, splats)
	read(e, e.starts.buffer, starts)
	read(e, e.owners.buffer, owners)
	read(e, e.sortedSlots, slots)
	reached := 0
	for tile := range tiles {
		x, y := tile%int(e.view.Across)*simd.TileSize, tile/int(e.view.Across)*simd.TileSize
		for _, slot := range slots[starts[tile]:starts[tile+1]] {
			reached += bits.OnesCount(reachedBlocks(&splats[owners[slot]], float32(x), float32(y)))
		}
	}
	return float64(reached) / float64(max(1, e.frame.Instances)), e.finish()
}

// reachedBlocks is block_mask of blend.cl.
func reachedBlocks(s *simd.Splat, x, y float32) (mask uint) {
	const log2MinAlpha = -7.994353436858858
	exponent := func(dx, dy float32) float32 { return dx*(s.A*dx+s.B*dy) + (s.C*dy*dy + s.L) }
	for b := range 8 {
		xl, yl := x+float32(b%2*8)+0.5-s.U, y+float32(b/2*4)+0.5-s.V
		xh, yh := xl+7, yl+3
		dx, dy := max(xl, min(xh, 0)), max(yl, min(yh, 0))
		y1, x2 := max(yl, min(yh, s.SlopeX*dx)), max(xl, min(xh, s.SlopeY*dy))
		if max(exponent(dx, y1), exponent(x2, dy)) >= log2MinAlpha {
			mask |= 1 << b
		}
	}
	return mask
}
