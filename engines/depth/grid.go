package depth

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"

	"github.com/splatworks/splatworks/engines/sheet"
)

// Cell is one image of a grid with what became of its depth.
type Cell struct {
	Image image.Image
	Map   *Map   // inverse depth in 1/world units, or nil
	Title string // its name
	Note  string // how good the map is, or why there is none
}

// GridCells is how many images a grid shows at most: more are too small to judge.
const GridCells = 12

const (
	gridColumns = 4
	gridWidth   = 240 // of a picture, in pixels
	gridGap     = 8
	gridCaption = 38
	gridLegend  = 34
)

var gridBlank = color.RGBA{44, 48, 56, 255} // nothing is known

// inferno runs from far to near: every tenth of matplotlib's colour map of that name (Smith & van der Walt, CC0), whose
// lightness rises evenly.
var inferno = [...]color.RGBA{
	{0, 0, 4, 255}, {22, 11, 57, 255}, {66, 10, 104, 255}, {106, 23, 110, 255}, {147, 38, 103, 255}, {188, 55, 84, 255},
	{221, 81, 58, 255}, {243, 120, 25, 255}, {252, 165, 10, 255}, {246, 215, 70, 255}, {252, 255, 164, 255},
}

// heat is the colour of a place between far, 0, and near, 1.
func heat(t float64) color.RGBA {
	if !(t > 0) {
		return inferno[0]
	}
	at := min(t, 1) * float64(len(inferno)-1)
	i := min(int(at), len(inferno)-2)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (at-float64(i))*(float64(b)-float64(a)))) }
	a, b := inferno[i], inferno[i+1]
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}

// WriteGrid draws images above their depth, as one JPEG. All maps share one scale of colours, so that a map that disagrees
// with the others is seen to.
func WriteGrid(w io.Writer, cells []Cell) error {
	if len(cells) == 0 {
		return fmt.Errorf("drawing the depth grid: no images")
	}
	tallest := 1
	for _, c := range cells {
		tallest = max(tallest, gridHeight(c.Image.Bounds()))
	}
	columns := min(gridColumns, len(cells))
	pitchX, pitchY := gridWidth+gridGap, 2*tallest+2+gridCaption+gridGap
	rows := (len(cells) + columns - 1) / columns
	grid, err := sheet.New(columns*pitchX+gridGap, rows*pitchY+gridGap+gridLegend, 12)
	if err != nil {
		return fmt.Errorf("drawing the depth grid: %w", err)
	}
	far, near := scaleOf(cells)
	for i, c := range cells {
		x, y := gridGap+i%columns*pitchX, gridGap+i/columns*pitchY
		photo := image.Rect(x, y, x+gridWidth, y+gridHeight(c.Image.Bounds()))
		grid.Photo(photo, c.Image)
		below := photo.Add(image.Pt(0, photo.Dy()+2))
		grid.Fill(below, gridBlank)
		if c.Map != nil {
			paint(grid, below, c.Map, far, near)
		}
		ink := sheet.Faint
		if c.Map == nil {
			ink = sheet.Bad
		}
		under := photo.Min.Add(image.Pt(2, 2*tallest+2))
		grid.Write(under.Add(image.Pt(0, 15)), sheet.Ink, grid.Fit(c.Title, gridWidth-4))
		grid.Write(under.Add(image.Pt(0, 31)), ink, grid.Fit(c.Note, gridWidth-4))
	}
	legend(grid, far, near)
	if err := grid.JPEG(w); err != nil {
		return fmt.Errorf("drawing the depth grid: %w", err)
	}
	return nil
}

// gridHeight keeps an image's aspect; tall ones are cut off at 4:3 of the width by squeezing, not by cropping.
func gridHeight(b image.Rectangle) int {
	return min(max(1, gridWidth*b.Dy()/max(1, b.Dx())), gridWidth*4/3)
}

// scaleOf is the range of inverse depth that the colours span: all but the first and the last hundredth.
func scaleOf(cells []Cell) (far, near float64) {
	var all []float32
	for _, c := range cells {
		if c.Map == nil {
			continue
		}
		step := max(1, len(c.Map.Values)/4096)
		for i := 0; i < len(c.Map.Values); i += step {
			if v := c.Map.Values[i]; v >= 0 {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return 0, 1
	}
	slices.Sort(all)
	return float64(all[len(all)/100]), float64(all[len(all)-1-len(all)/100])
}

func paint(grid *sheet.Sheet, at image.Rectangle, m *Map, far, near float64) {
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			v := m.Values[(y-at.Min.Y)*m.Height/at.Dy()*m.Width+(x-at.Min.X)*m.Width/at.Dx()]
			if v >= 0 {
				grid.SetRGBA(x, y, heat((float64(v)-far)/(near-far)))
			}
		}
	}
}

// legend draws the scale of colours at the bottom with the depths at its ends.
func legend(grid *sheet.Sheet, far, near float64) {
	b := grid.Bounds()
	bar := image.Rect(gridGap, b.Max.Y-gridLegend+4, b.Max.X-gridGap, b.Max.Y-gridLegend+12)
	for x := bar.Min.X; x < bar.Max.X; x++ {
		c := heat(float64(x-bar.Min.X) / float64(bar.Dx()-1))
		for y := bar.Min.Y; y < bar.Max.Y; y++ {
			grid.SetRGBA(x, y, c)
		}
	}
	farthest := "far"
	if far > 0 {
		farthest = fmt.Sprintf("far: depth %.3g", 1/far)
	}
	nearest := fmt.Sprintf("near: depth %.3g", 1/near)
	grid.Write(image.Pt(bar.Min.X, bar.Max.Y+16), sheet.Faint, farthest)
	grid.Write(image.Pt(bar.Max.X-grid.Width(nearest), bar.Max.Y+16), sheet.Faint, nearest)
}
