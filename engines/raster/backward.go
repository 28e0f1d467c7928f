package raster

import (
	"math/bits"

	"github.com/splatworks/splatworks/engines/simd"
)

// Upstream is ∂L by a Frame, planes of the same size.
type Upstream struct {
	Color        [3][]float32
	InverseDepth []float32 // read with Options.Depth only
}

// GroupGradient is ∂L by the parameters of the visible Gaussians of one group. It is valid during the call that hands
// it out.
type GroupGradient struct {
	Group int
	Lanes uint16    // which lanes are visible
	Rows  []float32 // as Params.Group, rows up to the SH degree that was evaluated; other lanes are zero
	// Screen is ∂L by the screen means, in pixels: the sums, and with Options.Abs the sums of absolute values.
	simd.Screen
	// ExtentPx is half the longer side of the splat's box on screen.
	ExtentPx [simd.GroupLanes]float32
}

// Backward carries the gradient of the last Forward's frame to the parameters and hands it out group by group, on the
// renderer's workers: visit gets the index of its worker, and is called at most once for each group, in no fixed order.
// visit may change the group's parameters.
func (r *Renderer) Backward(up *Upstream, visit func(worker int, g *GroupGradient)) {
	r.backwardTiles(up)
	r.backwardGroups(visit)
}

func (r *Renderer) want() (w simd.Want) {
	if r.opt.Depth {
		w |= simd.Depth
	}
	if r.opt.Abs {
		w |= simd.Abs
	}
	return w
}

func (r *Renderer) backwardTiles(up *Upstream) {
	f, want := &r.frame, r.want()
	r.grads = resized(r.grads, f.Instances)
	r.each(len(r.starts)-1, func(worker, tile int) {
		first, last := r.starts[tile], r.starts[tile+1]
		if first == last {
			return
		}
		x, y, w, h := r.tileRect(tile)
		t := r.tiles[worker]
		t.BeginBackward(x, y, w, h)
		at := y*f.Width + x
		t.R.Load(f.Color[0][at:], f.Width, w, h, 0)
		t.G.Load(f.Color[1][at:], f.Width, w, h, 0)
		t.B.Load(f.Color[2][at:], f.Width, w, h, 0)
		t.GR.Load(up.Color[0][at:], f.Width, w, h, 0)
		t.GG.Load(up.Color[1][at:], f.Width, w, h, 0)
		t.GB.Load(up.Color[2][at:], f.Width, w, h, 0)
		if r.opt.Depth {
			t.D.Load(f.InverseDepth[at:], f.Width, w, h, 0)
			t.GD.Load(up.InverseDepth[at:], f.Width, w, h, 0)
		}
		t.Seed(want)
		r.kernels.BlendBackward(t, r.splats, r.instances[first:last], r.masks[first:last], r.grads, want)
	})
}

func (r *Renderer) backwardGroups(visit func(worker int, g *GroupGradient)) {
	rows := simd.GroupRows(r.opt.Degree)
	out := make([]*GroupGradient, r.workers)
	for w := range out {
		out[w] = &GroupGradient{Rows: simd.Aligned(rows * simd.GroupLanes)}
	}
	groups := r.params.Groups()
	r.each(r.chunks(), func(worker, chunk int) {
		g := out[worker]
		for group := chunk * chunkGroups; group < min(groups, (chunk+1)*chunkGroups); group++ {
			if r.visible[group] == 0 {
				continue
			}
			r.backwardGroup(group, g)
			visit(worker, g)
		}
	})
}

// backwardGroup sums the slots of each Gaussian and runs the projection's backward.
func (r *Renderer) backwardGroup(group int, out *GroupGradient) {
	first := group * simd.GroupLanes
	last := first + simd.GroupLanes
	out.Group, out.Lanes = group, r.visible[group]
	backward := r.kernels.BackwardGroup
	if backward == nil {
		backward = r.backwardGroupPlain
	}
	backward(r.kernelView, r.params.Group(group), r.opt.Degree, out.Lanes, r.splats[first:last], r.grads, r.slots[first:last], r.counts[first:last], out.Rows, &out.Screen)
	for lane := range simd.GroupLanes {
		s := &r.splats[first+lane]
		out.ExtentPx[lane] = max(s.ExtentX, s.ExtentY)
	}
}

