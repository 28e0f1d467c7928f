package scene

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"

	"golang.org/x/image/draw"
	"golang.org/x/image/vector"

	"github.com/splatworks/splatworks/engines/sheet"
)

const (
	panelPx    = 760 // side of one view
	pictureGap = 16
	captionPx  = 44 // above the views
	legendPx   = 40 // below them
)

var panelGround = color.RGBA{33, 36, 41, 255}

// WritePicture draws a settled reconstruction, one JPEG: the points in their colours and the cameras, blue for the first
// by name to orange for the last, from above and from the side. The caption is for people; unit is [World]'s.
func (r *Reconstruction) WritePicture(w io.Writer, caption, unit string) error {
	picture, err := sheet.New(2*panelPx+3*pictureGap, captionPx+panelPx+legendPx, 17)
	if err != nil {
		return fmt.Errorf("drawing the reconstruction: %w", err)
	}
	middle, reach := r.Window()
	picture.Write(image.Pt(pictureGap, 29), sheet.Ink, caption)
	for i, v := range []struct {
		title  string
		across [3]float64 // to the right
		upward [3]float64
	}{
		{"from above", [3]float64{1, 0, 0}, [3]float64{0, 0, 1}},
		{"from the side", [3]float64{1, 0, 0}, [3]float64{0, -1, 0}},
	} {
		area := image.Rect(0, 0, panelPx, panelPx).Add(image.Pt(pictureGap+i*(panelPx+pictureGap), captionPx))
		p := panel{picture: picture.SubImage(area).(*image.RGBA), middle: middle, across: v.across, upward: v.upward, scale: panelPx / (2 * reach)}
		r.drawInto(p)
		picture.Write(area.Min.Add(image.Pt(12, 26)), sheet.Faint, v.title)
	}
	bar := roundBelow(reach / 2)
	name := fmt.Sprintf("%g × the median view distance", bar)
	if unit == UnitMetre {
		name = fmt.Sprintf("%g m", bar)
	}
	y := captionPx + panelPx + legendPx/2
	length := int(bar * panelPx / (2 * reach))
	picture.Fill(image.Rect(pictureGap, y-1, pictureGap+length, y+2), sheet.Ink)
	picture.Write(image.Pt(pictureGap+length+10, y+6), sheet.Faint, name)
	legend := "cameras: blue first, orange last"
	picture.Write(image.Pt(picture.Bounds().Dx()-pictureGap-picture.Width(legend), y+6), sheet.Faint, legend)
	if err := picture.JPEG(w); err != nil {
		return fmt.Errorf("drawing the reconstruction: %w", err)
	}
	return nil
}

// Window is the middle and half the side of the cube that is drawn: all cameras, and the points as far as they are near;
// a few that are far away would make the rest a dot.
func (r *Reconstruction) Window() (middle [3]float64, reach float64) {
	low, high := [3]float64{}, [3]float64{}
	for k := range 3 {
		low[k], high[k] = math.Inf(1), math.Inf(-1)
		for _, c := range r.centers() {
			low[k], high[k] = min(low[k], c[k]), max(high[k], c[k])
		}
		if n := len(r.Points3D); n > 0 {
			values := make([]float64, n)
			for i := range r.Points3D {
				values[i] = r.Points3D[i].XYZ[k]
			}
			slices.Sort(values)
			low[k], high[k] = min(low[k], values[n/20]), max(high[k], values[n-1-n/20])
		}
		middle[k] = (low[k] + high[k]) / 2
		reach = max(reach, (high[k]-low[k])/2)
	}
	if !(reach > 0) || math.IsInf(reach, 1) {
		return [3]float64{}, 1
	}
	return middle, 1.08 * reach
}

// panel is one orthographic view.
type panel struct {
	picture        *image.RGBA
	middle         [3]float64
	across, upward [3]float64
	scale          float64 // pixels a world unit
}

func (p panel) at(x [3]float64) (u, v float32) {
	d := sub(x, p.middle)
	center := float32(panelPx) / 2
	return center + float32(p.scale*dot(d, p.across)), center - float32(p.scale*dot(d, p.upward))
}

func (r *Reconstruction) drawInto(p panel) {
	draw.Draw(p.picture, p.picture.Bounds(), image.NewUniform(panelGround), image.Point{}, draw.Src)
	origin := p.picture.Bounds().Min
	for i := range r.Points3D {
		u, v := p.at(r.Points3D[i].XYZ)
		if !(u >= 0 && v >= 0 && u < panelPx-1 && v < panelPx-1) {
			continue
		}
		// Dark surfaces must stand out from the ground as well.
		lighter := func(c uint8) uint8 { return uint8(70 + int(c)*185/255) }
		c := r.Points3D[i].RGB
		ink := color.RGBA{lighter(c[0]), lighter(c[1]), lighter(c[2]), 255}
		for dy := range 2 {
			for dx := range 2 {
				p.picture.SetRGBA(origin.X+int(u)+dx, origin.Y+int(v)+dy, ink)
			}
		}
	}
	for _, l := range r.CameraLines(22 / p.scale) { // 22 pixels long
		p.line(l.From, l.To, 1.2, l.Ink)
	}
	inks := r.cameraInks()
	for i := range r.Images {
		u, v := p.at(r.Images[i].Center())
		p.fill(inks[i], [2]float32{u - 3, v - 3}, [2]float32{u + 3, v - 3}, [2]float32{u + 3, v + 3}, [2]float32{u - 3, v + 3})
	}
}

// line draws a smooth line between two world points.
func (p panel) line(from, to [3]float64, widthPx float32, ink color.RGBA) {
	u0, v0 := p.at(from)
	u1, v1 := p.at(to)
	du, dv := u1-u0, v1-v0
	n := float32(math.Hypot(float64(du), float64(dv)))
	if !(n > 0.1) {
		return
	}
	nu, nv := -dv/n*widthPx/2, du/n*widthPx/2
	p.fill(ink, [2]float32{u0 + nu, v0 + nv}, [2]float32{u1 + nu, v1 + nv}, [2]float32{u1 - nu, v1 - nv}, [2]float32{u0 - nu, v0 - nv})
}

// fill paints a polygon that is small beside the panel.
func (p panel) fill(ink color.RGBA, corners ...[2]float32) {
	low, high := corners[0], corners[0]
	for _, c := range corners {
		for k := range 2 {
			low[k], high[k] = min(low[k], c[k]), max(high[k], c[k])
		}
	}
	if !(low[0] > -panelPx && low[1] > -panelPx && high[0] < 2*panelPx && high[1] < 2*panelPx) {
		return
	}
	x0, y0 := int(math.Floor(float64(low[0]))), int(math.Floor(float64(low[1])))
	size := image.Pt(int(high[0])+2-x0, int(high[1])+2-y0)
	z := vector.NewRasterizer(size.X, size.Y)
	z.MoveTo(corners[0][0]-float32(x0), corners[0][1]-float32(y0))
	for _, c := range corners[1:] {
		z.LineTo(c[0]-float32(x0), c[1]-float32(y0))
	}
	z.ClosePath()
	z.Draw(p.picture, image.Rectangle{Max: size}.Add(p.picture.Bounds().Min).Add(image.Pt(x0, y0)), image.NewUniform(ink), image.Point{})
}

// roundBelow is the largest of 1, 2 and 5 times a power of ten that is not above x.
func roundBelow(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, factor := range []float64{5, 2} {
		if factor*power <= x {
			return factor * power
		}
	}
	return power
}
