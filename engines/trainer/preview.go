package trainer

import (
	"math"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// PreviewGaussians is the most that a preview has. A picture of a growing splat needs no more, and a phone draws it at once.
const PreviewGaussians = 50_000

const (
	previewPause  = 4 * time.Second // between two previews, by the clock; the first comes at once
	previewsMost  = 40              // of one run
	previewsShare = 0.01            // of the time of training that previews may take
)

// previews is when the last one was shown.
type previews struct {
	shown    bool
	at       time.Duration // clock of training
	fraction float64
	took     time.Duration
}

// due says whether it is time for another preview.
func (p *previews) due(now time.Duration, fraction float64) bool {
	pause := max(previewPause, time.Duration(float64(p.took)/previewsShare))
	return !p.shown || now-p.at >= pause && fraction-p.fraction >= 1./previewsMost
}

// show gives the caller a preview when one is due. Nothing of training depends on it.
func (t *training) show(now time.Duration, fraction float64) error {
	if t.hooks.Preview == nil || !t.previews.due(now, fraction) {
		return nil
	}
	if err := t.get(); err != nil {
		return err
	}
	t.hooks.Preview(thinned(t.params, PreviewGaussians))
	t.previews = previews{shown: true, at: now, fraction: fraction, took: t.elapsed() - now}
	return nil
}

// thinned is a cloud of at most n of the Gaussians, without their view-dependent colours. Every k-th is taken, and is as much wider as
// others are missing: width·√k in each direction keeps the area that a surface of flat Gaussians covers. Those that are not finite,
// which the next refinement removes, are left out.
func thinned(p *raster.Params, n int) *splat.Cloud {
	all := p.Len()
	n = min(n, all)
	few := raster.NewParams(n, 0, p.Mode)
	wider := float32(0)
	if n > 0 {
		wider = float32(math.Log(float64(all)/float64(n)) / 2)
	}
	kept := 0
	for k := range n {
		from := int(int64(k) * int64(all) / int64(n))
		finite := true
		for row := range few.Rows() {
			v := *p.At(from, row)
			finite = finite && math.Abs(float64(v)) <= math.MaxFloat32
			*few.At(kept, row) = v
		}
		for axis := range 3 {
			*few.At(kept, simd.RowScale+axis) += wider
		}
		if finite {
			kept++
		}
	}
	few.Resize(kept)
	cloud := few.Cloud()
	normalise(cloud)
	return cloud
}
