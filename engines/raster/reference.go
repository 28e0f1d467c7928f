package raster

import (
	"cmp"
	"slices"

	"github.com/splatworks/splatworks/engines/splat"
)

// settings of the reference. The limits are fields because finite differences need a smooth function: a pixel that
// enters or leaves a splat's support is a step, so those tests lower minAlpha and minT to 0 and keep every pair.
type settings[F real] struct {
	mode                     splat.RenderMode
	degree                   int
	background               [3]F
	minAlpha, maxAlpha, minT F
}

func defaultSettings[F real](mode splat.RenderMode, degree int) settings[F] {
	return settings[F]{mode: mode, degree: degree, minAlpha: MinAlpha, maxAlpha: MaxAlpha, minT: MinT}
}

// image is a drawn image, or the gradient of a loss by it: width × height pixels, rows from the top.
type image[F real] struct {
	color        []F // r g b interleaved, background included
	inverseDepth []F // Σ w/z, not divided by alpha
	alpha        []F // Σ w = 1 − T
}

func newImage[F real](width, height int) *image[F] {
	n := width * height
	return &image[F]{color: make([]F, 3*n), inverseDepth: make([]F, n), alpha: make([]F, n)}
}

// drawing is what the reference's forward leaves for its backward: the visible Gaussians, nearest first.
type drawing[F real] struct {
	order   []int // of the Gaussian
	visible []projected[F]
}

// referenceForward projects every Gaussian and blends the visible ones front to back, per pixel with T = 1 at first:
//
//	α = min(maxAlpha, o'·exp(−½(A dx² + 2B dx dy + C dy²))), dx and dy from the mean to the pixel's centre
//	skip when α < minAlpha or T ≤ minT
//	w = α·T;  colour += w·c;  inverseDepth += w/z;  T ← T − w
//
// and colour += T·background at the end (Kerbl et al. 2023, eq. 3). Equal depths keep the order of the cloud.
func referenceForward[F real](gs []Gaussian[F], cam *view[F], set settings[F]) (*image[F], *drawing[F]) {
	d := &drawing[F]{}
	for i := range gs {
		if pr, ok := project(&gs[i], cam, set.mode, set.degree, set.minAlpha); ok {
			d.order = append(d.order, i)
			d.visible = append(d.visible, pr)
		}
	}
	by := make([]int, len(d.order))
	for i := range by {
		by[i] = i
	}
	slices.SortStableFunc(by, func(a, b int) int { return cmp.Compare(d.visible[a].z, d.visible[b].z) })
	order, visible := make([]int, len(by)), make([]projected[F], len(by))
	for to, from := range by {
		order[to], visible[to] = d.order[from], d.visible[from]
	}
	d.order, d.visible = order, visible

	img := newImage[F](cam.width, cam.height)
	for y := range cam.height {
		for x := range cam.width {
			at := y*cam.width + x
			t := F(1)
			for i := range d.visible {
				pr := &d.visible[i]
				alpha, _, ok := pr.alphaAt(x, y, &set)
				if !ok || !(t > set.minT) {
					continue
				}
				w := alpha * t
				for channel := range 3 {
					img.color[3*at+channel] += w * pr.color[channel]
				}
				img.inverseDepth[at] += w / pr.z
				t -= w
			}
			img.alpha[at] = 1 - t
			for channel := range 3 {
				img.color[3*at+channel] += t * set.background[channel]
			}
		}
	}
	return img, d
}

// alphaAt is the opacity of a splat at the centre of pixel (x, y), whether the cap cut it, and whether it counts.
func (pr *projected[F]) alphaAt(x, y int, set *settings[F]) (alpha F, capped, ok bool) {
	dx, dy := F(x)+0.5-pr.u, F(y)+0.5-pr.v
	alpha = pr.opacity * exp(-(pr.conicA*dx*dx+2*pr.conicB*dx*dy+pr.conicC*dy*dy)/2)
	if alpha > set.maxAlpha {
		return set.maxAlpha, true, true
	}
	return alpha, false, alpha >= set.minAlpha
}

// gradients is ∂L by everything the forward read.
type gradients[F real] struct {
	gaussians []Gaussian[F]
	screen    []screenGradient[F] // per Gaussian of the cloud; zero for the ones not drawn
	pose      Pose[F]
}

// referenceBackward carries upstream = ∂L/∂image back. It walks each pixel in the order of the forward with
// S = g·colour + gD·inverseDepth + gα·alpha, the weighted sum still to come (the background's part included), so that
// nothing is stored per pair:
//
//	w = α·T;  k = g·c + gD/z + gα;  S ← S − w·k;  ∂L/∂α = T·k − S/(1−α);  T ← T − w
//
// and gathers h = α·∂L/∂α (0 where α is capped) in six moments per Gaussian: H, Hx, Hy, Hxx, Hxy, Hyy. Then
// ∂u = A·Hx + B·Hy, ∂v = B·Hx + C·Hy, ∂A = −½Hxx, ∂B = −Hxy, ∂C = −½Hyy, ∂o' = H/o', ∂colour = Σw·g, ∂(1/z) = Σw·gD.
func referenceBackward[F real](gs []Gaussian[F], cam *view[F], set settings[F], img, upstream *image[F], d *drawing[F]) *gradients[F] {
	screen := make([]screenGradient[F], len(d.visible))
	for y := range cam.height {
		for x := range cam.width {
			at := y*cam.width + x
			g := [3]F(upstream.color[3*at:])
			gd, ga := upstream.inverseDepth[at], upstream.alpha[at]
			t := F(1)
			// The background's share of the colour changes with every alpha; alpha's own sum is 1 − T.
			s := dot(g, [3]F(img.color[3*at:])) + gd*img.inverseDepth[at] + ga*img.alpha[at]
			for i := range d.visible {
				pr := &d.visible[i]
				alpha, capped, ok := pr.alphaAt(x, y, &set)
				if !ok || !(t > set.minT) {
					continue
				}
				sg := &screen[i]
				w := alpha * t
				k := dot(g, pr.color) + gd/pr.z + ga
				s -= w * k
				for channel := range 3 {
					sg.color[channel] += w * g[channel]
				}
				sg.inverseDepth += w * gd
				if !capped {
					h := alpha * (t*k - s/(1-alpha))
					dx, dy := F(x)+0.5-pr.u, F(y)+0.5-pr.v
					sg.u += h * (pr.conicA*dx + pr.conicB*dy)
					sg.v += h * (pr.conicB*dx + pr.conicC*dy)
					sg.conicA -= h * dx * dx / 2
					sg.conicB -= h * dx * dy
					sg.conicC -= h * dy * dy / 2
					sg.opacity += h / pr.opacity
				}
				t -= w
			}
		}
	}
	grads := &gradients[F]{gaussians: make([]Gaussian[F], len(gs)), screen: make([]screenGradient[F], len(gs))}
	for i := range d.visible {
		id := d.order[i]
		grads.screen[id] = screen[i]
		grads.gaussians[id] = projectBackward(&gs[id], cam, set.mode, set.degree, &d.visible[i], &screen[i], &grads.pose)
	}
	return grads
}
