package trainer

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
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return fmt.Errorf("drawing the comparison: %w", err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 13, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return fmt.Errorf("drawing the comparison: %w", err)
	}
	rows := []struct {
		what string
		at   int
	}{{"worst", q.Worst()}, {"best", q.Best()}}
	painter := NewPainter(cloud, cfg)
	sheet := image.NewRGBA(image.Rect(0, 0, 3*(comparisonWidth+comparisonGap)+comparisonGap, comparisonGap))
	for _, row := range rows {
		measured := q.Views[row.at]
		pic := viewNamed(views, measured.Name)
		if pic == nil {
			return fmt.Errorf("drawing the comparison: there is no view %s", measured.Name)
		}
		height := max(1, comparisonWidth*pic.Camera.Height/pic.Camera.Width)
		top := sheet.Bounds().Dy()
		taller := image.NewRGBA(image.Rect(0, 0, sheet.Bounds().Dx(), top+height+comparisonCaption+comparisonGap))
		draw.Draw(taller, taller.Bounds(), image.NewUniform(color.RGBA{24, 26, 30, 255}), image.Point{}, draw.Src)
		draw.Draw(taller, sheet.Bounds(), sheet, image.Point{}, draw.Over)
		sheet = taller
		shown, drawn := pic.Image(), painter.Paint(&pic.Camera)
		captions := [3]string{
			fmt.Sprintf("%s: %s", row.what, measured.Name), fmt.Sprintf("the splat: %.2f dB, SSIM %.3f", measured.PSNR, measured.SSIM),
			fmt.Sprintf("difference, %d times", comparisonGain),
		}
		for k, img := range []*image.NRGBA{shown, drawn, difference(shown, drawn)} {
			for i, m := range pic.Mask {
				if m < maskHalf {
					img.SetNRGBA(i%pic.Camera.Width, i/pic.Camera.Width, color.NRGBA{90, 90, 90, 255})
				}
			}
			x := comparisonGap + k*(comparisonWidth+comparisonGap)
			draw.ApproxBiLinear.Scale(sheet, image.Rect(x, top, x+comparisonWidth, top+height), img, img.Bounds(), draw.Src, nil)
			text := font.Drawer{Dst: sheet, Src: image.NewUniform(color.RGBA{235, 235, 235, 255}), Face: face, Dot: fixed.P(x, top+height+17)}
			text.DrawString(captions[k])
		}
	}
	if err := jpeg.Encode(w, sheet, &jpeg.Options{Quality: 88}); err != nil {
		return fmt.Errorf("drawing the comparison: %w", err)
	}
	return nil
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
