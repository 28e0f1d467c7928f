package frames

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"

	"github.com/splatworks/splatworks/engines/choose"
	"github.com/splatworks/splatworks/engines/sheet"
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
func WriteSheet(ctx context.Context, dir string, images []Image, frames []choose.Frame, target string) error {
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
	columns := min(sheetColumns, n)
	rows := (n + columns - 1) / columns
	pitchX, pitchY := sheetCell+sheetGap, tallest+sheetCaption+sheetGap
	paper, err := sheet.New(columns*pitchX+sheetGap, rows*pitchY+sheetGap, 12)
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}

	measured := make(map[[2]int]choose.Frame, len(frames))
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
		paper.Photo(image.Rectangle{at, at.Add(image.Pt(w, h))}, picture)
		return nil
	})
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	for i, m := range shown {
		p := cell(i).Add(image.Pt(0, tallest))
		paper.Write(p.Add(image.Pt(2, 14)), sheet.Ink, caption(m))
		if f, ok := measured[[2]int{m.Source, m.Index}]; ok {
			paper.Write(p.Add(image.Pt(2, 29)), sheet.Faint,
				fmt.Sprintf("sharp %.2f   light %.2f   step %.1f %%", f.Sharpness, f.Brightness, 100*f.Motion))
		}
	}
	out, err := os.Create(target)
	if err != nil {
		return fmt.Errorf("drawing the contact sheet: %w", err)
	}
	if err := paper.JPEG(out); err != nil {
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
