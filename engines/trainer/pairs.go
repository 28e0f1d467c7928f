package trainer

import (
	"cmp"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/splatworks/splatworks/engines/sheet"
	"github.com/splatworks/splatworks/engines/splat"
)

const (
	mostPairs  = 6
	pairEdge   = 480 // of a picture's longer edge, in pixels
	pairAlign  = 16  // JPEG's blocks: no picture is in the block of another
	pairColumn = 480 // where the splat's column begins
)

// Pair says where a measured view is on the sheet of WritePairs, in pixels from the upper left corner: the photograph at (0, Y) and the
// splat beside it at (X, Y), both of one size.
type Pair struct {
	ViewQuality
	X, Y, Width, Height int
}

// WritePairs writes a JPEG for pages that lay one picture over the other: up to six of a quality's views, worst and best among them, in the
// order of their names, each as its photograph and as what the cloud shows there. What a mask hides is grey in both.
func WritePairs(w io.Writer, cloud *splat.Cloud, views []*View, q *Quality, cfg *Config) ([]Pair, error) {
	var pairs []Pair
	height := 0
	for _, measured := range spread(q.Views, mostPairs) {
		pic := viewNamed(views, measured.Name)
		if pic == nil {
			return nil, fmt.Errorf("drawing the pairs: there is no view %s", measured.Name)
		}
		scale := min(1, float64(pairEdge)/float64(max(pic.Camera.Width, pic.Camera.Height)))
		p := Pair{ViewQuality: measured, X: pairColumn, Y: height,
			Width: max(1, int(scale*float64(pic.Camera.Width))), Height: max(1, int(scale*float64(pic.Camera.Height)))}
		height += (p.Height + pairAlign - 1) / pairAlign * pairAlign
		pairs = append(pairs, p)
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("drawing the pairs: no view was measured")
	}
	drawing, err := sheet.New(pairColumn+pairEdge, height, 13)
	if err != nil {
		return nil, fmt.Errorf("drawing the pairs: %w", err)
	}
	painter := NewPainter(cloud, cfg)
	for _, p := range pairs {
		pic := viewNamed(views, p.Name)
		for k, img := range []*image.NRGBA{pic.Image(), painter.Paint(&pic.Camera)} {
			hide(img, pic)
			drawing.Photo(image.Rect(k*p.X, p.Y, k*p.X+p.Width, p.Y+p.Height), img)
		}
	}
	if err := drawing.JPEG(w); err != nil {
		return nil, fmt.Errorf("drawing the pairs: %w", err)
	}
	return pairs, nil
}

// spread is n of the views or fewer, at equal steps from the worst to the best, in the order of their names.
func spread(views []ViewQuality, n int) []ViewQuality {
	ranked := slices.SortedStableFunc(slices.Values(views), func(a, b ViewQuality) int { return cmp.Compare(a.PSNR, b.PSNR) })
	chosen := ranked
	if len(ranked) > n {
		chosen = nil
		for i := range n {
			chosen = append(chosen, ranked[i*(len(ranked)-1)/(n-1)])
		}
	}
	slices.SortFunc(chosen, func(a, b ViewQuality) int { return cmp.Compare(a.Name, b.Name) })
	return chosen
}
