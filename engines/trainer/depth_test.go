package trainer

import (
	"math"
	"testing"

	"github.com/splatworks/splatworks/engines/raster"
)

// A capture without points, whose first Gaussians stand at random depths, ends nearer to the true depth with a prior
// than without.
func TestInverseDepthPriorHelpsWithoutPoints(t *testing.T) {
	painter := NewPainter(syntheticCloud(), &Config{Threads: 1})
	depthOf := func(p *Painter, v *View) []float32 {
		f := p.engine.renderer.Forward(p.params, &v.Levels[0].Camera, raster.Options{Depth: true})
		return append([]float32(nil), f.InverseDepth...)
	}
	off := map[bool]float64{}
	for _, prior := range []bool{false, true} {
		d := synthetic(16, 48, 40)
		d.Points = nil
		if prior {
			for _, v := range append(d.Train, d.Test...) {
				depth := depthOf(painter, v)
				depth[7] = float32(math.NaN())
				if err := d.AttachInverseDepth(v.Name, 48, 40, depth); err != nil {
					t.Fatal(err)
				}
			}
		}
		cfg := testConfig(300)
		cfg.MaxGaussians = 2000
		got := NewPainter(train(t, cfg, d).Cloud, &Config{Threads: 1})
		for _, v := range d.Test {
			want, have := depthOf(painter, v), depthOf(got, v)
			for i := range want {
				off[prior] += min(0.3, math.Abs(float64(want[i]-have[i]))) // one splat at the lens must not decide
			}
		}
	}
	t.Logf("off by %.1f with, %.1f without", off[true], off[false])
	if !(off[true] < 0.8*off[false]) {
		t.Errorf("inverse depth off by %.1f with the prior, %.1f without: want a fifth less", off[true], off[false])
	}
}

func TestAttachInverseDepthRefuses(t *testing.T) {
	d := synthetic(9, 16, 12)
	if err := d.AttachInverseDepth(d.Train[0].Name, 4, 4, make([]float32, 15)); err == nil {
		t.Error("a wrong size: want an error")
	}
	if err := d.AttachInverseDepth("nobody.png", 4, 4, make([]float32, 16)); err == nil {
		t.Error("an unknown image: want an error")
	}
}
