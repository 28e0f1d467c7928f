package gpu

import (
	"fmt"
	"math"

	"github.com/splatworks/splatworks/engines/simd"
)

// Refinement says how a model is refined.
type Refinement struct {
	Faint float32 // opacity, before the sigmoid, below which a Gaussian is pruned
	Decay float32 // off the opacity, after the sigmoid, of the others
	Wide  float32 // largest half side, as a part of the longer image side, beyond which a Gaussian is split first
	// Split receives how many Gaussians are kept, and how many of them have a gradient on screen. It returns a value for each of those
	// that are split, at most as many as have a gradient: bit k says that the parent moves down its axis k and the child up,
	// else the other way.
	Split func(kept, wanted int) (signs []uint32)
}

// Refined is what a refinement did.
type Refined struct {
	Kept int // Gaussians that were there before
	Lost int // of the others, those that were not finite
}

// refinement is the Refinement of refine.cl.
type refinement struct {
	Faint, Decay, Wide float32
	N, Stride          uint32
}

// What lay_out forgets: the Gaussians that are marked as FRESH in refine.cl, or none.
const fresh, nothing = uint32(1 << 31), uint32(0)

// Refine drops the Gaussians that are faint or not finite, splits those with the largest mean gradient on screen, lays all of
// them out along a space-filling curve, and clears the statistics, and the moments of those that were split. The trainer's
// gaussians.refine is its definition. It waits for the device a few times, for single numbers; the model stays there. It works in the
// buffers of frames, so that the last one is lost.
func (e *Engine) Refine(m *Model, r *Refinement) (Refined, error) {
	n, stride := m.n, uint32(simd.GroupRows(m.Degree)*simd.GroupLanes)
	kept, lost, wanted := e.grown(&e.visible, 4*n), e.grown(&e.boxes, 4*n), e.grown(&e.counts, 4*n)
	keys, ranks, wantedRanks := e.grown(&e.keys, 4*n), e.grown(&e.ranks, 4*(n+1)), e.grown(&e.firstSlot, 4*(n+1))
	arg := refinement{r.Faint, r.Decay, r.Wide, uint32(n), stride}
	e.launch(kSurvey, groups(n, perGroup), m.params.buffer, m.pulls.buffer, m.views.buffer, m.extents.buffer, ByValue(&arg), kept, lost, wanted, keys)
	did := Refined{Lost: e.marked(lost, ranks, n), Kept: e.marked(kept, ranks, n)}
	candidates := e.marked(wanted, wantedRanks, n)
	if e.err != nil {
		return did, e.finish()
	}
	signs := r.Split(did.Kept, candidates)
	if len(signs) > candidates {
		return did, fmt.Errorf("gpu: %d splits of %d Gaussians that have a gradient", len(signs), candidates)
	}
	total := did.Kept + len(signs)

	// The old numbers of those that are kept, in their order, then of each child's parent.
	list, sorted, values := e.grown(&e.ordered, 4*total), e.grown(&e.depthKeys, 4*max(total, candidates)), e.grown(&e.order, 4*max(total, candidates))
	sorted2, values2 := e.grown(&e.depthKeys2, 4*max(total, candidates)), e.grown(&e.order2, 4*max(total, candidates))
	e.launch(kCompact, groups(n, perGroup), kept, ranks, keys, sorted, list, uint32(n)) // the keys are not needed
	e.launch(kCompact, groups(n, perGroup), wanted, wantedRanks, keys, sorted, values, uint32(n))
	_, parents := e.sort(sorted, values, sorted2, values2, candidates, 32)
	e.launch(kAdopt, groups(len(signs), perGroup), parents, ranks, list, uint32(did.Kept), uint32(len(signs)))

	e.layOut(&m.params, list, total, stride, nothing)
	directions := e.grown(&e.places, 4*max(total, len(signs)))
	write(e, directions, signs)
	e.launch(kSplit, groups(len(signs), perGroup), m.params.buffer, parents, ranks, directions, uint32(did.Kept), uint32(len(signs)), stride)

	order := e.alongCurve(m, sorted, values, sorted2, values2, total, stride)
	moved := e.grown(&e.places, 4*total)
	e.launch(kGather, groups(total, perGroup), list, order, moved, uint32(total))
	e.layOut(&m.params, order, total, stride, nothing)
	e.layOut(&m.m, moved, total, stride, fresh)
	e.layOut(&m.v, moved, total, stride, fresh)
	m.n = total
	lanes := m.lanes()
	e.launch(kForget, groups(lanes, perGroup), e.grown(&m.pulls, 4*lanes), e.grown(&m.views, 4*lanes), e.grown(&m.extents, 4*lanes), uint32(lanes))
	return did, e.finish()
}

// marked ranks the marks, which are 0 or 1, waits, and returns how many are 1.
func (e *Engine) marked(marks, ranks Buffer, n int) int {
	e.scan(marks, ranks, n, 0)
	return int(e.word(ranks, n))
}

// word waits and returns one value of a buffer.
func (e *Engine) word(from Buffer, at int) uint32 {
	var value [1]uint32
	if e.err == nil {
		e.err = from.Read(4*at, bytesOf(value[:]))
	}
	return value[0]
}

// layOut makes of an array that of the listed Gaussians. The result is in what was the memory of gradient slots, which nothing uses between
// frames and which is about as large; they get the array's.
func (e *Engine) layOut(array *room, list Buffer, n int, stride, forget uint32) {
	values := groups(n, simd.GroupLanes) * int(stride)
	to := e.grown(&e.grads, 4*values)
	e.launch(kLayOut, groups(values, perGroup), array.buffer, to, list, uint32(n), stride, forget, uint32(values))
	*array, e.grads = e.grads, *array
}

// alongCurve sorts the Gaussians of the model's first n lanes by the Morton code of their means, over the box of the middle 98 %.
func (e *Engine) alongCurve(m *Model, keys, values, keys2, values2 Buffer, n int, stride uint32) (order Buffer) {
	if n == 0 {
		return values
	}
	var box struct{ Low, High [3]float32 }
	for axis := range 3 {
		e.launch(kAxisKeys, groups(n, perGroup), m.params.buffer, keys, values, uint32(axis), uint32(n), stride)
		sorted, _ := e.sort(keys, values, keys2, values2, n, 32)
		box.Low[axis], box.High[axis] = number(e.word(sorted, n/100)), number(e.word(sorted, n-1-n/100))
	}
	e.launch(kCurveKeys, groups(n, perGroup), m.params.buffer, ByValue(&box), keys, values, uint32(n), stride)
	_, order = e.sort(keys, values, keys2, values2, n, 30)
	return order
}

// number is what axis_keys made a key of.
func number(key uint32) float32 {
	if key>>31 != 0 {
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}