// backwardGroupPlain is what simd's BackwardGroup does, by the reference.
func (r *Renderer) backwardGroupPlain(_ *simd.View, group []float32, degree int, visible uint16, _ []simd.Splat, grads []simd.Grad, slots, counts []uint32, rows []float32, screen *simd.Screen) {
	clear(rows)
	*screen = simd.Screen{}
	var g Gaussian[float32]
	for m := visible; m != 0; m &= m - 1 {
		lane := bits.TrailingZeros16(m)
		sum := sumOf(grads[slots[lane] : slots[lane]+counts[lane]])
		g.load(group, lane, degree)
		pr, _ := project(&g, r.view, r.params.Mode, degree, float32(MinAlpha))
		d := screenGradientOf(&pr, &sum)
		grad := projectBackward(&g, r.view, r.params.Mode, degree, &pr, &d, nil)
		grad.store(rows, lane, degree)
		screen.U[lane], screen.V[lane], screen.AbsU[lane], screen.AbsV[lane] = d.u, d.v, sum.AbsU, sum.AbsV
	}
}

// screenGradientOf turns the sums of the blend's backward into derivatives by what projection produced.
func screenGradientOf(pr *projected[float32], sum *simd.Grad) screenGradient[float32] {
	return screenGradient[float32]{
		u: pr.conicA*sum.HX + pr.conicB*sum.HY, v: pr.conicB*sum.HX + pr.conicC*sum.HY,
		conicA: -sum.HXX / 2, conicB: -sum.HXY, conicC: -sum.HYY / 2,
		opacity: sum.H / pr.opacity, color: [3]float32{sum.R, sum.G, sum.B}, inverseDepth: sum.InvZ,
	}
}

func sumOf(grads []simd.Grad) (sum simd.Grad) {
	for _, g := range grads {
		sum.H += g.H
		sum.HX += g.HX
		sum.HY += g.HY
		sum.HXX += g.HXX
		sum.HXY += g.HXY
		sum.HYY += g.HYY
		sum.R += g.R
		sum.G += g.G
		sum.B += g.B
		sum.InvZ += g.InvZ
		sum.AbsU += g.AbsU
		sum.AbsV += g.AbsV
	}
	return sum
}

// load reads one lane of a group's rows, up to an SH degree.
func (g *Gaussian[F]) load(rows []float32, lane, degree int) {
	at := func(row int) F { return F(rows[row*simd.GroupLanes+lane]) }
	for k := range 3 {
		g.Mean[k], g.LogScale[k] = at(simd.RowMean+k), at(simd.RowScale+k)
	}
	for k := range 4 {
		g.Quat[k] = at(simd.RowRotation + k)
	}
	g.Opacity = at(simd.RowOpacity)
	for k := range (degree + 1) * (degree + 1) {
		for channel := range 3 {
			g.SH[k][channel] = at(simd.RowDC + 3*k + channel)
		}
	}
}

// store writes one lane of a group's rows.
func (g *Gaussian[F]) store(rows []float32, lane, degree int) {
	put := func(row int, v F) { rows[row*simd.GroupLanes+lane] = float32(v) }
	for k := range 3 {
		put(simd.RowMean+k, g.Mean[k])
		put(simd.RowScale+k, g.LogScale[k])
	}
	for k := range 4 {
		put(simd.RowRotation+k, g.Quat[k])
	}
	put(simd.RowOpacity, g.Opacity)
	for k := range (degree + 1) * (degree + 1) {
		for channel := range 3 {
			put(simd.RowDC+3*k+channel, g.SH[k][channel])
		}
	}
}
