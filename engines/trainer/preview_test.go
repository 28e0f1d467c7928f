package trainer

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/splatworks/splatworks/engines/raster"
	"github.com/splatworks/splatworks/engines/simd"
	"github.com/splatworks/splatworks/engines/splat"
)

// TestPreviewsComeAtOnceAndThenNowAndThen: the first at once, then not more often than they may, and a bounded number in one run.
func TestPreviewsComeAtOnceAndThenNowAndThen(t *testing.T) {
	for name, c := range map[string]struct {
		budget, took time.Duration
		want         int
	}{
		"short":  {10 * time.Second, 0, 3},                              // 0, 4, 8 s
		"long":   {time.Hour, 0, previewsMost},                          // each fortieth of the hour
		"costly": {100 * time.Second, 200 * time.Millisecond, 100 / 20}, //  each takes its share of 20 s
	} {
		var p previews
		shown := 0
		for now := time.Duration(0); now < c.budget; now += 10 * time.Millisecond {
			if fraction := float64(now) / float64(c.budget); p.due(now, fraction) {
				shown++
				p = previews{shown: true, at: now, fraction: fraction, took: c.took}
			}
		}
		if shown != c.want {
			t.Errorf("%s: %d previews, want %d", name, shown, c.want)
		}
	}
}

// TestPreviewsKeepTheArea of what they show, whatever they leave out, and every reader accepts them.
func TestPreviewsKeepTheArea(t *testing.T) {
	const all, n = 3000, 700
	p := raster.NewParams(all, splat.MaxDegree, splat.Mip)
	for i := range all {
		for axis := range 3 {
			*p.At(i, simd.RowMean+axis) = float32(i)
			*p.At(i, simd.RowScale+axis) = -4
		}
		*p.At(i, simd.RowRotation) = 2
		*p.At(i, simd.RowRest) = 1
	}
	*p.At(0, simd.RowOpacity) = float32(math.Inf(1))
	*p.At(int(int64(5)*all/n), simd.RowDC) = float32(math.NaN())
	c := thinned(p, n)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if c.Len() != n-2 || c.Degree != 0 || c.Mode != splat.Mip || len(c.Rest) != 0 {
		t.Fatalf("%d Gaussians of degree %d", c.Len(), c.Degree)
	}
	area := 0.0
	for _, s := range c.LogScales[:c.Len()] {
		area += math.Exp(2 * float64(s))
	}
	if want := float64(all) * (n - 2) / n * math.Exp(-8); !(math.Abs(area/want-1) < 1e-5) {
		t.Errorf("they cover %g, all of them %g", area, want)
	}
	if last := c.Means[3*(c.Len()-1)]; !(last > all*0.99) {
		t.Errorf("the last one is number %g", last)
	}
	if whole := thinned(p, 10*all); whole.Len() != all-2 || whole.LogScales[0] != -4 {
		t.Errorf("a small splat is shown as %d, %g wide", whole.Len(), whole.LogScales[0])
	}
	if none := thinned(raster.NewParams(0, 3, splat.Mip), n); none.Len() != 0 {
		t.Errorf("nothing is shown as %d", none.Len())
	}
}

// TestPreviewsChangeNothing: with and without them training makes the same splat.
func TestPreviewsChangeNothing(t *testing.T) {
	cfg := testConfig(240)
	run := func(preview func(*splat.Cloud)) []byte {
		result, err := Train(t.Context(), cfg, synthetic(8, 32, 24), nil, Hooks{Clock: ticking(40 * time.Millisecond), Preview: preview})
		if err != nil {
			t.Fatal(err)
		}
		return plyOf(t, result.Cloud)
	}
	var sizes []int
	with := run(func(c *splat.Cloud) { sizes = append(sizes, c.Len()) })
	if len(sizes) < 3 || sizes[0] == 0 {
		t.Errorf("previews of %v Gaussians: want a few", sizes)
	}
	if !bytes.Equal(with, run(nil)) {
		t.Error("previews change what is trained")
	}
}
