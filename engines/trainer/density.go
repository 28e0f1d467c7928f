package trainer

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
)

// statistics of each Gaussian since the last refinement.
type statistics struct {
	gradient []float32 // sum over views of the length of the absolute screen gradient, in half images
	views    []uint32  // that saw it
	extent   []float32 // largest half side on screen, as a part of the longer image side
}

// resize makes room for n Gaussians, whose values and statistics are to come.
func (g *gaussians) resize(n int) {
	for _, array := range []*raster.Params{g.params, g.m, g.v} {
		array.Resize(n)
	}
	g.stats.reset(n)
}

// widestExtent is the half side on screen, as a part of the longer image side, beyond which a Gaussian is split first.
const widestExtent = 0.5

func (s *statistics) reset(n int) {
	s.gradient, s.views, s.extent = make([]float32, n), make([]uint32, n), make([]float32, n)
}

// refinement is what is decided about a refinement; what it finds in the model, it does there.
type refinement struct {
	faint float32 // logit of the opacity below which nothing of a Gaussian reaches a pixel
	decay float64 // off the opacity of the others
	// split receives how many Gaussians are kept, and how many of them the images pulled at. It returns where the children are
	// on the local axes (see gaussians.split) of those that are split: of the latter, as many as it has values.
	split func(kept, wanted int) (signs []uint32)
}

// refined is what a refinement did.
type refined struct {
	kept int // Gaussians that were there before
	lost int // of the others, to NaN or infinities
}

// refine prunes what cannot be seen or is not finite, and splits the Gaussians with the largest screen gradients until
// the count is the schedule's. Past the growth that relocates: what was pruned is used again where the images ask for it.
func (t *training) refine(fraction float64) error {
	before := t.params.Len()
	did, err := t.machine.refine(&refinement{
		faint: logit(t.PruneOpacity), decay: t.OpacityDecay * (1 - fraction),
		split: func(kept, wanted int) []uint32 {
			most := min(t.target(t.first, t.cfg.MaxGaussians, fraction), kept+int(t.MaxGrowth*float64(kept)))
			return t.signs(max(0, min(most-kept, wanted)))
		},
	})
	if err != nil {
		return fmt.Errorf("train: iteration %d: refine: %w", t.iteration, err)
	}
	t.refinedAt, t.rebuilt = fraction, t.iteration
	t.nonFinite += did.lost
	if fraction >= t.DensifyUntil {
		t.relocated += before - did.kept
	}
	return nil
}

// signs draws three bits for each of n splits.
func (t *training) signs(n int) []uint32 {
	signs := make([]uint32, n)
	for i := range signs {
		for k := range 3 {
			signs[i] |= uint32(t.rng.Uint64()&1) << k
		}
	}
	return signs
}

// prune drops what cannot be drawn, without growing. The model is not on a machine then.
func (t *training) prune() {
	keep, lost := t.survivors(logit(t.PruneOpacity))
	t.nonFinite += lost
	t.rebuild(keep, nil, nil, t.renderer.Workers())
}

// refine is the definition of what every machine does to a model.
func (g *gaussians) refine(r *refinement, workers int) refined {
	keep, lost := g.survivors(r.faint)
	for _, i := range keep {
		o := g.params.At(int(i), simd.RowOpacity)
		*o = logit(max(sigmoid(*o)-r.decay, 1e-4))
	}
	wanted := g.mostWanted(keep)
	signs := r.split(len(keep), len(wanted))
	did := refined{kept: len(keep), lost: lost}
	g.rebuild(keep, wanted[:len(signs)], signs, workers)
	return did
}

// survivors lists the Gaussians that are finite and can reach a pixel, and counts those that are not finite.
func (g *gaussians) survivors(faint float32) (keep []int32, lost int) {
	keep = make([]int32, 0, g.params.Len())
	for i := range g.params.Len() {
		switch {
		case !g.finite(i):
			lost++
		case *g.params.At(i, simd.RowOpacity) >= faint:
			keep = append(keep, int32(i))
		}
	}
	return keep, lost
}

// finite says whether all parameters are numbers and the quaternion has a direction.
func (g *gaussians) finite(i int) bool {
	norm := float32(0)
	for row := range g.params.Rows() {
		v := *g.params.At(i, row)
		if v-v != 0 {
			return false
		}
		if row >= simd.RowRotation && row < simd.RowOpacity {
			norm += v * v
		}
	}
	return norm > 1e-8
}

// mostWanted lists those that the images pull at by their mean screen gradient, the largest first, after those that fill
// half the screen: a blob of that size is never the right answer.
func (g *gaussians) mostWanted(keep []int32) []int32 {
	score := func(i int32) float32 {
		switch {
		case g.stats.views[i] == 0:
			return 0
		case g.stats.extent[i] > widestExtent:
			return math.MaxFloat32
		}
		return g.stats.gradient[i] / float32(g.stats.views[i])
	}
	by := make([]int32, 0, len(keep))
	for _, i := range keep {
		if score(i) > 0 {
			by = append(by, i)
		}
	}
	slices.SortFunc(by, func(a, b int32) int {
		if c := cmp.Compare(score(b), score(a)); c != 0 {
			return c
		}
		return int(a - b)
	})
	return by
}

