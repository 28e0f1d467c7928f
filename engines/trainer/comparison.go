package trainer

import (
	"fmt"
	"image"
	"image/color"
	"io"

	"github.com/splatworks/splatworks/engines/sheet"
	"github.com/splatworks/splatworks/engines/splat"
)

const (
	comparisonWidth   = 360 // of a picture, in pixels
	comparisonGap     = 8
	comparisonCaption = 26
	comparisonGain    = 4 // by which differences are brightened
)

// WriteComparison draws, as one JPEG, the view that a quality finds worst and the one it finds best, each as the image,
// what the cloud shows there, and four times their difference. What a mask hides is grey in all three.
func WriteComparison(w io.Writer, cloud *splat.Cloud, views []*View, q *Quality, cfg *Config) error {
	if len(q.Views) == 0 {
		return fmt.Errorf("drawing the comparison: no view was measured")
	}
	rows := []struct {
		what string
		at   int
		pic  *Picture
	}{{"worst", q.Worst(), nil}, {"best", q.Best(), nil}}
	heightOf := func(pic *Picture) int { return max(1, comparisonWidth*pic.Camera.Height/pic.Camera.Width) }
	height := comparisonGap
	for i := range rows {
		name := q.Views[rows[i].at].Name
		if rows[i].pic = viewNamed(views, name); rows[i].pic == nil {
			return fmt.Errorf("drawing the comparison: there is no view %s", name)
		}
		height += heightOf(rows[i].pic) + comparisonCaption + comparisonGap
	}
	drawing, err := sheet.New(3*(comparisonWidth+comparisonGap)+comparisonGap, height, 13)
	if err != nil {
		return fmt.Errorf("drawing the comparison: %w", err)
	}
	painter := NewPainter(cloud, cfg)
	top := comparisonGap
	for _, row := range rows {
		measured, pic, height := q.Views[row.at], row.pic, heightOf(row.pic)
		shown, drawn := pic.Image(), painter.Paint(&pic.Camera)
		captions := [3]string{
			fmt.Sprintf("%s: %s", row.what, measured.Name), fmt.Sprintf("the splat: %.2f dB, SSIM %.3f", measured.PSNR, measured.SSIM),
			fmt.Sprintf("difference, %d times", comparisonGain),
		}
		for k, img := range []*image.NRGBA{shown, drawn, difference(shown, drawn)} {
			hide(img, pic)
			x := comparisonGap + k*(comparisonWidth+comparisonGap)
			drawing.Photo(image.Rect(x, top, x+comparisonWidth, top+height), img)
			drawing.Write(image.Pt(x, top+height+17), sheet.Ink, captions[k])
		}
		top += height + comparisonCaption + comparisonGap
	}
	if err := drawing.JPEG(w); err != nil {
		return fmt.Errorf("drawing the comparison: %w", err)
	}
	return nil
}

// hide greys what a picture's mask hides.
func hide(img *image.NRGBA, pic *Picture) {
	for i, m := range pic.Mask {
		if m < maskHalf {
			img.SetNRGBA(i%pic.Camera.Width, i/pic.Camera.Width, color.NRGBA{90, 90, 90, 255})
		}
	}
}

func viewNamed(views []*View, name string) *Picture {
	for _, v := range views {
		if v.Name == name {
			return &v.Levels[0]
		}
	}
	return nil
}

// difference of two pictures of one size, brightened.
func difference(a, b *image.NRGBA) *image.NRGBA {
	out := image.NewNRGBA(a.Bounds())
	for i := range out.Pix {
		if i%4 == 3 {
			out.Pix[i] = 255
			continue
		}
		d := int(a.Pix[i]) - int(b.Pix[i])
		out.Pix[i] = uint8(min(max(d, -d)*comparisonGain, 255))
	}
	return out
}
