// Package sheet is the paper for the pictures that people are shown: one ground, one typeface, one set of inks.
package sheet

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

var (
	Ground = color.RGBA{24, 26, 30, 255}
	Ink    = color.RGBA{235, 235, 235, 255}
	Faint  = color.RGBA{150, 160, 175, 255} // what is said in passing
	Bad    = color.RGBA{240, 130, 110, 255}
)

const quality = 90 // of the JPEG

// Sheet is a picture to draw on.
type Sheet struct {
	*image.RGBA
	face font.Face
}

// New is an empty sheet of a size in pixels, with type of a size in pixels.
func New(width, height int, typePx float64) (*Sheet, error) {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("read the typeface: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: typePx, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, fmt.Errorf("read the typeface: %w", err)
	}
	s := &Sheet{image.NewRGBA(image.Rect(0, 0, width, height)), face}
	s.Fill(s.Bounds(), Ground)
	return s, nil
}

// Fill paints an area.
func (s *Sheet) Fill(area image.Rectangle, ink color.Color) {
	draw.Draw(s, area, image.NewUniform(ink), image.Point{}, draw.Src)
}

// Photo draws a picture at the size of an area.
func (s *Sheet) Photo(area image.Rectangle, img image.Image) {
	draw.ApproxBiLinear.Scale(s, area, img, img.Bounds(), draw.Src, nil)
}

// Write puts a line on the sheet; at is the left end of its base line.
func (s *Sheet) Write(at image.Point, ink color.Color, line string) {
	d := font.Drawer{Dst: s, Src: image.NewUniform(ink), Face: s.face, Dot: fixed.P(at.X, at.Y)}
	d.DrawString(line)
}

// Width of a line in pixels.
func (s *Sheet) Width(line string) int { return font.MeasureString(s.face, line).Ceil() }

// Fit truncates a line to a width in pixels.
func (s *Sheet) Fit(line string, width int) string {
	runes := []rune(line)
	for len(runes) > 0 && s.Width(string(runes)) > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes)
}

// JPEG writes the sheet.
func (s *Sheet) JPEG(w io.Writer) error { return jpeg.Encode(w, s, &jpeg.Options{Quality: quality}) }
