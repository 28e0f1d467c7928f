package simd

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// frame is a 640x360 image's worth of random splats, binned into tiles in depth order: what raster hands to the kernels.
type frame struct {
	splats    []Splat
	tiles     [][]Instance
	instances int
}

const frameW, frameH = 640, 360

// newFrame draws n splats of log-normal size around sigma pixels, opacity 0.02 ... 0.6.
func newFrame(n int, sigma float64) *frame {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	f := &frame{tiles: make([][]Instance, (frameW/TileSize)*((frameH+TileSize-1)/TileSize))}
	for range n {
		size := sigma * math.Exp(0.5*rng.NormFloat64())
		f.splats = append(f.splats, splatOf(rng, frameW*rng.Float64(), frameH*rng.Float64(), size*math.Exp(0.3*rng.NormFloat64()), size*math.Exp(0.3*rng.NormFloat64()), 0.02+0.58*rng.Float64()))
	}
	slices.SortFunc(f.splats, func(a, b Splat) int { return cmp.Compare(a.Z, b.Z) })
	for i := range f.splats {
		s := &f.splats[i]
		for ty := max(0, int(s.V-s.ExtentY)/TileSize); ty <= min((frameH-1)/TileSize, int(s.V+s.ExtentY)/TileSize); ty++ {
			for tx := max(0, int(s.U-s.ExtentX)/TileSize); tx <= min(frameW/TileSize-1, int(s.U+s.ExtentX)/TileSize); tx++ {
				if s.BlockMask(float32(tx*TileSize), float32(ty*TileSize)) != 0 {
					t := ty*(frameW/TileSize) + tx
					f.tiles[t] = append(f.tiles[t], Instance{Splat: uint32(i), Slot: uint32(f.instances)})
					f.instances++
				}
			}
		}
	}
	return f
}

// blend runs both passes over the frame and lowers the tiles' times in forward and backward to what it took: the least of
// several runs is hardly disturbed by what else the machine does. It returns the number of blended pairs and blocks.
func (f *frame) blend(k *Kernels, want Want, forward, backward []time.Duration, count bool) (pairs, blocks int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tile := NewTile()
	masks := make([]uint16, f.instances)
	grads := make([]Grad, f.instances)
	for i := range tile.GR {
		tile.GR[i], tile.GG[i], tile.GB[i], tile.GD[i] = 1, -1, 0.5, 0.1
	}
	for t, instances := range f.tiles {
		x, y := t%(frameW/TileSize)*TileSize, t/(frameW/TileSize)*TileSize
		h := min(TileSize, frameH-y)
		tile.Begin(x, y, TileSize, h)
		start := threadTime()
		k.BlendForward(tile, f.splats, instances, masks, want)
		forward[t] = min(forward[t], threadTime()-start)
		if count {
			ref := NewTile()
			ref.Begin(x, y, TileSize, h)
			for i, in := range instances {
				s := &f.splats[in.Splat]
				for m := masks[i]; m != 0; m &= m - 1 {
					blocks++
					b := nextBlock(m)
					for l := range BlockLanes {
						p := b*BlockLanes + l
						e := s.exponent(ref.X+float32(b&3*4+l&3)+0.5-s.U, ref.Y+float32(b>>2*4+l>>2)+0.5-s.V)
						if e >= log2MinAlpha && ref.T[p] > MinTransmittance {
							pairs++
							ref.T[p] -= ref.T[p] * exp2(min(e, log2MaxAlpha))
						}
					}
				}
			}
		}
		tile.BeginBackward(x, y, TileSize, h)
		tile.Seed(want)
		start = threadTime()
		k.BlendBackward(tile, f.splats, instances, masks, grads, want)
		backward[t] = min(backward[t], threadTime()-start)
	}
	return
}

// Arithmetic per blended pair, counted in the plain form, and the rate of one core at 2.6 GHz that finishes one 512-bit
// multiply-add a cycle: their quotient is the floor that benchmarks report multiples of.
const (
	forwardFLOP  = 31
	backwardFLOP = 52
	peakGFLOPS   = 83.2
)

// leastGain is what the kernels of a level must gain over plain Go, forward and backward each: a smaller one is a defect.
var leastGain = map[Level]float64{Plain: 1, AVX2: 6, AVX512: 12}

// BenchmarkBlend is blending alone: nanoseconds for each blended pair of a Gaussian and a pixel, times plain Go in the
// same run, that as a multiple of leastGain, and the multiple of the time that the arithmetic alone takes.
func BenchmarkBlend(b *testing.B) {
	for _, c := range []struct {
		n     int
		sigma float64
	}{{20000, 3}, {50000, 2}, {100000, 1.4}} {
		f := newFrame(c.n, c.sigma)
		best := func(k *Kernels, want Want, rounds int, count bool) (forward, backward time.Duration, pairs, blocks int) {
			fw, bw := make([]time.Duration, len(f.tiles)), make([]time.Duration, len(f.tiles))
			for t := range fw {
				fw[t], bw[t] = time.Hour, time.Hour
			}
			for range rounds {
				pairs, blocks = f.blend(k, want, fw, bw, count)
			}
			for t := range fw {
				forward, backward = forward+fw[t], backward+bw[t]
			}
			return
		}
		plainF, plainB, pairs, blocks := best(Plain.Kernels(), 0, 3, true)
		for _, level := range Levels() {
			b.Run(fmt.Sprintf("%dk/%v", c.n/1000, level), func(b *testing.B) {
				forward, backward, _, _ := best(level.Kernels(), 0, b.N+1, false)
				perPair := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(pairs) }
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(pairs)/(frameW*frameH), "pairs/px")
				b.ReportMetric(float64(blocks)/1e3, "kblocks")
				b.ReportMetric(float64(f.instances)/1e3, "kinst")
				b.ReportMetric(float64(forward.Microseconds())/1e3, "fwd-ms")
				b.ReportMetric(float64(backward.Microseconds())/1e3, "bwd-ms")
				b.ReportMetric(perPair(forward), "fwd-ns/pair")
				b.ReportMetric(perPair(backward), "bwd-ns/pair")
				b.ReportMetric(float64(plainF)/float64(forward), "fwd-x-plain")
				b.ReportMetric(float64(plainB)/float64(backward), "bwd-x-plain")
				b.ReportMetric(min(float64(plainF)/float64(forward), float64(plainB)/float64(backward))/leastGain[level], "x-least-gain")
				b.ReportMetric(perPair(forward)/(forwardFLOP/peakGFLOPS), "fwd-x-floor")
				b.ReportMetric(perPair(backward)/(backwardFLOP/peakGFLOPS), "bwd-x-floor")
			})
		}
	}
}
