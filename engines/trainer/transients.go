package trainer

import (
	"fmt"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/raster"
)

// transients finds what was there only while some of the images were taken: people, cars, shadows. A splat shows what most images
// agree on; where one image alone shows something else, it would put that before its camera as a ghost. So such parts of an image
// are hidden from its loss, as a mask would.
//
// An image is compared in cells, by the mean colour of each: detail that is not learned yet has no mean, a person has. A cell
// that is off by much is hidden only if what the splat has there is right in the other images that see it: what no image gets
// right is unlearned or shines, and what no other image sees cannot be judged. It is looked for early, while few Gaussians are
// there to make a ghost of, and again on the way. (Residuals decide about transients without knowing what they are in
// RobustNeRF, Sabour et al. 2023, and SpotLessSplats, Sabour et al. 2024; the agreement of other views is ours.)
type transients struct {
	hidden [][]bool // for each training image, its cells; nil: it shows nothing that passes
	looks  int      // that were taken
	whole  []*View  // the training images as they came
}

// looksAt are the fractions of the budget at which the images are compared.
var looksAt = [...]float64{0.10, 0.15, 0.25, 0.40, 0.60}

// Transient is what was found in a training image that only it shows, or a few.
type Transient struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"` // of the image, which did not count
}

const (
	lookLevel       = Levels - 1 // of the pyramid
	transientEpochs = 4          // visits to each image before one is looked at: earlier, most is off
	cellEdge        = 4          // pixels of that level
	transientOff    = 0.08       // of full brightness: the least difference that is one
	transientOver   = 2          // times the difference that nine cells in ten are below
	transientSeen   = 4          // other images that must see the place
	transientDeep   = 0.1        // of its depth: what is nearer or farther there is something else
	transientSure   = 3          // times as much as there as the cell must be off
	transientLikely = 2          // if it touches one that is sure
	transientFar    = 20         // extents, where the splat has nothing
	transientRoom   = 0.5        // of an image: with more of it off, the image is wrong as a whole, and nothing is hidden
)

// cells is an image at a look.
type cells struct {
	cam   raster.Camera
	w, h  int
	off   []float64 // difference of the mean colours, root of the mean square over the channels; NaN: not known
	depth []float64 // of the splat, or far away where it has nothing
}

// cellsOf is how many cells an image has along its sides.
func cellsOf(cam *raster.Camera) (w, h int) {
	return (cam.Width + cellEdge - 1) / cellEdge, (cam.Height + cellEdge - 1) / cellEdge
}

