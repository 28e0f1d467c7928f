package frames

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

const (
	sheetPictures = 48  // at most, evenly spread over the images
	sheetColumns  = 6   //
	sheetCell     = 240 // width of a cell in pixels
	sheetGap      = 8
	sheetCaption  = 34 // height below a picture
)

// WriteSheet draws a contact sheet, one JPEG, of the images in dir with what was measured of each: number, time,
// sharpness and step from the frame before. Frames are found by their Source and Index; those that are not shown do no harm.
func WriteSheet(ctx context.Context, dir string, images []Image, frames []Frame, target string) error {
	if len(images) == 0 {
		return fmt.Errorf("drawing the contact sheet: no images")
	}
	n := min(sheetPictures, len(images))
	shown := make([]Image, n)
	tallest := 1
	for i := range shown {
		shown[i] = images[i*len(images)/n]
		_, h := thumbnail(shown[i])
		tallest = max(tallest, h)
	}
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 12, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	columns := min(sheetColumns, n)
	rows := (n + columns - 1) / columns
	pitchX, pitchY := sheetCell+sheetGap, tallest+sheetCaption+sheetGap
	sheet := image.NewRGBA(image.Rect(0, 0, columns*pitchX+sheetGap, rows*pitchY+sheetGap))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.RGBA{24, 26, 30, 255}), image.Point{}, draw.Src)

	measured := make(map[[2]int]Frame, len(frames))
	for _, f := range frames {
		measured[[2]int{f.Source, f.Index}] = f
	}
	photos := make([]Photo, n)
	for i, m := range shown {
		photos[i] = Photo{Path: filepath.Join(dir, m.Name), Width: m.Width, Height: m.Height}
	}
	cell := func(i int) image.Point {
		return image.Pt(sheetGap+i%columns*pitchX, sheetGap+i/columns*pitchY)
	}
	err = eachPhoto(ctx, photos, func(ctx context.Context, i int) error {
		picture, err := decodePicture(ctx, photos[i].Path)
		if err != nil {
			return err
		}
		w, h := thumbnail(shown[i])
		at := cell(i).Add(image.Pt((sheetCell-w)/2, (tallest-h)/2))
		// Cells do not overlap: several can be drawn at once.
		draw.ApproxBiLinear.Scale(sheet, image.Rectangle{at, at.Add(image.Pt(w, h))}, picture, picture.Bounds(), draw.Src, nil)
		return nil
	})
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	for i, m := range shown {
		p := cell(i).Add(image.Pt(0, tallest))
		write(sheet, face, p.Add(image.Pt(2, 14)), color.RGBA{235, 235, 235, 255}, caption(m))
		if f, ok := measured[[2]int{m.Source, m.Index}]; ok {
			write(sheet, face, p.Add(image.Pt(2, 29)), color.RGBA{150, 160, 175, 255},
				fmt.Sprintf("sharp %.2f   light %.2f   step %.1f %%", f.Sharpness, f.Brightness, 100*f.Motion))
		}
	}
	out, err := os.Create(target)
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	if err := jpeg.Encode(out, sheet, &jpeg.Options{Quality: 85}); err != nil {
		out.Close()
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	return out.Close()
}

// thumbnail is the size of an image on the sheet: as wide as a cell, but tall ones no taller than 4:3 of it.
func thumbnail(m Image) (w, h int) {
	w, h = sheetCell, max(1, sheetCell*m.Height/max(1, m.Width))
	if limit := sheetCell * 4 / 3; h > limit {
		w, h = max(1, limit*m.Width/max(1, m.Height)), limit
	}
	return w, h
}

func caption(m Image) string {
	if m.TimeS > 0 || m.Index == 0 {
		return fmt.Sprintf("%s   %.2f s", m.Name, m.TimeS)
	}
	return m.Name
}

func write(dst draw.Image, face font.Face, at image.Point, ink color.Color, line string) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(ink), Face: face, Dot: fixed.P(at.X, at.Y)}
	d.DrawString(line)
}
