package depth

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
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

var (
	gridGround = color.RGBA{24, 26, 30, 255}
	gridText   = color.RGBA{235, 235, 235, 255}
	gridFaint  = color.RGBA{150, 160, 175, 255}
	gridBad    = color.RGBA{240, 130, 110, 255}
	gridBlank  = color.RGBA{44, 48, 56, 255} // nothing is known
)

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
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return fmt.Errorf("drawing the depth grid: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 12, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return fmt.Errorf("drawing the depth grid: %w", err)
	}
	tallest := 1
	for _, c := range cells {
		tallest = max(tallest, gridHeight(c.Image.Bounds()))
	}
	columns := min(gridColumns, len(cells))
	pitchX, pitchY := gridWidth+gridGap, 2*tallest+2+gridCaption+gridGap
	rows := (len(cells) + columns - 1) / columns
	sheet := image.NewRGBA(image.Rect(0, 0, columns*pitchX+gridGap, rows*pitchY+gridGap+gridLegend))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(gridGround), image.Point{}, draw.Src)
	far, near := scaleOf(cells)
	text := func(x, y int, ink color.Color, line string) {
		d := font.Drawer{Dst: sheet, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(x, y)}
		d.DrawString(fitting(face, line, gridWidth-4))
	}
	for i, c := range cells {
		x, y := gridGap+i%columns*pitchX, gridGap+i/columns*pitchY
		photo := image.Rect(x, y, x+gridWidth, y+gridHeight(c.Image.Bounds()))
		draw.ApproxBiLinear.Scale(sheet, photo, c.Image, c.Image.Bounds(), draw.Src, nil)
		below := photo.Add(image.Pt(0, photo.Dy()+2))
		draw.Draw(sheet, below, image.NewUniform(gridBlank), image.Point{}, draw.Src)
		if c.Map != nil {
			paint(sheet, below, c.Map, far, near)
		}
		ink := gridFaint
		if c.Map == nil {
			ink = gridBad
		}
		text(x+2, y+2*tallest+2+15, gridText, c.Title)
		text(x+2, y+2*tallest+2+31, ink, c.Note)
	}
	legend(sheet, text, far, near)
	if err := jpeg.Encode(w, sheet, &jpeg.Options{Quality: 88}); err != nil {
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

func paint(sheet *image.RGBA, at image.Rectangle, m *Map, far, near float64) {
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			v := m.Values[(y-at.Min.Y)*m.Height/at.Dy()*m.Width+(x-at.Min.X)*m.Width/at.Dx()]
			if v >= 0 {
				sheet.SetRGBA(x, y, heat((float64(v)-far)/(near-far)))
			}
		}
	}
}

// legend draws the scale of colours at the bottom with the depths at its ends.
func legend(sheet *image.RGBA, text func(x, y int, ink color.Color, line string), far, near float64) {
	b := sheet.Bounds()
	bar := image.Rect(gridGap, b.Max.Y-gridLegend+4, b.Max.X-gridGap, b.Max.Y-gridLegend+12)
	for x := bar.Min.X; x < bar.Max.X; x++ {
		c := heat(float64(x-bar.Min.X) / float64(bar.Dx()-1))
		for y := bar.Min.Y; y < bar.Max.Y; y++ {
			sheet.SetRGBA(x, y, c)
		}
	}
	farthest := "far"
	if far > 0 {
		farthest = fmt.Sprintf("far: depth %.3g", 1/far)
	}
	text(bar.Min.X, bar.Max.Y+16, gridFaint, farthest)
	text(bar.Max.X-110, bar.Max.Y+16, gridFaint, fmt.Sprintf("near: depth %.3g", 1/near))
}

// fitting shortens a line to a width in pixels.
func fitting(face font.Face, line string, width int) string {
	for runes := []rune(line); len(runes) > 0; runes = runes[:len(runes)-1] {
		if line = string(runes); font.MeasureString(face, line).Ceil() <= width {
			return line
		}
	}
	return ""
}