// look compares all images with the model when it is due, and hides what passes.
func (t *training) look(fraction float64) error {
	if !t.cfg.HideTransients || t.transients.looks >= len(looksAt) || fraction < looksAt[t.transients.looks] ||
		t.iteration < transientEpochs*len(t.data.Train) {
		return nil
	}
	for t.transients.looks < len(looksAt) && fraction >= looksAt[t.transients.looks] {
		t.transients.looks++
	}
	if err := t.get(); err != nil {
		return err
	}
	images := make([]cells, len(t.data.Train))
	var all []float64
	for i := range images {
		images[i] = t.compare(i, fraction)
		for _, off := range images[i].off {
			if off >= 0 {
				all = append(all, off)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	least := max(transientOff, transientOver*all[len(all)*9/10])
	hidden := make([][]bool, len(images))
	raster.Each(workers(&t.cfg), len(images), func(_, i int) { hidden[i] = passes(images, i, least) })
	t.hide(hidden)
	return nil
}

// compare draws an image's view and compares its cells.
func (t *training) compare(image int, fraction float64) cells {
	pic := &t.transients.whole[image].Levels[lookLevel]
	cam := pic.Camera
	if t.cfg.RefinePoses {
		cam = t.poses.apply(&pic.Camera, image, t.data.Extent)
	}
	f := t.renderer.Forward(t.params, &cam, raster.Options{Degree: t.degree(t.cfg.Degree, fraction), Background: t.cfg.Background, Depth: true, Transmittance: true})
	c := cells{cam: cam}
	c.w, c.h = cellsOf(&cam)
	c.off, c.depth = make([]float64, c.w*c.h), make([]float64, c.w*c.h)
	drawn, shown := make([][3]float64, len(c.off)), make([][3]float64, len(c.off))
	for at := range c.off {
		var depth float64
		drawn[at], shown[at], depth = cellMeans(f, pic, at%c.w*cellEdge, at/c.w*cellEdge)
		c.depth[at] = min(depth, transientFar*t.data.Extent)
	}
	// An image that is brighter as a whole, or in another light, is not off everywhere.
	for channel := range 3 {
		var ratios []float64
		for at := range drawn {
			if ratio := shown[at][channel] / drawn[at][channel]; drawn[at][channel] > exposureFloor && ratio >= 0 {
				ratios = append(ratios, ratio)
			}
		}
		gain := 1.0
		if len(ratios) > 0 {
			gain = median(ratios)
		}
		for at := range drawn {
			d := gain*drawn[at][channel] - shown[at][channel]
			c.off[at] += d * d / 3
		}
	}
	for at := range c.off {
		c.off[at] = math.Sqrt(c.off[at])
	}
	return c
}

// cellMeans are the mean colours of the pixels of a cell that count, as drawn and as the image shows them, 0 to 1, and the mean depth of
// what is drawn: infinite where most is background. Colours are NaN where less than half of the cell counts.
func cellMeans(f *raster.Frame, pic *Picture, x0, y0 int) (drawn, shown [3]float64, depth float64) {
	inverse, solid, n := 0.0, 0.0, 0
	for y := y0; y < min(y0+cellEdge, f.Height); y++ {
		for x := x0; x < min(x0+cellEdge, f.Width); x++ {
			at := y*f.Width + x
			if pic.Mask != nil && pic.Mask[at] < maskHalf || pic.Alpha != nil && pic.Alpha[at] < maskHalf {
				continue
			}
			n++
			inverse += float64(f.InverseDepth[at])
			solid += 1 - float64(f.Transmittance[at])
			for channel := range drawn {
				drawn[channel] += float64(f.Color[channel][at])
				shown[channel] += float64(pic.Pix[channel][at]) / 255
			}
		}
	}
	count := float64(n)
	if n < cellEdge*cellEdge/2 {
		count = math.NaN()
	}
	for channel := range drawn {
		drawn[channel] /= count
		shown[channel] /= count
	}
	if !(solid > float64(n)/2 && inverse > 0) {
		return drawn, shown, math.Inf(1)
	}
	return drawn, shown, solid / inverse
}

// passes are the cells of an image that show something else than the other images say; nil: none.
func passes(images []cells, image int, least float64) []bool {
	c := &images[image]
	sure, likely := make([]bool, len(c.off)), make([]bool, len(c.off))
	for at, off := range c.off {
		if !(off >= least/2) {
			continue
		}
		others, seen := othersOff(images, image, at)
		likely[at] = seen && others < off/transientLikely
		sure[at] = seen && others < off/transientSure && off >= least
	}
	found := grown(c, sure, likely)
	count := 0
	for _, f := range found {
		if f {
			count++
		}
	}
	if count == 0 || float64(count) > transientRoom*float64(len(found)) {
		return nil
	}
	return found
}

// othersOff is by how much the splat is off where the other images see what it has in a cell: at the median, or in one of the two that
// look from nearest, if that is more. A reflection wanders slowly from image to image, and is learned as it is seen; who walks by is gone
// in the next. Seen is false if too few see the place.
func othersOff(images []cells, image, at int) (off float64, seen bool) {
	c := &images[image]
	place := unproject(&c.cam, (float64(at%c.w)+0.5)*cellEdge, (float64(at/c.w)+0.5)*cellEdge, c.depth[at])
	from := direction(&c.cam, place)
	var others []float64
	type neighbour struct{ along, off float64 }
	nearest := [2]neighbour{{along: -2}, {along: -2}}
	for i := range images {
		if i == image {
			continue
		}
		o := &images[i]
		u, v, depth := project(&o.cam, place)
		x, y := int(math.Floor(u/cellEdge)), int(math.Floor(v/cellEdge))
		if !(depth > o.cam.Near) || x < 0 || y < 0 || x >= o.w || y >= o.h {
			continue
		}
		there := y*o.w + x
		if !(o.off[there] >= 0 && math.Abs(o.depth[there]-depth) < transientDeep*depth) { // something else is before it
			continue
		}
		others = append(others, o.off[there])
		n := neighbour{dot3(from, direction(&o.cam, place)), o.off[there]}
		if n.along > nearest[0].along {
			n, nearest[0] = nearest[0], n
		}
		if n.along > nearest[1].along {
			nearest[1] = n
		}
	}
	if len(others) < transientSeen {
		return 0, false
	}
	return max(median(others), nearest[0].off, nearest[1].off), true
}

// direction is that in which a camera sees a place, of length 1.
func direction(cam *raster.Camera, place [3]float64) [3]float64 {
	way := minus(place, cam.Center())
	length := math.Sqrt(dot3(way, way))
	return [3]float64{way[0] / length, way[1] / length, way[2] / length}
}

// grown is what is sure and not alone, with all that is likely and touches it, and a margin of one cell.
func grown(c *cells, sure, likely []bool) []bool {
	beside := func(of []bool, at int) (n int) {
		x, y := at%c.w, at/c.w
		for j := max(y-1, 0); j <= min(y+1, c.h-1); j++ {
			for i := max(x-1, 0); i <= min(x+1, c.w-1); i++ {
				if of[j*c.w+i] {
					n++
				}
			}
		}
		return n
	}
	kept := make([]bool, len(sure))
	for at := range sure {
		kept[at] = sure[at] && beside(sure, at) >= 4
	}
	for more := true; more; {
		more = false
		for at := range likely {
			if likely[at] && !kept[at] && beside(kept, at) > 0 {
				kept[at], more = true, true
			}
		}
	}
	margin := make([]bool, len(sure))
	for at := range margin {
		margin[at] = beside(kept, at) > 0
	}
	return margin
}

// packed are the hidden cells with eight in a byte.
func (t *transients) packed() [][]byte {
	var all [][]byte
	for _, cells := range t.hidden {
		var bits []byte
		for at, hidden := range cells {
			if at%8 == 0 {
				bits = append(bits, 0)
			}
			if hidden {
				bits[at/8] |= 1 << (at % 8)
			}
		}
		all = append(all, bits)
	}
	return all
}

// unpacked is the reverse, for the images of this training.
func (t *training) unpacked(packed [][]byte) ([][]bool, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	if len(packed) != len(t.data.Train) {
		return nil, fmt.Errorf("hidden cells of %d images, there are %d", len(packed), len(t.data.Train))
	}
	all := make([][]bool, len(packed))
	for i, bits := range packed {
		if bits == nil {
			continue
		}
		w, h := cellsOf(&t.data.Train[i].Levels[lookLevel].Camera)
		if len(bits) != (w*h+7)/8 {
			return nil, fmt.Errorf("%d bytes of hidden cells for %dx%d cells", len(bits), w, h)
		}
		all[i] = make([]bool, w*h)
		for at := range all[i] {
			all[i][at] = bits[at/8]>>(at%8)&1 != 0
		}
	}
	return all, nil
}

// changes lists the images of which something is hidden.
func (t *transients) changes(d *Dataset) (list []Transient) {
	for i, cells := range t.hidden {
		n := 0
		for _, hidden := range cells {
			if hidden {
				n++
			}
		}
		if n > 0 {
			list = append(list, Transient{d.Train[i].Name, float64(n) / float64(len(cells))})
		}
	}
	return list
}

// hide puts cells into the masks of their images, as far as there is memory for these.
func (t *training) hide(hidden [][]bool) {
	t.transients.hidden = hidden
	copy(t.data.Train, t.transients.whole)
	room := roomForMasks(&t.cfg, t.data)
	for i, whole := range t.transients.whole {
		if len(hidden) == 0 || hidden[i] == nil {
			continue
		}
		if room -= whole.pixels(); room < 0 {
			hidden[i] = nil
			continue
		}
		view := *whole
		for level := range view.Levels {
			view.Levels[level] = view.Levels[level].without(hidden[i], &whole.Levels[lookLevel].Camera)
		}
		t.data.Train[i] = &view
	}
}

// pixels of all levels.
func (v *View) pixels() (n int64) {
	for level := range v.Levels {
		n += int64(len(v.Levels[level].Pix[0]))
	}
	return n
}

// without is the picture with cells of the camera of lookLevel in its mask.
func (p *Picture) without(cells []bool, coarse *raster.Camera) Picture {
	hidden := *p
	hidden.Mask = make([]uint8, len(p.Pix[0]))
	w, h := cellsOf(coarse)
	for y := range p.Camera.Height {
		row := min(y*coarse.Height/p.Camera.Height/cellEdge, h-1) * w
		for x := range p.Camera.Width {
			at := y*p.Camera.Width + x
			if !cells[row+min(x*coarse.Width/p.Camera.Width/cellEdge, w-1)] && (p.Mask == nil || p.Mask[at] >= maskHalf) {
				hidden.Mask[at] = 255
			}
		}
	}
	return hidden
}