// rebuild keeps the listed Gaussians, splits some of them, and lays all of them out along a space-filling curve, so that
// the 16 of a group are seen by the same cameras and the rest of the model stays out of the caches.
func (g *gaussians) rebuild(keep, split []int32, signs []uint32, workers int) {
	n := g.params.Len()
	arrays := []**raster.Params{&g.params, &g.m, &g.v}
	for _, array := range arrays {
		(*array).Resize(n + len(split))
	}
	for k, parent := range split {
		child := n + k
		g.split(int(parent), child, signs[k])
		g.m.Zero(int(parent)) // kept, they cost 0.3 dB
		g.v.Zero(int(parent))
		keep = append(keep, int32(child))
	}
	order := g.alongCurve(keep)
	for _, array := range arrays {
		old, ordered := *array, g.spare
		ordered.Resize(len(order))
		raster.Each(workers, ordered.Groups(), func(_, group int) {
			for to := group * simd.GroupLanes; to < min(len(order), (group+1)*simd.GroupLanes); to++ {
				ordered.Copy(to, old, int(order[to]))
			}
		})
		*array, g.spare = ordered, old
	}
	g.stats.reset(len(order))
}

// alongCurve sorts Gaussians by the Morton code of their means: 10 bits an axis over the box of the middle 98 %.
func (g *gaussians) alongCurve(list []int32) []int32 {
	var low, high [3]float32
	values := make([]float32, len(list))
	for k := range 3 {
		for j, i := range list {
			values[j] = *g.params.At(int(i), simd.RowMean+k)
		}
		slices.Sort(values)
		if len(values) > 0 {
			low[k], high[k] = values[len(values)/100], values[len(values)-1-len(values)/100]
		}
	}
	type place struct {
		code uint32
		i    int32
	}
	places := make([]place, len(list))
	for j, i := range list {
		code := uint32(0)
		for k := range 3 {
			cell := (*g.params.At(int(i), simd.RowMean+k) - low[k]) / max(high[k]-low[k], 1e-30) * 1023
			code |= interleave(uint32(min(max(cell, 0), 1023))) << k
		}
		places[j] = place{code, i}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.code, b.code); c != 0 {
			return c
		}
		return int(a.i - b.i)
	})
	order := make([]int32, len(list))
	for j := range places {
		order[j] = places[j].i
	}
	return order
}

// interleave spreads 10 bits so that two zeros are between any two.
func interleave(x uint32) uint32 {
	x = (x | x<<16) & 0x030000ff
	x = (x | x<<8) & 0x0300f00f
	x = (x | x<<4) & 0x030c30c3
	return (x | x<<2) & 0x09249249
}

// split makes two of one (Brush): along each local axis the children are at ±√(1−k²)·s and are k·s wide, with
// k = 1 − (s²/max s²)(1 − 1/√2), so that the longest axis is cut most; both get opacity 1 − (1−o)^(1/√2). Bit k of signs
// says that the parent's place moves down axis k and not up.
func (g *gaussians) split(parent, child int, signs uint32) {
	p := g.params
	p.Copy(child, p, parent)
	var s [3]float64
	longest := 0.0
	for k := range 3 {
		s[k] = math.Exp(float64(*p.At(parent, simd.RowScale+k)))
		longest = max(longest, s[k])
	}
	var local [3]float64
	for k := range 3 {
		shrink := 1 - s[k]*s[k]/(longest*longest)*(1-1/math.Sqrt2)
		local[k] = math.Sqrt(max(0, 1-shrink*shrink)) * s[k]
		if signs>>k&1 != 0 {
			local[k] = -local[k]
		}
		narrower := float32(math.Log(shrink * s[k]))
		*p.At(parent, simd.RowScale+k), *p.At(child, simd.RowScale+k) = narrower, narrower
	}
	offset := rotate(p, parent, local)
	for k := range 3 {
		*p.At(parent, simd.RowMean+k) += float32(offset[k])
		*p.At(child, simd.RowMean+k) -= float32(offset[k])
	}
	o := logit(min(max(1-math.Pow(1-sigmoid(*p.At(parent, simd.RowOpacity)), 1/math.Sqrt2), 1e-6), 1-1e-6))
	*p.At(parent, simd.RowOpacity), *p.At(child, simd.RowOpacity) = o, o
}

// rotate takes a vector from a Gaussian's local axes to the world.
func rotate(p *raster.Params, i int, v [3]float64) [3]float64 {
	var q [4]float64
	norm := 0.0
	for k := range q {
		q[k] = float64(*p.At(i, simd.RowRotation+k))
		norm += q[k] * q[k]
	}
	norm = math.Sqrt(norm)
	w, x, y, z := q[0]/norm, q[1]/norm, q[2]/norm, q[3]/norm
	return [3]float64{
		(1-2*(y*y+z*z))*v[0] + 2*(x*y-w*z)*v[1] + 2*(x*z+w*y)*v[2],
		2*(x*y+w*z)*v[0] + (1-2*(x*x+z*z))*v[1] + 2*(y*z-w*x)*v[2],
		2*(x*z-w*y)*v[0] + 2*(y*z+w*x)*v[1] + (1-2*(x*x+y*y))*v[2],
	}
}
